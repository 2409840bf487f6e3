"""What every service reads from its environment."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from seamline.rpc.callers import Gate, gate_of, open_gate
from seamline.rpc.tls import Tls


class ServerConfig(BaseSettings):
    """Settings of one service process, each from the environment variable SEAMLINE_<NAME>.

    A service adds its own fields in a subclass. Read it once, with `read`, in __main__.
    """

    model_config = SettingsConfigDict(env_prefix="SEAMLINE_", frozen=True, extra="ignore", populate_by_name=True)

    host: str = "0.0.0.0"
    """Address to listen on, for calls and for metrics."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port for calls; 0 takes a free one."""
    metrics_port: int = Field(default=9090, ge=0, le=65535)
    """Port for Prometheus; 0 takes a free one."""
    port_file: Path | None = None
    """Where to write the bound ports, as JSON {"grpc": …, "metrics": …}, once the service is ready."""
    store: str
    """URL of the object store, for instance s3://bucket/prefix?endpoint=http://127.0.0.1:9000 or file:///dir."""
    bundles_path: Path | None = Field(default=None, validation_alias=AliasChoices("SEAMLINE_BUNDLES", "bundles_path"))
    """Directory of the installed bundles (SEAMLINE_BUNDLES); None for those that come with Seamline."""
    device: str = "cpu"
    """Where the networks run, as torch names it: cpu, cuda, cuda:1."""
    triton: str = Field(default="", pattern=r"^(|(grpcs://|dns:///)?[^/\s]+:\d+)$")
    """Triton server that runs the networks which are only run: host:port, every address of the host in turns, or
    grpcs://host:port for TLS with the settings below; empty to run them on `device`."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of torch; 0 leaves it to torch, which in a container counts the cores of the node."""
    max_concurrent_stages: int = Field(default=1, ge=1)
    """Stage calls that run at a time, as many as the device holds."""
    queue: int = Field(default=1, ge=0)
    """Stage calls that may wait for their turn; one more is refused with RESOURCE_EXHAUSTED."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long calls under way may go on after SIGTERM; less than the pod's terminationGracePeriodSeconds."""
    tls_certificate: str = ""
    """PEM file of the certificate, and the chain above it, to serve with and to show to the services called; empty to
    serve plaintext. The files of all four settings are read again when they change."""
    tls_key: str = ""
    """PEM file of its key."""
    tls_client_ca: str = ""
    """PEM file of authorities: callers must show a certificate of one of them; empty if they need not."""
    tls_client_names: str = ""
    """Names with commas between: callers must show a certificate for one of them; empty for any of the authority's."""
    tls_ca: str = ""
    """PEM file of the authorities of the services called, or `system`; empty to call them in plaintext."""
    health_port: int | None = Field(default=None, ge=0, le=65535)
    """A second port, without TLS, that answers nothing but grpc.health.v1, for probes that know no TLS; 0 takes a free
    one, None has none."""
    max_message_bytes: int = Field(default=4 << 20, ge=1024)
    """Largest message accepted; frames never travel in messages."""
    max_connection_age_seconds: float = Field(default=60.0, ge=0)
    """Age at which connections are renewed, so that callers see new replicas; streams finish on the old one.
    0 never renews."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG also logs health checks."""

    @property
    def tls(self) -> Tls:
        """The four settings of TLS."""
        return Tls(certificate=self.tls_certificate, key=self.tls_key, client_ca=self.tls_client_ca, ca=self.tls_ca)

    def gate(self) -> Gate:
        """Who may call.

        Raises:
            InvalidInput: settings contradict each other, or a file that they name is wrong.
        """
        return gate_of(self.tls_client_names, self.tls_client_ca, open_gate)

    @classmethod
    def read(cls) -> Self:
        """Reads the environment.

        Raises:
            SystemExit: says of each variable that is missing or wrong what is the matter.
        """
        try:
            return cls()  # pyright: ignore[reportCallIssue]  (the environment has the required fields)
        except ValidationError as error:
            faults = [f"{_variable(str(fault['loc'][0]))}: {fault['msg']}" for fault in error.errors()]
            raise SystemExit("wrong environment: " + "; ".join(faults)) from None


def _variable(name: str) -> str:
    return name if name.startswith("SEAMLINE_") else f"SEAMLINE_{name.upper()}"
