import json

import pytest

from seamline.cli import ablations
from seamline.cli.ablations import planned_rows, results_table, run_rows, write_table
from seamline.cli.choices import Blending, Choices, Inversion, Pivots
from seamline.cli.session import Session
from seamline.storage import open_store
from seamline.v1.editor_pb2 import EditInfo, ListEditsResponse
from seamline.v1.inverter_pb2 import INVERSION_METHOD_ENCODER, INVERSION_METHOD_HYPERSTYLE, INVERSION_METHOD_PTI
from seamline.v1.media_pb2 import EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER, Edit
from tests.unit.report.test_page import FIGURES

PLAIN = [INVERSION_METHOD_PTI, INVERSION_METHOD_ENCODER]
SMILE = (Edit(name="smile", strength=2),)
BOTH = [EDIT_METHOD_DIRECTION, EDIT_METHOD_LATENT_TRANSFORMER]
EVERYTHING = ListEditsResponse(
    bundle="full",
    edits=[EditInfo(name="smile", methods=BOTH), EditInfo(name="age", methods=BOTH[:1])],
    inversions=[*PLAIN, INVERSION_METHOD_HYPERSTYLE],
)
LITTLE = ListEditsResponse(bundle="plain", edits=[EditInfo(name="smile", methods=BOTH[:1])], inversions=PLAIN)


def test_every_row_differs_from_the_full_method_in_what_it_is_named_for():
    plan = planned_rows(Choices(), SMILE, EVERYTHING)
    rows = {row.file: row for row in plan.rows}
    assert plan.left_out == []
    assert next(iter(rows)) == "full"
    assert rows["full"].choices == Choices()
    assert rows["without-encoder"].choices == Choices(pivots=Pivots.W_OPT)
    assert rows["without-pti"].choices == Choices(inversion=Inversion.E4E)
    assert rows["without-stitching"].choices == Choices(blend=Blending.FEATHER)
    assert rows["locality"].choices == Choices(locality=True)
    assert rows["hyperstyle"].choices == Choices(inversion=Inversion.HYPERSTYLE)
    assert rows["latent-transformer"].choices == Choices(inversion=Inversion.E4E, blend=Blending.POISSON)
    (transformed,) = rows["latent-transformer"].edits
    assert transformed == Edit(name="smile", strength=2, method=EDIT_METHOD_LATENT_TRANSFORMER)
    assert all(row.edits == SMILE for name, row in rows.items() if name != "latent-transformer")


def test_rows_without_a_network_are_left_out_and_named():
    plan = planned_rows(Choices(), SMILE, LITTLE)
    assert {"hyperstyle", "latent-transformer"}.isdisjoint(row.file for row in plan.rows)
    assert [note.partition(":")[0] for note in plan.left_out] == ["HyperStyle", "Latent Transformer"]


def test_the_latent_transformer_must_know_every_edit():
    plan = planned_rows(Choices(), (*SMILE, Edit(name="age", strength=1)), EVERYTHING)
    assert plan.left_out == ["Latent Transformer: bundle full has none for smile, age"]


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """All rows, run by an editor that inverts in 10 s what it has not inverted before, and stitches in 2 s."""
    inverted = []

    async def edit_file(job, session, bars):
        options = job.choices.invert_options().SerializeToString()
        seconds = {"align": 5.0, "invert": 0.0 if options in inverted else 10.0, "stitch": 2.0}
        inverted.append(options)
        return FIGURES | job.choices.names() | {"methods": {}, "edit_effect": 1.0, "stage_seconds": seconds}

    monkeypatch.setattr(ablations, "edit_file", edit_file)
    session = Session(endpoint="editor:1", store=open_store(tmp_path.as_uri()))
    rows = planned_rows(Choices(), SMILE, EVERYTHING).rows
    return run_rows(rows, tmp_path / "in.mp4", tmp_path / "out", session)


def test_a_shared_inversion_costs_every_row_what_it_cost_the_first(shown):
    assert [each.seconds for each in shown] == [12.0] * 7


def test_the_table_has_every_row_and_the_papers_figures_apart(shown, tmp_path):
    write_table(tmp_path / "new" / "table.json", shown, ["one thing"])
    table = json.loads((tmp_path / "new" / "table.json").read_text())
    assert len(table["rows"]) == 7
    assert table["rows"][0]["invert_and_stitch_seconds"] == 12.0
    assert table["rows"][3]["blend"] == "feather"
    assert (table["paper"]["tl_id"], table["paper"]["tg_id"]) == (0.996, 0.933)
    assert "domain" in table["paper"]["note"]
    assert table["left_out"] == ["one thing"]
    drawn = results_table(shown, ["one thing"])
    assert drawn.row_count == 8
    assert "one thing" in str(drawn.caption)
