"""Artifacts: a stage's output under a key that is the hash of all that determines it, written part by part.

Layout below `Recipe.key`:

    parts/<sha256>/<name>       the bytes of a part
    sidecars/<name>.json        digest and meta of a part; written after it, so its presence means "done"
    manifests/<sha256>.json     recipe, meta and every part's digest; written last

Whatever is written under a digest is never changed by another writer. So two racing writers, even if their
GPUs round differently, leave only consistent artifacts, and a reference once handed out stays valid.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seamline.errors import InvalidInput, NotFound
from seamline.storage.layout import artifacts_prefix
from seamline.storage.reference import fetch_object, put_object, read_object, sha256_of
from seamline.storage.store import Store
from seamline.v1.media_pb2 import ArtifactRef

FORMAT = 2
"""Version of the layout and the manifest; part of every key."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that determines an artifact."""

    video: str
    """SHA-256 of the source that it is made of, at however many removes; `SHARED` for what serves every video."""
    stage: str
    """The stage that makes it."""
    version: int
    """Version of the stage's code; raise it when the same inputs give another result."""
    inputs: Mapping[str, str]
    """Digests of the inputs, by name."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that changes the result, as JSON values."""

    @property
    def key(self) -> str:
        """Where the artifact lies in any store. Raises InvalidInput if `video` is no digest."""
        digest = hashlib.sha256(_canonical_json(self.as_json())).hexdigest()
        return f"{artifacts_prefix(self.video)}{self.stage}/{digest}"

    def as_json(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {
            "format": FORMAT,
            "video": self.video,
            "stage": self.stage,
            "version": self.version,
            "inputs": dict(self.inputs),
            "parameters": dict(self.parameters),
        }


class Artifact:
    """A finished artifact. `Artifact.open` reads and checks it; parts are read, and checked, one by one."""

    def __init__(self, store: Store, ref: ArtifactRef, manifest: Mapping[str, Any]) -> None:
        self.ref = ref
        self.meta: dict[str, Any] = manifest["meta"]
        self.parts: dict[str, dict[str, Any]] = manifest["parts"]
        recipe = manifest["recipe"]
        self.recipe = Recipe(
            video=recipe["video"],
            stage=recipe["stage"],
            version=recipe["version"],
            inputs=recipe["inputs"],
            parameters=recipe["parameters"],
        )
        self._store = store

    @classmethod
    def open(cls, store: Store, ref: ArtifactRef, stage: str) -> "Artifact":
        """Opens the artifact that `ref` names.

        Raises:
            NotFound: there is none.
            DigestMismatch: the manifest's bytes are not those that `ref` names.
            InvalidInput: `ref` names something else than an artifact of `stage`, or lies outside the store.
        """
        manifest = _parse_manifest(read_object(store, ref))
        if manifest is None:
            raise InvalidInput(
                f"{ref.uri} is not the manifest of an artifact, or of an earlier version's; start again from the video",
                uri=ref.uri,
            )
        found = manifest["recipe"]["stage"]
        if found != stage:
            raise InvalidInput(
                f"{ref.uri} is an artifact of stage {found!r}, where one of stage {stage!r} is needed",
                uri=ref.uri,
                stage=found,
            )
        return cls(store, ref, manifest)

    def part_ref(self, name: str) -> ArtifactRef:
        """The reference to one part. Raises NotFound if the artifact has none of that name."""
        digest = self._part(name)["sha256"]
        return ArtifactRef(uri=self._store.uri(_part_key(self.recipe, name, digest)), sha256=digest)

    def read_part(self, name: str) -> bytes:
        """The bytes of one part. Raises NotFound, DigestMismatch."""
        return read_object(self._store, self.part_ref(name))

    def fetch_part(self, name: str, path: Path) -> None:
        """As `read_part`, into a file in bounded memory."""
        fetch_object(self._store, self.part_ref(name), path)

    def part_meta(self, name: str) -> dict[str, Any]:
        """What the writer noted about one part. Raises NotFound."""
        return self._part(name)["meta"]

    def _part(self, name: str) -> dict[str, Any]:
        if name not in self.parts:
            raise NotFound(f"the artifact {self.ref.uri} has no part {name!r}", uri=self.ref.uri, part=name)
        return self.parts[name]


class ArtifactWriter:
    """Writes the artifact of a recipe, or goes on with what an earlier writer left.

    Nothing that changes from run to run (times, host names) may go into parts or meta: the same recipe should
    give the same bytes.
    """

    def __init__(self, store: Store, recipe: Recipe) -> None:
        self._store = store
        self._recipe = recipe
        self._sidecars: dict[str, dict[str, Any]] = {}

    def finished(self) -> ArtifactRef | None:
        """The artifact if it exists whole, with all its parts; otherwise None."""
        present = {entry.key for entry in self._store.list(f"{self._recipe.key}/parts/")}
        for entry in self._store.list(f"{self._recipe.key}/manifests/"):
            data = self._store.get(entry.key)
            manifest = _parse_manifest(data)
            # Buckets have expiry rules: a part can be gone before its manifest. Then it is made again.
            if manifest is not None and all(
                _part_key(self._recipe, name, part["sha256"]) in present for name, part in manifest["parts"].items()
            ):
                return ArtifactRef(uri=self._store.uri(entry.key), sha256=sha256_of(data))
        return None

    def has_part(self, name: str) -> bool:
        """Whether this part is done, by this writer or an earlier one."""
        return self._sidecar(name) is not None

    def put_part(self, name: str, data: bytes | Path, meta: Mapping[str, Any] | None = None) -> None:
        """Writes one part, from bytes or from a file, and notes `meta` (JSON values) about it."""
        digest = sha256_of(data)
        put_object(self._store, _part_key(self._recipe, name, digest), data)
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        sidecar = {"sha256": digest, "bytes": size, "meta": dict(meta or {})}
        self._store.put(self._sidecar_key(name), _canonical_json(sidecar))
        self._sidecars[name] = sidecar

    def read_part(self, name: str) -> bytes:
        """The bytes of a part that is done. Raises NotFound, DigestMismatch."""
        digest = self._done(name)["sha256"]
        uri = self._store.uri(_part_key(self._recipe, name, digest))
        return read_object(self._store, ArtifactRef(uri=uri, sha256=digest))

    def part_meta(self, name: str) -> dict[str, Any]:
        """The meta of a part that is done. Raises NotFound."""
        return self._done(name)["meta"]

    def finish(self, meta: Mapping[str, Any], parts: list[str] | None = None) -> ArtifactRef:
        """Writes the manifest, and so makes the artifact exist.

        Args:
            meta: JSON values about the whole.
            parts: names of the parts that belong to it, all of them done; by default every part that is done.
                Checkpoints are left out by naming the others.
        """
        names = self._all_done() if parts is None else sorted(parts)
        manifest = _canonical_json(
            {
                "recipe": self._recipe.as_json(),
                "meta": dict(meta),
                "parts": {name: self._done(name) for name in names},
            }
        )
        return put_object(self._store, f"{self._recipe.key}/manifests/{sha256_of(manifest)}.json", manifest)

    def _all_done(self) -> list[str]:
        stored = self._store.list(f"{self._recipe.key}/sidecars/")
        names = {entry.key.rpartition("/")[2].removesuffix(".json") for entry in stored} | self._sidecars.keys()
        return sorted(name for name in names if self.has_part(name))

    def _done(self, name: str) -> dict[str, Any]:
        sidecar = self._sidecar(name)
        if sidecar is None:
            raise NotFound(f"the artifact {self._recipe.key} has no part {name!r} yet", key=self._recipe.key, part=name)
        return sidecar

    def _sidecar(self, name: str) -> dict[str, Any] | None:
        if name not in self._sidecars:
            key = self._sidecar_key(name)
            if not self._store.exists(key):
                return None
            sidecar = _parse_sidecar(self._store.get(key))
            if sidecar is None or not self._store.exists(_part_key(self._recipe, name, sidecar["sha256"])):
                return None
            self._sidecars[name] = sidecar
        return self._sidecars[name]

    def _sidecar_key(self, name: str) -> str:
        return f"{self._recipe.key}/sidecars/{name}.json"


def _part_key(recipe: Recipe, name: str, digest: str) -> str:
    return f"{recipe.key}/parts/{digest}/{name}"


def _canonical_json(value: Any) -> bytes:
    """One spelling per value: sorted names, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


_SIDECAR = {"sha256": str, "bytes": int, "meta": dict}
_MANIFEST = {"recipe": dict, "meta": dict, "parts": dict}
_RECIPE = {"video": str, "stage": str, "version": int, "inputs": dict, "parameters": dict}


def _parse_sidecar(data: bytes) -> dict[str, Any] | None:
    value = _parse_json(data)
    return value if _has(value, _SIDECAR) else None


def _parse_manifest(data: bytes) -> dict[str, Any] | None:
    value = _parse_json(data)
    whole = _has(value, _MANIFEST) and _has(value["recipe"], _RECIPE)
    return value if whole and all(_has(part, _SIDECAR) for part in value["parts"].values()) else None


def _parse_json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _has(value: Any, members: Mapping[str, type]) -> bool:
    """Whether a value is a JSON object with members of these types."""
    return isinstance(value, dict) and all(isinstance(value.get(name), of) for name, of in members.items())
