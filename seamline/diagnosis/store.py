"""Whether the object store does what a service asks of it."""

import time
import uuid
from contextlib import suppress

from seamline.diagnosis.check import fault, fault_of, ok, warning
from seamline.errors import InvalidInput, SeamlineError
from seamline.storage import Store, open_store
from seamline.v1.diagnostics_pb2 import Check

SUBJECT = "store"
PROBES = "probes/"
"""Prefix of the objects that a diagnosis writes."""
SLOW_SECONDS = 2.0
"""A small object that takes longer to write and read makes every stage wait."""

_CONTENT = b"seamline doctor"
_REMEDY = "look at the store's own log"
_SAME_STORE = "give SEAMLINE_STORE, and --store, the same bucket and prefix everywhere"


def check_store(url: str, seen: str = "") -> Check:
    """Writes and reads an object.

    Args:
        url: of the store.
        seen: key of an object that must be in it, as the caller has put it into its own store; empty for none.
    """
    try:
        if seen and not seen.startswith(PROBES):
            raise InvalidInput(f"probe is {seen!r}; name an object below {PROBES}", field="probe")
        return _tried(open_store(url), seen)
    except SeamlineError as error:
        return fault_of(SUBJECT, error, _REMEDY)


def _tried(store: Store, seen: str) -> Check:
    key, start = _new_key(), time.perf_counter()
    place = store.uri(key).removesuffix(f"/{key}")
    store.put(key, _CONTENT)
    content = store.get(key)
    seconds = time.perf_counter() - start
    if content != _CONTENT:
        return fault(SUBJECT, f"{place} gives back other bytes than were written", _REMEDY)
    if seen and not store.exists(seen):
        return fault(SUBJECT, f"{place} is another store than its caller's, who has put an object there", _SAME_STORE)
    if seconds > SLOW_SECONDS:
        slow = f"{place}: a small object took {seconds:.1f} s to write and read"
        return warning(SUBJECT, slow, "look at the store's load and at the network between")
    return ok(SUBJECT, f"wrote and read an object in {place}")


def put_probe(url: str) -> str:
    """Writes an object for others to look for. Returns its key; empty if that fails, as `check_store` will say."""
    with suppress(SeamlineError):
        store, key = open_store(url), _new_key()
        store.put(key, _CONTENT)
        return key
    return ""


def _new_key() -> str:
    return f"{PROBES}{uuid.uuid4().hex}"
