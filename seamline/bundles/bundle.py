"""A bundle as programs use it: networks, directions and defaults of one face domain."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from math import isfinite
from pathlib import Path
from threading import RLock
from typing import Any, cast

import torch
from torch import Tensor, nn

from seamline.bundles.frozen import FrozenNetwork, FrozenServer, TorchNetwork
from seamline.bundles.manifest import EditSpec, NetworkEntry, Scalar, manifest_path, read_manifest
from seamline.bundles.places import find_installed
from seamline.bundles.relevance import Relevance, convolution_channels
from seamline.bundles.weights import frozen, load_into, read_weights
from seamline.errors import InvalidInput, Precondition, UnknownEdit
from seamline.networks import Generator
from seamline.networks.e4e import LATENT_AVG
from seamline.networks.registry import ENTRIES, build, configured

DEFAULT_BUNDLE = "avatar-256"


def load_bundle(
    name: str = "", search: Path | None = None, device: str = "cpu", server: FrozenServer | None = None
) -> "Bundle":
    """Open an installed bundle; its networks are read when they are first used.

    Args:
        name: Its directory; empty for `DEFAULT_BUNDLE`.
        search: Directory that holds bundles; by default the repository's `bundles/`, then the user's own.
        device: Where its networks live.
        server: What runs the frozen ones instead.

    Returns:
        The bundle; one and the same object as long as its manifest stays as it is.

    Raises:
        NotFound: No such bundle; the message lists those that are installed.
        Precondition: Its networks have to be fetched first; the message says how.
        InvalidInput: Its manifest is wrong.
    """
    directory = find_installed(name or DEFAULT_BUNDLE, search)
    digest = hashlib.sha256(manifest_path(directory).read_bytes()).hexdigest()
    return _open(directory.resolve(), digest, device, server)


@lru_cache(maxsize=4)
def _open(directory: Path, digest: str, device: str, server: FrozenServer | None) -> "Bundle":
    return Bundle(directory, device, server)  # the digest is part of the cache's key


class Bundle:
    """The networks, directions and defaults of one face domain. Safe to share between threads.

    Attributes:
        name: As requests name it.
        digest: sha256 of its manifest, which holds the digests of all its files.
        resolution: Side of crops and images in pixels.
        edits: What it can do, by name.
        defaults: Its hyper-parameters, `defaults["invert"]` and `defaults["stitch"]`.
    """

    def __init__(self, directory: Path, device: str = "cpu", server: FrozenServer | None = None) -> None:
        self.directory, self.device, self._server = directory, torch.device(device), server
        self.manifest, content = read_manifest(directory)
        self.name, self.resolution = self.manifest.name, self.manifest.resolution
        self.digest = hashlib.sha256(content).hexdigest()
        self.edits: Mapping[str, EditSpec] = self.manifest.edits
        self.defaults: Mapping[str, Mapping[str, Scalar]] = self.manifest.defaults
        self._modules: dict[str, nn.Module] = {}
        self._lock = RLock()

    def has(self, kind: str) -> bool:
        """Whether there is a network of this kind: some are optional."""
        return kind in self.manifest.networks

    def module(self, kind: str) -> nn.Module:
        """One of its networks in float32, frozen: read once and shared. Gradients may flow to its input.

        Raises:
            InvalidInput: The bundle has no such network, or its file does not fit its config.
            NotFound: The file is not there.
            DigestMismatch: The file is not the one that the manifest names.
        """
        with self._lock:
            if kind not in self._modules:
                self._modules[kind] = frozen(self._read(kind), self.device)
            return self._modules[kind]

    def model(self, name: str) -> nn.Module:
        """One of its networks, or a part of one (`ENTRIES`) by the part's name; see `module` for the errors."""
        if name not in ENTRIES:
            return self.module(name)
        kind, part = ENTRIES[name]
        return part(self.module(kind))

    def config(self, kind: str) -> Any:
        """What one of its networks is built from, as its class of `KINDS` has it; the network is not read.

        Raises:
            InvalidInput: The bundle has no such network, or its config is wrong.
        """
        return self._made(configured, kind)

    def frozen(self, name: str) -> FrozenNetwork:
        """What `model` names behind `infer`: in this process, where it is read first, or on the bundle's server."""
        if self._server is not None:
            return self._server.network(self, name)
        kind = ENTRIES[name].kind if name in ENTRIES else name
        return TorchNetwork(self.model(name), self.device, self._entry(kind).precision)

    def infer(self, name: str, *inputs: Tensor) -> Tensor:
        """Run a batch through what `model` names; see `FrozenNetwork.infer`."""
        return self.frozen(name).infer(*inputs)

    def generator(self) -> Generator:
        """A trainable float32 generator of the caller's own; see `module` for the errors."""
        shared = self.module("generator")
        copy = cast(Generator, self._build("generator"))
        copy.load_state_dict(shared.state_dict())
        return copy.train().to(self.device)

    @property
    def num_ws(self) -> int:
        """Codes that one image takes."""
        return self.config("generator").num_ws

    @property
    def w_dim(self) -> int:
        """Length of one code."""
        return self.config("generator").w_dim

    @cached_property
    def latent_avg(self) -> Tensor:
        """The average code (num_ws, w_dim), to which the encoder's codes are added: its own, or the generator's."""
        if self.has("e4e") and self.config("e4e").own_average:
            return cast(Tensor, getattr(self.module("e4e"), LATENT_AVG)).clone()
        average = cast(Generator, self.module("generator")).mapping.w_avg
        return average.expand(self.num_ws, -1).clone()

    @cached_property
    def directions(self) -> Mapping[str, Tensor]:
        """What to add to the codes for a strength of 1, by edit: (num_ws, w_dim) each.

        Raises:
            InvalidInput: An edit has no direction, or it does not fit the generator.
        """
        if self.manifest.directions is None:
            return {}
        tensors = read_weights(self.directory, self.manifest.directions)
        path = self.directory / self.manifest.directions.file
        shape = (self.num_ws, self.w_dim)
        for name in self.edits:
            if name not in tensors:
                raise InvalidInput(f"{path}: tensor {name} is missing; the manifest lists it as an edit", path=path)
            if tensors[name].shape != shape:
                found = tuple(tensors[name].shape)
                raise InvalidInput(f"{path}: tensor {name} has shape {found}, the generator needs {shape}", path=path)
        return {name: tensors[name].to(self.device) for name in self.edits}

    @cached_property
    def relevance(self) -> Relevance:
        """What text edits need, in float32; see `module` for further errors.

        Raises:
            Precondition: There is none, or it was measured with other networks.
            InvalidInput: It does not fit the generator or CLIP.
        """
        entry, networks = self.manifest.relevance, self.manifest.networks
        remedy = f"run seamline styleclip prepare --bundle {self.name}"
        if entry is None:
            raise Precondition(f"bundle {self.name} is not prepared for text edits: {remedy}", bundle=self.name)
        for kind, digest in (("generator", entry.generator), ("clip", entry.clip)):
            if kind not in networks or networks[kind].sha256 != digest:
                raise Precondition(
                    f"bundle {self.name} was prepared for text edits with another {kind}: {remedy}", bundle=self.name
                )
        channels = sum(convolution_channels(cast(Generator, self.module("generator"))))
        embedding = self.config("clip").embedding
        tensors = {name: tensor.to(self.device) for name, tensor in read_weights(self.directory, entry).items()}
        what = str(self.directory / entry.file)
        return Relevance.of(tensors, entry.beta, (channels, embedding), what, entry.longest_step)

    def check_edits(self, edits: Sequence[tuple[str, float]]) -> None:
        """Check names and strengths.

        Raises:
            UnknownEdit: An edit does not exist, or its strength is out of range; `field` says which.
        """
        for index, (name, strength) in enumerate(edits):
            spec = self.edits.get(name)
            if spec is None:
                known = ", ".join(sorted(self.edits)) or "none"
                raise UnknownEdit(
                    f"bundle {self.name} has no edit {name!r}; it has: {known}",
                    field=f"edits[{index}].name",
                    edit=name,
                )
            if not isfinite(strength) or not spec.min_strength <= strength <= spec.max_strength:
                low, high = spec.min_strength, spec.max_strength
                raise UnknownEdit(
                    f"edit {name!r} takes strengths from {low:g} to {high:g}, got {strength:g}",
                    field=f"edits[{index}].strength",
                    edit=name,
                )

    def _entry(self, kind: str) -> NetworkEntry:
        if kind not in self.manifest.networks:
            known = ", ".join(sorted(self.manifest.networks))
            raise InvalidInput(f"bundle {self.name} has no {kind} network; it has: {known}", bundle=self.name)
        return self.manifest.networks[kind]

    def _build(self, kind: str) -> nn.Module:
        return self._made(build, kind)

    def _made(self, make: Callable[[str, Mapping[str, Any]], Any], kind: str) -> Any:
        try:
            return make(kind, self._entry(kind).config)
        except (InvalidInput, KeyError, TypeError, ValueError) as error:
            path = manifest_path(self.directory)
            raise InvalidInput(f"{path}: networks.{kind}.config: {error}", path=path) from error

    def _read(self, kind: str) -> nn.Module:
        entry = self._entry(kind)
        tensors = read_weights(self.directory, entry)
        module = self._build(kind)
        load_into(module, tensors, self.directory / entry.file)
        return module
