"""Settings of the inverter service."""

from seamline.rpc.config import ServerConfig


class InverterConfig(ServerConfig):
    """What every service reads; the inverter has nothing of its own."""
