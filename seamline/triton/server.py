"""A Triton server as services ask it: one channel that recovers by itself, and every failure by its name.

An inference has no effect but its answer, so that one which broke off is asked for again; whoever waits for it sees
nothing of a server that is back within `patience_seconds`.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

from seamline.bundles import Bundle
from seamline.bundles.frozen import FrozenNetwork
from seamline.errors import InvalidInput, Precondition
from seamline.exporting.signatures import MODELS
from seamline.rpc.metrics import REMOTE_RETRIES, REMOTE_SECONDS
from seamline.rpc.tls import Tls
from seamline.triton.configuration import served_name
from seamline.triton.failures import AWAY, LATE, error_of
from seamline.triton.remote import RemoteNetwork

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

ENCRYPTED = "grpcs://"
ANSWER_SECONDS = 60.0
"""For a batch."""
LOOK_UP_SECONDS = 10.0
"""For what the server knows without computing."""
PATIENCE_SECONDS = 30.0
"""A server that starts anew reads its models for about that long; the editor repeats a call several times beyond it."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0
IN_FLIGHT = 2
"""Requests of one batch that are under way together: one is computed while the other travels."""

_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Over all addresses that the name resolves to: a headless service in Kubernetes.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)
Request = Mapping[str, np.ndarray]
"""Arrays (B, ...) by the names of the model's inputs."""
T = TypeVar("T")


class Served(NamedTuple):
    """A model that the server was found to have."""

    name: str
    """As the server calls it."""
    largest_batch: int


class TritonServer:
    """Runs frozen networks of bundles. Safe to share between threads.

    What it serves is compared with the bundle at the first request for a model, and again once the server was away.
    """

    def __init__(
        self,
        endpoint: str,
        tls: Tls = Tls(),
        *,
        answer_seconds: float = ANSWER_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Prepares; it connects when it is first asked.

        Args:
            endpoint: "host:port", where the name may stand for several replicas; "grpcs://host:port" for TLS.
            tls: for an endpoint with TLS, whom to trust and what to show.
            answer_seconds: how long one answer may take.
            patience_seconds: how long a server that is away is asked again.

        Raises:
            InvalidInput: TLS is asked for without authorities, or a file of theirs is wrong.
            Precondition: the package that speaks with Triton is not installed.
        """
        self.endpoint = endpoint
        self._answer_seconds, self._patience_seconds = answer_seconds, patience_seconds
        encrypted = endpoint.startswith(ENCRYPTED)
        if encrypted and not tls.ca:
            raise InvalidInput(
                f"SEAMLINE_TRITON is {endpoint}, but nothing says which authorities to trust: set SEAMLINE_TLS_CA",
                field="SEAMLINE_TLS_CA",
            )
        self._credentials = (tls if encrypted else Tls()).channel_credentials()
        self._package = _client_package()
        self._connected: tuple[Any, InferenceServerClient] | None = None
        self._served: dict[tuple[str, str], Served] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="triton")
        for name in MODELS:
            REMOTE_SECONDS.labels(name)
            REMOTE_RETRIES.labels(name)

    def network(self, bundle: Bundle, name: str) -> FrozenNetwork:
        """One of a bundle's models, as `seamline.exporting.MODELS` names them.

        Nothing is asked before the first batch.

        Raises:
            InvalidInput: the bundle has no such model.
        """
        return RemoteNetwork(self, bundle, name)

    def served(self, bundle: Bundle, name: str) -> Served:
        """What the server says of a model.

        Raises:
            ServiceUnavailable: the server does not answer.
            Precondition: it has no such model, or that of another bundle.
        """
        return self._asked(bundle, name, lambda client: self._compared(client, bundle, name))

    def infer(self, bundle: Bundle, name: str, requests: Sequence[Request], output: str) -> list[np.ndarray | None]:
        """Ask for each of some batches.

        Args:
            bundle: whose model it is.
            name: the model.
            requests: batches that the model takes, of at most its largest size.
            output: name of the model's output.

        Returns:
            The output for each request, None where the answer has none of that name, or not the bytes of its shape.

        Raises:
            ServiceUnavailable: the server did not answer, not even later.
            Precondition: as `served`.
            SeamlineError: it failed.
        """
        if len(requests) == 1:
            return [self._infer(bundle, name, requests[0], output)]
        return list(self._threads.map(lambda request: self._infer(bundle, name, request, output), requests))

    def _infer(self, bundle: Bundle, name: str, request: Request, output: str) -> np.ndarray | None:
        inputs = []
        for key, array in request.items():
            datatype = "INT64" if array.dtype == np.int64 else "FP32"
            inputs.append(self._package.InferInput(key, list(array.shape), datatype).set_data_from_numpy(array))
        wanted = [self._package.InferRequestedOutput(output)]

        def ask(client: "InferenceServerClient") -> np.ndarray | None:
            served = self._compared(client, bundle, name).name
            result = client.infer(served, inputs, outputs=wanted, client_timeout=self._answer_seconds)
            try:
                return cast(np.ndarray | None, result and result.as_numpy(output))
            except ValueError:  # of numpy: the bytes are not those of the shape
                return None

        with REMOTE_SECONDS.labels(name).time():
            return self._asked(bundle, name, ask)

    def _asked(self, bundle: Bundle, name: str, ask: Callable[["InferenceServerClient"], T]) -> T:
        from tritonclient.utils import InferenceServerException

        wait, end = FIRST_WAIT_SECONDS, None
        while True:
            try:
                return ask(self._client())
            except InferenceServerException as error:
                failure = error
            self._forget(bundle, name, failure)
            now = time.monotonic()
            end = now + self._patience_seconds if end is None else end
            if failure.status() not in AWAY or now + wait > end:
                raise error_of(failure, self.endpoint, served_name(bundle.name, name)) from failure
            REMOTE_RETRIES.labels(name).inc()
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _client(self) -> "InferenceServerClient":
        """The channel; another one after a certificate has changed. One that is left closes after its last call."""
        credentials = self._credentials.get()
        with self._lock:
            if self._connected is None or self._connected[0] is not credentials:
                address = self.endpoint.removeprefix(ENCRYPTED)
                client = self._package.InferenceServerClient(address, creds=credentials, channel_args=list(_CHANNEL))
                self._connected = (credentials, client)
            return self._connected[1]

    def _compared(self, client: "InferenceServerClient", bundle: Bundle, name: str) -> Served:
        key = (bundle.digest, name)
        with self._lock:
            known = self._served.get(key)
        if known is not None:
            return known
        served = served_name(bundle.name, name)
        config: Any = client.get_model_config(served, client_timeout=LOOK_UP_SECONDS)
        found = config.config.parameters["bundle_sha256"].string_value
        if found != bundle.digest:
            raise Precondition(
                f"Triton at {self.endpoint} serves {served} of bundle {bundle.name} {found[:12] or '?'}, here is "
                f"{bundle.digest[:12]}: install the same bundle on both sides, and run seamline triton export again",
                endpoint=self.endpoint,
                model=served,
                served=found,
                bundle=bundle.digest,
            )
        known = Served(served, max(1, config.config.max_batch_size))
        with self._lock:
            self._served[key] = known
        return known

    def _forget(self, bundle: Bundle, name: str, failure: "InferenceServerException") -> None:
        """Drops what may be otherwise when the server is back, and a channel whose other end may be gone for good."""
        with self._lock:
            self._served.pop((bundle.digest, name), None)
            if failure.status() == LATE:
                self._connected = None


def _client_package() -> Any:
    try:
        import tritonclient.grpc
    except (ImportError, RuntimeError) as error:  # the latter where the package is there without its extra
        raise Precondition(
            f"SEAMLINE_TRITON needs the package tritonclient[grpc] ({error}): pip install 'seamline[triton]'"
        ) from error
    return tritonclient.grpc
