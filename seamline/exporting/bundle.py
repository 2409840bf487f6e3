"""The frozen networks of a bundle as ONNX files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seamline.bundles import Bundle
from seamline.errors import InvalidInput
from seamline.exporting.onnx_file import write_onnx
from seamline.exporting.signatures import MODELS, Model, Signature


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file that was written."""

    name: str
    """The model's."""
    path: Path
    signature: Signature
    errors: Mapping[int, float]
    """Relative difference to torch by size of the batch."""


def models_of(bundle: Bundle, asked: Sequence[str] = ()) -> Mapping[str, Model]:
    """The models that a bundle can be exported as.

    Args:
        bundle: Any.
        asked: Their names; all that the bundle has when empty.

    Raises:
        InvalidInput: There is no such model, or the bundle has no such network.
    """
    there = {name: model for name, model in MODELS.items() if bundle.has(model.kind)}
    unknown = sorted(set(asked) - set(there))
    if unknown:
        raise InvalidInput(
            f"bundle {bundle.name} has no {unknown[0]} to export; it has: {', '.join(there)}",
            field="kind",
            bundle=bundle.name,
        )
    return {name: model for name, model in there.items() if not asked or name in asked}


def signature_of(bundle: Bundle, name: str) -> Signature:
    """What a model of a bundle takes and gives; see `Bundle.config` for the errors."""
    return MODELS[name].signature(bundle.config(MODELS[name].kind), bundle.resolution)


def export_bundle(bundle: Bundle, directory: Path, asked: Sequence[str] = ()) -> Iterator[Exported]:
    """Write one ONNX file a model.

    Args:
        bundle: On the CPU.
        directory: Where to put them, as `<model>.onnx`; what is there is replaced.
        asked: As in `models_of`.

    Yields:
        Every file once it is there.

    Raises:
        InvalidInput, NotFound, DigestMismatch: See `models_of` and `Bundle.module`.
        Precondition: See `write_onnx`; the files before it stay.
    """
    for name in models_of(bundle, asked):
        yield export_model(bundle, name, directory / f"{name}.onnx")


def export_model(bundle: Bundle, name: str, path: Path) -> Exported:
    """Write one model of a bundle to a file; see `export_bundle` for the errors."""
    signature, simplify = signature_of(bundle, name), MODELS[name].simplify
    errors = write_onnx(bundle.model(name), signature, path, properties_of(bundle, name), simplify=simplify)
    return Exported(name=name, path=path, signature=signature, errors=errors)


def properties_of(bundle: Bundle, name: str) -> dict[str, str]:
    """What tells a model of a bundle from all others, and whose it is."""
    entry = bundle.manifest.networks[MODELS[name].kind]
    return {
        "model": name,
        "kind": MODELS[name].kind,
        "bundle": bundle.name,
        "bundle_sha256": bundle.digest,
        "weights_sha256": entry.sha256,
        "licence": entry.licence,
        "source": entry.source,
    }
