"""Whether the object store does what a service asks of it."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from seamline.diagnosis.check import fault, fault_of, ok, warning
from seamline.errors import InvalidInput, SeamlineError
from seamline.storage import Store, open_store
from seamline.v1.diagnostics_pb2 import Check

SUBJECT = "store"
PROBES = "probes/"
"""Prefix of the objects that a diagnosis writes, and removes again."""
SLOW = timedelta(seconds=3)
"""A small object that takes longer to write, read and remove makes every stage wait."""
MOST_SKEW = timedelta(minutes=1)
"""Between the clocks of a service and its store, both of which the age of an object is measured with."""

_CONTENT = b"seamline doctor"
_REMEDY = "look at the store's own log"
_CLOCKS = "set both by NTP: S3 refuses requests that are 15 minutes off"
_SAME_STORE = "give SEAMLINE_STORE, and --store, the same bucket and prefix everywhere"


def check_store(url: str, seen: str = "") -> Check:
    """Writes, lists, reads and removes an object.

    Args:
        url: of the store.
        seen: key of an object that must be in it, as the caller has put it into its own store; empty for none.
    """
    try:
        if seen and not seen.startswith(PROBES):
            raise InvalidInput(f"probe is {seen!r}; name an object below {PROBES}", field="probe")
        return _tried(open_store(url), seen)
    except InvalidInput as error:
        return fault_of(SUBJECT, error, "mend SEAMLINE_STORE, and set the credentials beside it")
    except SeamlineError as error:
        return fault_of(SUBJECT, error, _REMEDY)


def _tried(store: Store, seen: str) -> Check:
    key, start = _new_key(), datetime.now(UTC)
    place = store.uri(key).removesuffix(f"/{key}")
    store.put(key, _CONTENT)
    written = datetime.now(UTC)
    times = [entry.modified for entry in store.list(key)]
    content = store.get(key)
    store.delete([key])
    end = datetime.now(UTC)
    if content != _CONTENT or not times:
        wrong = "gives back other bytes than were written" if times else "does not list what was written"
        return fault(SUBJECT, f"{place} {wrong}", _REMEDY)
    if seen and not store.exists(seen):
        return fault(SUBJECT, f"{place} is another store than its caller's, who has put an object there", _SAME_STORE)
    if (skew := _skew(times[0], start, written)) > MOST_SKEW:
        return warning(SUBJECT, f"its clock and {place}'s are {skew.total_seconds():.0f} s apart", _CLOCKS)
    if end - start > SLOW:
        slow = f"{place}: a small object took {(end - start).total_seconds():.1f} s to write, read and remove"
        return warning(SUBJECT, slow, "look at the store's load and at the network between")
    return ok(SUBJECT, f"wrote, read and removed an object in {place}")


def _skew(modified: datetime, start: datetime, end: datetime) -> timedelta:
    """How far the store's clock is off ours, given when we know that it wrote."""
    return max(start - modified, modified - end, timedelta())


def put_probe(url: str) -> str:
    """Writes an object for others to look for. Returns its key; empty if that fails, as `check_store` will say."""
    with suppress(SeamlineError):
        store, key = open_store(url), _new_key()
        store.put(key, _CONTENT)
        return key
    return ""


def remove_probe(url: str, key: str) -> None:
    """Removes what `put_probe` has written, if it can be."""
    with suppress(SeamlineError):
        open_store(url).delete([key])


def _new_key() -> str:
    return f"{PROBES}{uuid.uuid4().hex}"
