"""What an inversion can be asked for, and which of it the result depends on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from math import ceil
from typing import Any, TypeVar

from seamline.algorithm import Algorithm
from seamline.errors import InvalidInput
from seamline.tuning import PASS_FACTORS, check_ranges, settings
from seamline.v1.inverter_pb2 import (
    INVERSION_METHOD_ENCODER,
    INVERSION_METHOD_HYPERSTYLE,
    INVERSION_METHOD_PTI,
    PIVOT_METHOD_ENCODER,
    PIVOT_METHOD_OPTIMIZED,
    InvertOptions,
)
from seamline_inverter.code_search import SearchConfig
from seamline_inverter.locality import LocalityConfig
from seamline_inverter.pivotal_tuning import TuningConfig


class Method(StrEnum):
    """How the generator is made to draw the crops."""

    PTI = "pti"
    """Pivotal tuning, one generator per track."""
    HYPERSTYLE = "hyperstyle"
    """The hypernetwork's weights and a short tuning to a few crops, one generator per track."""
    ENCODER = "encoder"
    """The bundle's generator as it is."""


class PivotSource(StrEnum):
    """Where the pivots come from."""

    ENCODER = "encoder"
    """e4e."""
    OPTIMIZED = "optimized"
    """A search for one code of W per crop, begun at the encoder's."""


METHODS = {
    INVERSION_METHOD_PTI: Method.PTI,
    INVERSION_METHOD_HYPERSTYLE: Method.HYPERSTYLE,
    INVERSION_METHOD_ENCODER: Method.ENCODER,
}
PIVOT_SOURCES = {PIVOT_METHOD_ENCODER: PivotSource.ENCODER, PIVOT_METHOD_OPTIMIZED: PivotSource.OPTIMIZED}

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How an alignment is inverted."""

    method: Method = Method.PTI
    pivots: PivotSource = PivotSource.ENCODER
    tuning: TuningConfig = field(default_factory=TuningConfig)
    """Counts with PTI, and but for passes and batches with HYPERSTYLE; its number format counts always."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Counts with optimised pivots."""
    algorithm: Algorithm = Algorithm.DEFAULT
    """STIT's also feeds the encoder as STIT does, and keeps the tuned weights in float32."""

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the result depends on, and nothing else, for the recipe."""
        counting: dict[str, Any] = {
            "method": self.method.value,
            "pivots": self.pivots.value,
            "precision": self.tuning.precision,
        }
        if self.method is Method.PTI:
            counting["tuning"] = asdict(self.tuning)
        if self.method is Method.HYPERSTYLE:
            own = {"max_passes", "target_psnr_db", "batch_size"}  # a few crops are not gone over in passes
            counting["tuning"] = {name: value for name, value in asdict(self.tuning).items() if name not in own}
        if self.pivots is PivotSource.OPTIMIZED:
            counting["search"] = asdict(self.search)
        if self.algorithm is Algorithm.STIT:
            counting["algorithm"] = self.algorithm.value
        return counting


def inversion_config(table: Mapping[str, Any], options: InvertOptions) -> InversionConfig:
    """What a request asks for, and the bundle's defaults where it asks for nothing.

    Args:
        table: the bundle's table for the stage: `method`, `pivots` and `locality`, and the fields of
            `TuningConfig` and `SearchConfig`. With STIT's algorithm it does not count.
        options: the request's.

    Raises:
        InvalidInput: the table has another name, or a value is unknown or out of range.
    """
    algorithm = Algorithm.of(options.algorithm)
    table = algorithm.table(table)
    names = {one.name for one in fields(SearchConfig)}
    search = {name: value for name, value in table.items() if name in names}
    tuning = {name: value for name, value in table.items() if name not in names | {"method", "pivots", "locality"}}
    asked = InvertOptions()
    asked.CopyFrom(options)
    asked.ClearField("locality")  # a switch here, and a table of its own there
    locality = options.locality if options.HasField("locality") else bool(table.get("locality"))
    tuned = replace(settings(TuningConfig, tuning, asked), locality=LocalityConfig() if locality else None)
    return InversionConfig(
        method=_chosen(Method, METHODS, options.method, table, "method"),
        pivots=_chosen(PivotSource, PIVOT_SOURCES, options.pivots, table, "pivots"),
        tuning=replace(tuned, max_passes=_multiplied(tuned.max_passes, options)),
        search=SearchConfig(**search),
        algorithm=algorithm,
    )


def _multiplied(passes: int, options: InvertOptions) -> int:
    check_ranges(options, PASS_FACTORS)
    return ceil(passes * (options.pass_factor if options.HasField("pass_factor") else 1.0))


def _chosen(kind: type[E], known: Mapping[Any, E], number: int, table: Mapping[str, Any], name: str) -> E:
    """A request's choice; else the table's; else the first there is."""
    if number:
        if number not in known:
            raise InvalidInput(
                f"{name} is {number}, which this version does not know: use one of {', '.join(map(str, known))}",
                field=f"options.{name}",
            )
        return known[number]
    default = table.get(name, next(iter(kind)).value)
    try:
        return kind(default)
    except ValueError:
        raise InvalidInput(f"the bundle's [invert] sets {name} to {default!r}; use one of {', '.join(kind)}") from None
