"""Frozen networks on NVIDIA's Triton inference server."""

from seamline.triton.configuration import Serving, model_configuration, served_name
from seamline.triton.repository import Backend, write_repository

__all__ = ["Backend", "Serving", "model_configuration", "served_name", "write_repository"]
