"""Checkpoints of other projects: read without running anything in them, and turned into networks of this one."""

from seamline.checkpoints.network_file import Converted, Description, describe, load_network, write_converted
from seamline.checkpoints.reading import read_checkpoint

__all__ = ["Converted", "Description", "describe", "load_network", "read_checkpoint", "write_converted"]
