"""What a store's operations leave in the metrics."""

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from seamline.errors import NotFound, StoreUnavailable
from seamline.storage import open_store
from seamline.storage.measured import MeasuredStore
from tests.fakes.stores import FailOnceStore


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"seamline_store_{name}", labels)
    assert value is not None  # every label set exists before anything happens
    return value


def test_seconds_bytes_and_failures_are_counted_by_operation(tmp_path: Path) -> None:
    def counts() -> dict[str, float]:
        operations = ("put", "get", "list", "delete", "discard")
        seconds = {op: sample("operation_duration_seconds_count", operation=op) for op in operations}
        moved = {f"{op} bytes": sample("bytes_total", operation=op) for op in ("put", "get")}
        return {**seconds, **moved, "missing": sample("failures_total", operation="get", error="not_found")}

    before = counts()
    store = open_store((tmp_path / "store").as_uri())
    store.put("a", b"12345")
    (tmp_path / "file").write_bytes(b"1234567")
    store.put_file("b", tmp_path / "file")
    assert store.get("a") == b"12345"
    store.get_file("b", tmp_path / "copy")
    assert [entry.key for entry in store.list("")] == ["a", "b"]
    with pytest.raises(NotFound):
        store.get("c")
    store.delete(["a"])
    assert store.discard("") == 0
    change = {name: after - before[name] for name, after in counts().items()}
    calls = {"put": 2, "get": 3, "list": 1, "delete": 1, "discard": 1}
    assert change == {**calls, "put bytes": 12, "get bytes": 12, "missing": 1}


def test_a_store_that_is_away_is_told_from_an_object_that_is_missing(tmp_path: Path) -> None:
    before = sample("failures_total", operation="exists", error="unavailable")
    store = MeasuredStore(FailOnceStore(open_store(tmp_path.as_uri()), "exists"))
    with pytest.raises(StoreUnavailable):
        store.exists("a")
    assert not store.exists("a")
    assert sample("failures_total", operation="exists", error="unavailable") == before + 1
