"""Settings of the metrics service."""

from seamline.rpc.config import ServerConfig


class MetricsConfig(ServerConfig):
    """What every service reads; the metrics service has nothing of its own."""
