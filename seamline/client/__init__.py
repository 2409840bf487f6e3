"""The asyncio client of Seamline's services, for product backends, the CLI and the editor itself."""

from seamline.client.channel import open_channel
from seamline.client.client import Client
from seamline.client.stage import Retry, call_stage

__all__ = ["Client", "Retry", "call_stage", "open_channel"]
