"""Who may call the editor: the clients of a TOML file, known by their tokens.

    [clients.shop]
    tokens = ["<SHA-256 of a token>"]      # several, while one takes the place of another
    concurrent_calls = 4                   # each of these three may be left out
    calls_per_hour = 200
    video_minutes_per_day = 600
    may = ["erase", "diagnose"]            # beside what everybody may

The file is read again when it changes. It holds no secret: from the digest of a random token nobody finds the token.
"""

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from seamline.errors import Forbidden, InvalidInput, Unauthenticated
from seamline.rpc.callers import Admission, Caller
from seamline.rpc.reloaded import Reloaded
from seamline_editor.quota import Quota, Usage

VARIABLE = "SEAMLINE_CLIENTS"
RIGHTS = {
    "/seamline.v1.EditorService/Erase": "erase",
    "/seamline.v1.DiagnosticsService/Diagnose": "diagnose",
}
"""Calls that not everybody may make."""

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class Client(Quota):
    """One client, as the file has it."""

    tokens: list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]] = Field(min_length=1)
    """SHA-256 of each of its tokens, in hexadecimal."""
    may: frozenset[Literal["erase", "diagnose"]] = Field(default=frozenset(), strict=False)
    """What it may beside editing, previewing and listing: `RIGHTS`."""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    clients: dict[Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]{1,64}$")], Client] = Field(min_length=1)


class ClientGate:
    """Lets in clients that show a token of theirs, as often and for as much as they may."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            InvalidInput: it cannot be read, or something in it is wrong.
        """
        self._clients = Reloaded([path], lambda: read_clients(path))
        self._usage: dict[str, Usage] = {}

    def __call__(self, caller: Caller) -> "Admitted":
        """Lets a call in.

        Raises:
            Unauthenticated: there is no token, or nobody has that one.
            Forbidden: the client may not make this call.
            QuotaExceeded: the client has had what it may have.
        """
        name, client = known(_token(caller.authorization), self._clients.get())
        right = RIGHTS.get(caller.method)
        if right and right not in client.may:
            raise Forbidden(f'client {name} may not {right}: whoever runs the editor can add "{right}" to its `may`')
        usage = self._usage.setdefault(name, Usage(name))
        usage.enter(client)
        return Admitted(name, client, usage)


class Admitted(Admission):
    """A client's call."""

    def __init__(self, name: str, client: Client, usage: Usage) -> None:
        self.client = name
        self._quota, self._usage = client, usage

    def charge(self, work: bytes, seconds: float) -> None:
        """See `Admission.charge`."""
        self._usage.charge(self._quota, work, seconds)

    def leave(self) -> None:
        """See `Admission.leave`."""
        self._usage.leave()


def known(token: str, clients: Mapping[str, Client]) -> tuple[str, Client]:
    """Whose token it is. All are compared, each in the same time: how long it takes tells nothing of them.

    Raises:
        Unauthenticated: nobody's.
    """
    digest = hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
    found = None
    for name, client in clients.items():
        for each in client.tokens:
            if hmac.compare_digest(each, digest):
                found = name, client
    if found is None:
        raise Unauthenticated("nobody has this token: check SEAMLINE_TOKEN; it may have been replaced by another")
    return found


def read_clients(path: Path) -> dict[str, Client]:
    """The clients of a file, by name.

    Raises:
        InvalidInput: names the file, the client and the setting.
    """
    try:
        clients = _File.model_validate(tomllib.loads(path.read_text())).clients
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}; name a file that the editor may read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is not TOML: {error}") from None
    except ValidationError as error:
        # Not what was given there: it might be the token itself.
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_input=False)]
        raise _wrong(path, "is wrong at " + "; ".join(faults)) from None
    owners: dict[str, str] = {}
    for name, client in clients.items():
        for token in client.tokens:
            if owners.setdefault(token, name) != name:
                raise _wrong(path, f"gives clients {owners[token]} and {name} the same token: make one for each")
    return clients


def _token(authorization: Sequence[str]) -> str:
    if not authorization:
        raise Unauthenticated(
            "the call has no token: send it as metadata, `authorization: Bearer …`; seamline's own client does if "
            "SEAMLINE_TOKEN is set"
        )
    shown = _BEARER.fullmatch(authorization[0])
    if len(authorization) > 1 or shown is None:
        raise Unauthenticated("what the call sends as `authorization` is not one `Bearer` and a token")
    return shown[1]


def _wrong(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"{VARIABLE} {path} {what}", field=VARIABLE)
