"""Stitching tuning of frames together and one by one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from seamline_stitcher.stitching_tuning import Goal, StitchingConfig, masked_loss, stitch

from seamline.bundles import Bundle
from seamline.editing.edit import EditedCodes
from seamline.errors import InvalidInput
from seamline.networks import Generator
from tests.fakes.bundle import tiny_bundle

TOGETHER = StitchingConfig(
    max_steps=12,
    learning_rate=2e-3,
    style_learning_rate=2e-2,
    frames_together=4,
    batch_size=2,
    seed=0,
    precision="bfloat16",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(Path(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def generator(bundle: Bundle) -> Generator:
    return bundle.generator().requires_grad_(False)


@pytest.fixture(scope="module")
def goal(bundle: Bundle, generator: Generator) -> Goal:
    drawn = torch.randn(6, bundle.num_ws, bundle.w_dim, generator=torch.Generator().manual_seed(1))
    codes = bundle.latent_avg + 0.3 * drawn
    content = torch.zeros(6, 1, 64, 64)
    content[..., 20:44, 20:44] = 1
    border = torch.zeros(6, 1, 64, 64)
    border[..., 14:50, 14:50] = 1
    source, edit = generator.synthesis(codes), generator.synthesis(codes + bundle.directions["smile"])
    return Goal(
        codes=EditedCodes(codes=codes + bundle.directions["smile"]),
        source=source,
        edit=edit,
        border=border - content,
        content=content,
    )


def ignore(border: torch.Tensor, total: torch.Tensor) -> None:
    pass


@pytest.mark.parametrize("config", [TOGETHER, replace(TOGETHER, frames_together=1, style_learning_rate=0.0)])
def test_the_border_moves_to_the_source(generator: Generator, goal: Goal, config: StitchingConfig) -> None:
    stitched = stitch(generator, goal, config, ignore)
    assert goal.border_loss(stitched.images).mean() < 0.6 * goal.border_loss(goal.edit).mean()


def test_the_content_loss_keeps_the_edit(generator: Generator, goal: Goal) -> None:
    configs = [replace(TOGETHER, content_weight=weight) for weight in (0.0, 1.0)]
    free, kept = (goal.content_loss(stitch(generator, goal, config, ignore).images).mean() for config in configs)
    assert kept < 0.5 * free


def test_own_styles_help_frames_that_share_a_copy(generator: Generator, goal: Goal) -> None:
    # In fewer steps the copy is still far from what it can do, and rounding decides which is ahead.
    shared, own = (replace(TOGETHER, max_steps=24, style_learning_rate=rate) for rate in (0.0, 5e-3))
    losses = [goal.border_loss(stitch(generator, goal, config, ignore).images).mean() for config in (shared, own)]
    assert losses[1] < 0.9 * losses[0]


def test_both_rates_fall_linearly(generator: Generator, goal: Goal, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[list[float]] = []
    step = torch.optim.Adam.step

    def watched(optimizer: torch.optim.Adam) -> None:
        rates.append([group["lr"] for group in optimizer.param_groups])
        step(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    stitch(generator, goal[:4], replace(TOGETHER, max_steps=5, final_rate=0.1), ignore)
    # Four updates a pass: nine tenths of the first rate are lost over twenty steps.
    for column, first in zip(zip(*rates, strict=True), (2e-3, 2e-2), strict=True):
        assert column == pytest.approx([first * (1 - 0.045 * number) for number in range(20)])


@pytest.mark.parametrize(("frames", "batches"), [(1, 1), (5, 5), (9, 5), (20, 7), (24, 8), (64, 16)])
def test_few_frames_are_taken_in_smaller_batches(generator: Generator, goal: Goal, frames: int, batches: int) -> None:
    sizes: list[int] = []
    many = goal[torch.arange(frames) % len(goal)]
    config = replace(TOGETHER, frames_together=64, batch_size=4, max_steps=1)
    stitch(generator, many, config, lambda border, total: sizes.append(len(border)))
    assert (len(sizes), sum(sizes)) == (batches, frames)


def test_frames_alone_are_independent_of_each_other(generator: Generator, goal: Goal) -> None:
    config = replace(TOGETHER, frames_together=1, max_steps=2)
    all_frames, one = stitch(generator, goal, config, ignore), stitch(generator, goal[3:4], config, ignore)
    assert torch.equal(all_frames.images[3:4], one.images)


def test_style_offsets_of_the_edit_are_drawn(generator: Generator, goal: Goal) -> None:
    styles = [torch.full_like(style, 0.2) for style in generator.styles(goal.codes.codes)]
    offset = EditedCodes(codes=goal.codes.codes, styles=styles)
    with torch.no_grad():
        edit = generator.synthesis_from_styles(offset.styles_in(generator))
    config = replace(TOGETHER, frames_together=1, target_border_loss=100.0, precision="float32")  # takes no step
    drawn = stitch(generator, replace(goal, codes=offset, edit=edit), config, ignore).images
    torch.testing.assert_close(drawn, edit, rtol=1e-4, atol=1e-4)
    assert (drawn - goal.edit).abs().max() > 0.05


@pytest.mark.parametrize(("rate", "held"), [(0.0, True), (1e-2, False)])
def test_styles_of_an_edit_are_held_unless_frames_have_their_own(
    generator: Generator, goal: Goal, monkeypatch: pytest.MonkeyPatch, rate: float, held: bool
) -> None:
    learned: list[set[str]] = []
    step = torch.optim.Adam.step

    def watched(optimizer: torch.optim.Adam) -> None:
        names = [name for name, _ in generator.synthesis.named_parameters()]
        pairs = zip(names, optimizer.param_groups[0]["params"], strict=True)
        learned.append({name for name, weight in pairs if weight.grad is not None})
        step(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    styles = [torch.full_like(style, 0.2) for style in generator.styles(goal.codes.codes[:1])]
    asked = replace(goal[:1], codes=EditedCodes(codes=goal.codes.codes[:1], styles=styles))
    config = replace(TOGETHER, frames_together=1, max_steps=2, style_learning_rate=rate)
    stitch(generator, asked, config, ignore)
    assert len(learned) == 2
    assert any(".affine." in name for name in learned[0]) is not held
    assert any(name.endswith("conv1.weight") for name in learned[0])


def test_the_generator_itself_is_not_changed(generator: Generator, goal: Goal) -> None:
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    stitch(generator, goal, replace(TOGETHER, max_steps=1), ignore)
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def test_same_input_gives_the_same_bits(generator: Generator, goal: Goal) -> None:
    config = replace(TOGETHER, max_steps=3)
    first, again = (stitch(generator, goal, config, ignore).images for _ in range(2))
    assert torch.equal(first, again)


def test_every_frame_takes_max_steps_without_a_target(generator: Generator, goal: Goal) -> None:
    calls: list[int] = []
    config = replace(TOGETHER, max_steps=3)
    stitched = stitch(generator, goal, config, lambda border, total: calls.append(len(border)))
    assert stitched.steps == [3] * 6
    assert sum(calls) == 18


def test_stops_at_the_target(generator: Generator, goal: Goal) -> None:
    naive = goal.border_loss(goal.edit).mean().item()
    reached = stitch(generator, goal, replace(TOGETHER, target_border_loss=0.5 * naive, max_steps=200), ignore)
    assert max(reached.steps) < 100
    assert goal.border_loss(reached.images).mean() < 0.6 * naive


def test_a_goal_that_is_met_costs_no_step(generator: Generator, goal: Goal) -> None:
    config = replace(TOGETHER, frames_together=1, target_border_loss=100.0)
    assert stitch(generator, goal, config, ignore).steps == [0] * 6


def test_an_empty_mask_has_no_loss() -> None:
    images = torch.ones(1, 3, 8, 8)
    assert masked_loss(images, -images, torch.zeros(1, 1, 8, 8)).item() == 0


def test_loss_is_summed_over_channels_and_divided_by_the_mask() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2] = 1
    assert masked_loss(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), mask).item() == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("learning_rate", float("inf")),
        ("target_border_loss", -1.0),
        ("final_rate", 1.5),
        ("batch_size", 0),
    ],
)
def test_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        StitchingConfig(**{name: value})
    assert caught.value.field == f"options.{name}"
