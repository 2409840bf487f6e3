"""Settings of the stitcher service."""

from seamline.rpc.config import ServerConfig


class StitcherConfig(ServerConfig):
    """What every service reads; the stitcher has nothing of its own."""
