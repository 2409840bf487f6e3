"""The table of steps against the services' code and the registry."""

import ast
import math
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from seamline.job import Job
from seamline.rpc.steps import SERVICES, STEPS, declare
from seamline.v1 import aligner_pb2, editor_pb2, inverter_pb2, metrics_pb2, stitcher_pb2

ROOT = Path(__file__).resolve().parents[3]
FILES = (aligner_pb2, editor_pb2, inverter_pb2, metrics_pb2, stitcher_pb2)


def steps_timed_in(service: str) -> set[str]:
    """The first argument of every `….step("…")` in a service's code."""
    name = service.rpartition(".")[2].removesuffix("Service").lower()
    calls = [
        node
        for file in (ROOT / "services" / name).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step"
    ]
    return {call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)}


def test_every_service_of_the_contract_has_its_stages() -> None:
    contract = {service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()}
    assert set(SERVICES) == contract
    assert sorted(stage for stages in SERVICES.values() for stage in stages) == sorted(STEPS)


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_has_the_steps_that_the_code_times_and_no_others(service: str) -> None:
    assert steps_timed_in(service) == {step for stage in SERVICES[service] for step in STEPS[stage]}


@pytest.mark.parametrize("service", SERVICES)
def test_what_has_not_happened_yet_is_zero_and_not_missing(service: str) -> None:
    declare(service)
    for stage in SERVICES[service]:
        for step in STEPS[stage]:
            labels = {"stage": stage, "step": step}
            assert REGISTRY.get_sample_value("seamline_stage_duration_seconds_count", labels) is not None
        for name in ("running", "queued"):
            assert REGISTRY.get_sample_value(f"seamline_stages_{name}", {"stage": stage}) is not None
        for reason in ("busy", "full", "draining"):
            labels = {"stage": stage, "reason": reason}
            assert REGISTRY.get_sample_value("seamline_stages_refused_total", labels) is not None
    (build,) = [metric for metric in REGISTRY.collect() if metric.name == "seamline_build"]
    assert build.samples[0].labels["service"] == service


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_work_is_counted_when_it_is_done_and_what_was_found_is_not() -> None:
    def frames() -> float:
        return sample("seamline_frames_processed_total", stage="align")

    def optimised() -> float:
        return sample("seamline_optimiser_steps_total", stage="invert", step="pti")

    before = frames(), optimised()
    with Job("align").step("observe", total=12) as step:
        step.skip(8)
        step.advance(3, faces=2)
        step.advance()
        assert frames() == before[0] + 4  # while it lasts
    with Job("invert").step("pti", total=12) as step:
        step.advance(5, psnr_db=30.0, loss=0.1)
    assert (frames(), optimised()) == (before[0] + 4, before[1] + 5)
    assert step.done == 5


def test_the_last_figures_of_a_step_that_ended_well_are_kept() -> None:
    def total(loss: str) -> float:
        return sample("seamline_final_loss_sum", stage="stitch", step="stitch", loss=loss)

    before = total("border_loss")
    with Job("stitch").step("stitch") as step:
        step.advance(border_loss=0.5, loss=float("nan"))
        step.advance(border_loss=0.25)
    with pytest.raises(ValueError, match="boom"), Job("stitch").step("stitch") as step:  # noqa: PT012
        step.advance(border_loss=100.0)
        raise ValueError("boom")
    assert total("border_loss") == pytest.approx(before + 0.25)
    assert math.isfinite(total("loss"))


def test_scores_go_where_their_names_say() -> None:
    before = sample("seamline_identity_score_sum", score="tg_id"), sample("seamline_seam_error_sum", kind="naive")
    with Job("score").step("compare") as step:
        step.advance(tl_id=0.9, tg_id=0.8, identity_similarity=0.7, seam_error_naive=0.02, seam_error_stitched=0.01)
    assert sample("seamline_identity_score_sum", score="tg_id") == pytest.approx(before[0] + 0.8)
    assert sample("seamline_seam_error_sum", kind="naive") == pytest.approx(before[1] + 0.02)
