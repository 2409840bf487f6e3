"""The `seamline` command."""

import os

# Read when gRPC is imported; what it would note of connections on the terminal is in our errors, too.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from seamline.cli.app import main

__all__ = ["main"]
