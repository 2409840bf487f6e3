"""The `seamline` command."""

from seamline.cli.app import main

__all__ = ["main"]
