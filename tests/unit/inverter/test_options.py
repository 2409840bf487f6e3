"""What a request and a bundle's table make together, and what an inversion's key depends on."""

from typing import Any

import pytest
from seamline_inverter.code_search import SearchConfig
from seamline_inverter.locality import LocalityConfig
from seamline_inverter.options import InversionConfig, Method, PivotSource, inversion_config
from seamline_inverter.pivotal_tuning import TuningConfig

from seamline.algorithm import Algorithm
from seamline.errors import InvalidInput
from seamline.v1.inverter_pb2 import (
    INVERSION_METHOD_ENCODER,
    INVERSION_METHOD_HYPERSTYLE,
    INVERSION_METHOD_PTI,
    PIVOT_METHOD_ENCODER,
    PIVOT_METHOD_OPTIMIZED,
    InvertOptions,
)
from seamline.v1.media_pb2 import ALGORITHM_DEFAULT, ALGORITHM_STIT

TABLE: dict[str, Any] = {"max_passes": 7, "batch_size": 2, "pivot_steps": 9}
ODD: Any = 77


def asked(table: dict[str, Any] = TABLE, **options: Any) -> InversionConfig:
    return inversion_config(table, InvertOptions(**options))


def test_nothing_asked_is_the_bundles_own() -> None:
    expected = InversionConfig(
        method=Method.PTI,
        pivots=PivotSource.ENCODER,
        tuning=TuningConfig(max_passes=7, batch_size=2),
        search=SearchConfig(pivot_steps=9),
    )
    assert asked() == expected
    assert asked({}) == InversionConfig()


def test_the_bundle_chooses_where_the_request_does_not() -> None:
    table = TABLE | {"method": "hyperstyle", "pivots": "optimized", "locality": True}
    own = asked(table)
    assert (own.method, own.pivots) == (Method.HYPERSTYLE, PivotSource.OPTIMIZED)
    assert own.tuning.locality == LocalityConfig()
    other = asked(table, method=INVERSION_METHOD_PTI, pivots=PIVOT_METHOD_ENCODER, locality=False)
    assert (other.method, other.pivots, other.tuning.locality) == (Method.PTI, PivotSource.ENCODER, None)


def test_locality_has_ptis_numbers() -> None:
    locality = asked(locality=True).tuning.locality
    assert locality == LocalityConfig(alpha=30.0, l2_weight=0.1, perceptual_weight=0.1, psi=0.5)


def test_stits_algorithm_is_the_classes_own_defaults() -> None:
    table = TABLE | {"method": "hyperstyle", "pivots": "optimized", "locality": True}
    config = asked(table, algorithm=ALGORITHM_STIT)
    assert config == InversionConfig(algorithm=Algorithm.STIT)
    tuning = config.tuning
    assert (tuning.max_passes, tuning.learning_rate, tuning.batch_size) == (80, 3e-5, 1)
    assert (tuning.seed, tuning.precision, tuning.target_psnr_db) == (None, "float32", 0.0)


def test_what_is_asked_for_outright_wins_over_stits() -> None:
    config = asked(algorithm=ALGORITHM_STIT, max_passes=3, method=INVERSION_METHOD_HYPERSTYLE)
    assert (config.method, config.tuning) == (Method.HYPERSTYLE, TuningConfig(max_passes=3))


@pytest.mark.parametrize(
    ("options", "passes"),
    [({}, 21), ({"max_passes": 5}, 15), ({"algorithm": ALGORITHM_STIT}, 240)],
    ids=["the bundle's", "the request's", "STIT's"],
)
def test_a_factor_multiplies_whoevers_passes(options: dict[str, Any], passes: int) -> None:
    assert asked(pass_factor=3, **options).tuning.max_passes == passes


@pytest.mark.parametrize("factor", [0.0, -1.0, 101.0, float("nan")])
def test_a_factor_is_kept_in_range(factor: float) -> None:
    with pytest.raises(InvalidInput, match="pass_factor") as error:
        asked(pass_factor=factor)
    assert error.value.field == "options.pass_factor"


def test_the_default_algorithm_leaves_no_trace_in_the_key() -> None:
    assert asked(algorithm=ALGORITHM_DEFAULT).parameters == asked().parameters
    assert "algorithm" not in asked().parameters
    encoded = {"method": INVERSION_METHOD_ENCODER}
    assert asked(algorithm=ALGORITHM_STIT, **encoded).parameters != asked(**encoded).parameters


@pytest.mark.parametrize("name", ["method", "pivots", "algorithm"])
def test_refuses_choices_that_it_does_not_know(name: str) -> None:
    with pytest.raises(InvalidInput, match="this version does not know") as caught:
        asked(**{name: ODD})
    assert caught.value.field == f"options.{name}"


@pytest.mark.parametrize("name", ["method", "pivots"])
def test_refuses_tables_with_choices_that_it_does_not_know(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"sets {name} to 'magic'"):
        asked({name: "magic"})


def test_refuses_names_that_no_setting_has() -> None:
    with pytest.raises(InvalidInput, match="speed"):
        asked({"speed": 3})


METHODS = [INVERSION_METHOD_PTI, INVERSION_METHOD_HYPERSTYLE, INVERSION_METHOD_ENCODER]
PIVOTS = [PIVOT_METHOD_ENCODER, PIVOT_METHOD_OPTIMIZED]


def test_every_choice_has_a_key_of_its_own() -> None:
    ways = [asked(method=method, pivots=pivots).parameters for method in METHODS for pivots in PIVOTS]
    ways.append(asked(locality=True).parameters)
    assert all(way not in ways[:number] for number, way in enumerate(ways))


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"max_passes": 3}, [True, False, False]),
        ({"target_psnr_db": 20.0}, [True, False, False]),
        ({"learning_rate": 0.01}, [True, True, False]),
        ({"locality": True}, [True, True, False]),
    ],
)
def test_what_tunes_counts_only_where_it_is_used(options: dict[str, Any], counts: list[bool]) -> None:
    found = [asked(method=method, **options).parameters != asked(method=method).parameters for method in METHODS]
    assert found == counts


def test_the_search_counts_only_where_something_is_searched_for() -> None:
    other = TABLE | {"pivot_steps": 50}
    assert asked(other).parameters == asked().parameters
    optimized = {"pivots": PIVOT_METHOD_OPTIMIZED}
    assert asked(other, **optimized).parameters != asked(**optimized).parameters
