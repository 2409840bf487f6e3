"""Objects in a store, references that carry a digest, and artifacts that resume."""

from seamline.storage.artifact import Artifact, ArtifactWriter, Recipe
from seamline.storage.entry import Entry
from seamline.storage.framepack import decode_frames, encode_frames
from seamline.storage.reference import fetch_object, put_object, read_object
from seamline.storage.store import Store, open_store

__all__ = [
    "Artifact",
    "ArtifactWriter",
    "Entry",
    "Recipe",
    "Store",
    "decode_frames",
    "encode_frames",
    "fetch_object",
    "open_store",
    "put_object",
    "read_object",
]
