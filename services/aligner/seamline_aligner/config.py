"""Settings of the aligner service."""

from seamline.rpc.config import ServerConfig


class AlignerConfig(ServerConfig):
    """What every service reads; the aligner has nothing of its own."""
