"""What exporting needs and nothing else does."""

import importlib
from types import ModuleType

from seamline.errors import Precondition


def needed(name: str) -> ModuleType:
    """Import a package of the extra `onnx`.

    Raises:
        Precondition: It is not installed; the message says how to.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Precondition(f"ONNX files need the package {error.name}: pip install 'seamline[onnx]'") from error
