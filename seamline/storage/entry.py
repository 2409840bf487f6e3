"""What a listing says of an object."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An object as the store lists it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """When it was written, by the store's clock, in UTC."""
