"""What the server sets up once in its process; tests/integration/test_rpc.py starts it for real."""

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
