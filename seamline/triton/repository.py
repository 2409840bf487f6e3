"""A Triton model repository of a bundle."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from seamline.bundles import Bundle
from seamline.exporting.bundle import export_model, models_of, properties_of, signature_of
from seamline.storage.atomic import atomic_write
from seamline.triton.configuration import Serving, model_configuration, served_name

VERSION = "1"
PYTHON_MODEL = '''"""A network of an installed bundle, in torch: the server's Python needs the package seamline."""

from seamline.triton.python_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


class Backend(StrEnum):
    """What runs the models in the server, by Triton's name."""

    ONNXRUNTIME = "onnxruntime"
    """Files that need nothing but the server, each checked against torch."""
    PYTHON = "python"
    """For servers that have no other backend: seamline and the bundle are installed beside them."""


def write_repository(
    bundle: Bundle, directory: Path, backend: Backend, serving: Serving, asked: Sequence[str] = ()
) -> Iterator[Path]:
    """Write every model of a bundle as a server reads them.

    Args:
        bundle: On the CPU.
        directory: The repository; models of other bundles in it stay.
        backend: What runs them.
        serving: How they run.
        asked: Models as `seamline.exporting.MODELS` names them; all that the bundle has when empty.

    Yields:
        The directory of every model once it is whole. Its configuration is written last, and a server takes no
        directory without one.

    Raises:
        InvalidInput, NotFound, DigestMismatch, Precondition: See `seamline.exporting.export_bundle`.
    """
    for name in models_of(bundle, asked):
        model = directory / served_name(bundle.name, name)
        version = model / VERSION
        if backend is Backend.ONNXRUNTIME:
            export_model(bundle, name, version / "model.onnx")
        else:
            _write(version / "model.py", PYTHON_MODEL)
        text = model_configuration(
            model.name, backend, signature_of(bundle, name), properties_of(bundle, name), serving
        )
        _write(model / "config.pbtxt", text)
        yield model


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())
