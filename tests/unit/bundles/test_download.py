import os
import signal
from threading import Event

import pytest

from seamline.bundles.download import ATTEMPTS, Wanted, download
from seamline.errors import InvalidInput, NotFound, Precondition, ServiceUnavailable
from tests.fakes.file_server import Served, serving

CONTENT = os.urandom(300_000)


@pytest.fixture
def served():
    with serving(Served(files={"some/weights.pt": CONTENT})) as server:
        yield server


def get(served, target, **known):
    pauses: list[float] = []
    download(Wanted(url=f"{served.url}/some/weights.pt", **known), target, sleep=pauses.append)
    return pauses


def left(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_fetched_with_its_progress_and_nothing_else_stays(served, tmp_path):
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "weights.pt"
    download(Wanted(url=f"{served.url}/some/weights.pt"), target, lambda *at: seen.append(at))
    assert target.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert left(tmp_path) == ["weights.pt"]


def test_connections_that_are_cut_are_taken_up_where_they_broke(served, tmp_path):
    served.cuts = [100_000, 50_000]
    get(served, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert [range for _, range in served.asked] == ["", "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_is_asked_for_all_again(served, tmp_path):
    served.cuts, served.ranges = [100_000], False
    get(served, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_parts_of_two_versions_are_not_joined(served, tmp_path):
    served.cuts = [100_000]

    def change():
        if len(served.asked) == 2:
            served.files["some/weights.pt"], served.etag = CONTENT[::-1], '"two"'

    served.on_request = change
    get(served, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT[::-1]


def test_without_a_promise_that_it_is_the_same_only_a_checked_file_is_resumed(served, tmp_path):
    served.etag, served.cuts = "", [100_000]
    get(served, tmp_path / "weights.pt")
    assert [range for _, range in served.asked] == ["", ""]
    served.asked, served.cuts = [], [100_000]
    get(served, tmp_path / "again.pt", checked=True)
    assert [range for _, range in served.asked] == ["", "bytes=100000-"]
    assert (tmp_path / "again.pt").read_bytes() == CONTENT


def killed_while_fetching(served, target, arrived):
    """Let another process fetch until so many bytes are on the disk, and kill it."""
    child = os.fork()
    if child == 0:
        try:
            get(served, target)
        finally:
            os._exit(0)
    part = target.with_name(f"{target.name}.part")
    pause = Event()
    for _ in range(500):
        if part.is_file() and part.stat().st_size >= arrived:
            break
        pause.wait(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_is_killed_twice_loses_nothing_that_arrived(tmp_path):
    megabytes = os.urandom(5 << 20)
    with serving(Served(files={"some/weights.pt": megabytes}, cuts=[2 << 20, 2 << 20], stall=Event())) as served:
        for arrived in (1 << 20, 3 << 20):
            killed_while_fetching(served, tmp_path / "weights.pt", arrived)
            assert not (tmp_path / "weights.pt").exists()
        get(served, tmp_path / "weights.pt")
        assert (tmp_path / "weights.pt").read_bytes() == megabytes
        starts = [int(range.removeprefix("bytes=").rstrip("-") or 0) for _, range in served.asked]
        assert starts[0] == 0
        assert 0 < starts[1] < starts[2]


def test_a_busy_server_is_asked_again_after_growing_pauses(served, tmp_path):
    served.statuses = [503, 429, 500]
    assert get(served, tmp_path / "weights.pt") == [1.0, 2.0, 4.0]


def test_a_server_that_never_gives_more_is_given_up_and_the_part_is_kept(served, tmp_path):
    served.cuts = [100_000] + [0] * 20
    with pytest.raises(ServiceUnavailable, match=r"100000 bytes of it are kept: run the same command again"):
        get(served, tmp_path / "weights.pt")
    assert len(served.asked) == ATTEMPTS
    served.cuts = []
    get(served, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert served.asked[-1][1] == "bytes=100000-"


def test_nobody_at_the_address_is_said(tmp_path):
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        download(Wanted(url="http://127.0.0.1:9/weights.pt"), tmp_path / "weights.pt", sleep=lambda _: None)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [(404, NotFound, "no such file"), (403, Precondition, "is refused"), (401, Precondition, "is refused")],
)
def test_a_refusal_is_not_repeated(served, tmp_path, status, error, reason):
    served.statuses = [status]
    with pytest.raises(error, match=reason):
        get(served, tmp_path / "weights.pt")
    assert len(served.asked) == 1


def test_a_web_page_is_not_taken_for_the_file(served, tmp_path):
    served.html = True
    with pytest.raises(Precondition, match="Google Drive"):
        get(served, tmp_path / "weights.pt")
    assert left(tmp_path) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(served, tmp_path):
    for size in (len(CONTENT) - 1, len(CONTENT) + 1):
        with pytest.raises(InvalidInput, match=f"{len(CONTENT)} bytes, where {size} are expected"):
            get(served, tmp_path / "weights.pt", size=size)
    assert left(tmp_path) == []


def test_a_file_without_end_is_cut_off(served, tmp_path, monkeypatch):
    monkeypatch.setattr("seamline.bundles.download.LARGEST_BYTES", 1000)
    with pytest.raises(InvalidInput, match="at most are expected"):
        get(served, tmp_path / "weights.pt")
    assert left(tmp_path) == []


def test_redirects_lead_to_http_only(served, tmp_path):
    served.redirects = {"here": f"{served.url}/some/weights.pt", "away": "file:///etc/passwd", "round": "/round"}
    download(Wanted(url=f"{served.url}/here"), tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    with pytest.raises(InvalidInput, match="only http and https"):
        download(Wanted(url=f"{served.url}/away"), tmp_path / "other.pt")
    with pytest.raises(ServiceUnavailable, match="redirects"):
        download(Wanted(url=f"{served.url}/round"), tmp_path / "other.pt", sleep=lambda _: None)


def test_a_disk_that_is_full_is_named(served, tmp_path):
    (tmp_path / "weights.pt.part").mkdir()
    with pytest.raises(Precondition, match="cannot be written"):
        get(served, tmp_path / "weights.pt")
