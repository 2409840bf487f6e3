"""Frozen networks as ONNX files, for servers and programs that have no torch."""

from seamline.exporting.bundle import Exported, export_bundle
from seamline.exporting.check import TOLERANCE, relative_errors
from seamline.exporting.onnx_file import OPSET, write_onnx
from seamline.exporting.signatures import MODELS, Model, Port, Side, Signature

__all__ = [
    "MODELS",
    "OPSET",
    "TOLERANCE",
    "Exported",
    "Model",
    "Port",
    "Side",
    "Signature",
    "export_bundle",
    "relative_errors",
    "write_onnx",
]
