"""Bundles: all networks of one face domain, with their sizes, digests, licences and sources."""

from seamline.bundles.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from seamline.bundles.frozen import FrozenNetwork
from seamline.bundles.manifest import EditSpec
from seamline.bundles.places import INSTALLED
from seamline.bundles.relevance import Relevance
from seamline.bundles.writer import (
    NetworkSource,
    put_defaults,
    put_directions,
    put_network,
    put_relevance,
    write_bundle,
)

__all__ = [
    "DEFAULT_BUNDLE",
    "INSTALLED",
    "Bundle",
    "EditSpec",
    "FrozenNetwork",
    "NetworkSource",
    "Relevance",
    "load_bundle",
    "put_defaults",
    "put_directions",
    "put_network",
    "put_relevance",
    "write_bundle",
]
