"""What is read of a finished run, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seamline.checkpoints.stit_run import check_fits, read_run
from seamline.errors import InvalidInput, NotFound
from tests.fakes.stit import RUN, quads_of, small_generator, tuned, write_frames, write_options, write_run

PIVOTS = torch.randn(3, 10, 16)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return tuned(small_generator().state_dict())


@pytest.mark.parametrize("as_array", [True, False])
def test_a_run_is_read_from_the_clone_or_its_checkpoints(
    tmp_path: Path, state: dict[str, torch.Tensor], as_array: bool
) -> None:
    path = write_run(tmp_path, state, PIVOTS, quads_of(3) if as_array else list(quads_of(3)))
    for folder in (tmp_path, path.parent):
        run = read_run(folder, RUN)
        torch.testing.assert_close(run.pivots, PIVOTS)
        np.testing.assert_array_equal(run.quads, quads_of(3))
        assert run.tensors.keys() == state.keys()
        for name, tensor in state.items():
            torch.testing.assert_close(run.tensors[name], tensor)
        assert (run.frames_folder, run.start, run.passes) == (None, None, 0)
    check_fits(run, small_generator().state_dict(), "small")


def test_its_options_are_found(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    write_run(tmp_path, state, PIVOTS)
    write_options(tmp_path, start_frame=2)
    frames = write_frames(tmp_path / "video_frames", 1)
    run = read_run(tmp_path, RUN)
    assert (run.frames_folder, run.start, run.passes) == (frames, 2, 80)


def test_an_absent_run_is_refused_with_those_that_are_there(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    write_run(tmp_path, state, PIVOTS)
    for run in ("biden", "../checkpoints/model_obama", ""):
        with pytest.raises(NotFound, match=r"runs that it has: obama"):
            read_run(tmp_path, run)


@pytest.mark.parametrize(
    ("pivots", "quads", "message"),
    [
        (PIVOTS, quads_of(2), "3 pivots and 2 quads"),
        (PIVOTS[0], quads_of(3), "pivots are no tensor"),
        (PIVOTS * torch.nan, quads_of(3), "pivots hold NaN"),
        (PIVOTS, quads_of(3) * np.nan, r"quads have shape \(3, 4, 2\)"),
        (PIVOTS, [*quads_of(2), np.zeros((3, 2))], "quads are no list of arrays"),
        (PIVOTS, 3, "quads are no list of arrays"),
        (PIVOTS, quads_of(3) * [[[1], [1], [1], [2]]], "no parallelograms"),
        (PIVOTS, np.zeros((3, 4, 2)), "no parallelograms"),
    ],
)
def test_codes_and_quads_must_make_sense(
    tmp_path: Path, state: dict[str, torch.Tensor], pivots: Any, quads: Any, message: str
) -> None:
    write_run(tmp_path, state, pivots, quads)
    with pytest.raises(InvalidInput, match=rf"model_obama\.pt: .*{message}"):
        read_run(tmp_path, RUN)


def test_a_file_without_a_generator_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    for found, message in (({"pivots": PIVOTS}, "generator"), ({"generator": 3}, "no table"), (PIVOTS, "no table")):
        torch.save(found, tmp_path / "checkpoints" / "model_obama.pt")
        with pytest.raises(InvalidInput, match=message):
            read_run(tmp_path, RUN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: own.update({"mapping.w_avg": own["mapping.w_avg"] + 1}), r"mapping\.w_avg has other numbers"),
        (
            lambda own: own.update({"synthesis.b16.conv0.noise_const": torch.zeros(16, 16)}),
            r"b16\.conv0\.noise_const has other numbers",
        ),
        (
            lambda own: own.update({"synthesis.b4.const": torch.zeros(8, 4, 4)}),
            r"has shape \(16, 4, 4\), not \(8, 4, 4\)",
        ),
        (lambda own: own.update({"synthesis.b128.torgb.bias": torch.zeros(3)}), r"has shape None, not \(3,\)"),
    ],
)
def test_another_generator_is_told_apart(
    tmp_path: Path, state: dict[str, torch.Tensor], change: Callable[[Any], Any], message: str
) -> None:
    write_run(tmp_path, state, PIVOTS)
    own = small_generator().state_dict()
    change(own)
    with pytest.raises(InvalidInput, match=f"{message}: import it with the bundle"):
        check_fits(read_run(tmp_path, RUN), own, "small")


def test_pivots_of_another_size_are_told_apart(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    for pivots in (PIVOTS[:, :8], PIVOTS[..., :8]):
        write_run(tmp_path, state, pivots)
        with pytest.raises(InvalidInput, match="pivots are of"):
            check_fits(read_run(tmp_path, RUN), small_generator().state_dict(), "small")
