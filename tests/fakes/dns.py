"""A name server for one name whose addresses change."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

A, IN = 1, 1
FLAGS = 0x8580  # an authoritative answer without an error


class ChangingNames(asyncio.DatagramProtocol):
    """Answers every question about IPv4 addresses with the same ones, and any other with nothing.

    Attributes:
        endpoint: host:port of the server.
        addresses: what it answers from now on.
    """

    def __init__(self, addresses: list[str]) -> None:
        self.endpoint = ""
        self.addresses = addresses

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        host, port = transport.get_extra_info("sockname")
        self.endpoint = f"{host}:{port}"
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        question, (kind,) = data[12:end], struct.unpack("!H", data[end - 4 : end - 2])
        addresses = self.addresses if kind == A else []
        header = data[:2] + struct.pack("!5H", FLAGS, 1, len(addresses), 0, 0)
        # 0xC00C points at the name in the question; a name lives for no second.
        answers = [struct.pack("!HHHIH4B", 0xC00C, A, IN, 0, 4, *map(int, a.split("."))) for a in addresses]
        self._transport.sendto(header + question + b"".join(answers), addr)


@asynccontextmanager
async def names(*addresses: str) -> AsyncIterator[ChangingNames]:
    """The server, on a free port of loopback."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: ChangingNames(list(addresses)), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
