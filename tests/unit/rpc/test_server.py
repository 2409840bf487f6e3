"""What the server sets up once in its process; tests/integration/test_rpc.py starts it for real."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import torch

from seamline.rpc.server import _limit_torch


def test_the_thread_limit_holds_in_the_worker_threads() -> None:
    before = torch.get_num_threads()
    try:
        _limit_torch(before + 1)
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(torch.get_num_threads).result() == before + 1
        _limit_torch(0)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_server_without_a_moment_to_drain_stops_cleanly_every_time() -> None:
    """In a process of its own: what is looked for is a crash of it."""
    program = """
import asyncio
from seamline.rpc.config import ServerConfig
from seamline.rpc.server import started
from seamline.v1 import metrics_pb2  # declares the service

async def main():
    config = ServerConfig(host="127.0.0.1", port=0, metrics_port=0, drain_seconds=0, store="file:///tmp")
    for _ in range(12):
        async with started(config, lambda server: None, "seamline.v1.MetricsService"):
            pass

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
