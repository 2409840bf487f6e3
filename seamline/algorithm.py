"""Whose way of tuning: the bundle's, or the reference's."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from seamline.errors import InvalidInput
from seamline.v1 import media_pb2


class Algorithm(StrEnum):
    """Whose way of tuning is taken where a request sets nothing itself."""

    DEFAULT = "default"
    """The bundle's own settings."""
    STIT = "stit"
    """Those of Stitch it in Time, which are the defaults of the classes of settings."""

    def to_proto(self) -> media_pb2.Algorithm.ValueType:
        """As requests have it."""
        return media_pb2.Algorithm.Value(f"ALGORITHM_{self.name}")

    @classmethod
    def of(cls, number: int, field: str = "options.algorithm") -> "Algorithm":
        """What a request asks for.

        Raises:
            InvalidInput: the number is unknown; `field` says where it stands.
        """
        known: dict[int, Algorithm] = {media_pb2.ALGORITHM_UNSPECIFIED: cls.DEFAULT}
        known |= {each.to_proto(): each for each in cls}
        if number not in known:
            raise InvalidInput(
                f"{field} is {number}, which this version does not know: use one of {', '.join(map(str, known))}",
                field=field,
            )
        return known[number]

    def table(self, bundles: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings that stand in for what a request leaves open, beside a class's own: a bundle's, or none."""
        return {} if self is Algorithm.STIT else bundles
