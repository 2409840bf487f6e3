"""Settings of the editor service."""

from pathlib import Path

from pydantic import Field, field_validator

from seamline.client.tokens import PLAINTEXT_TOKENS, is_loopback
from seamline.errors import InvalidInput
from seamline.rpc.callers import Gate, gate_of
from seamline.rpc.config import ServerConfig
from seamline_editor.addresses import Origins
from seamline_editor.clients import ClientGate


class EditorConfig(ServerConfig):
    """Where the stages are, and how many of them one edit may use.

    An endpoint is "host:port", several of them "a:1,b:2", or "dns:///service:port" for every replica behind a
    headless service. `max_concurrent_stages` is how many videos are written at a time.
    """

    aligner: str
    """Endpoints of the aligner."""
    inverter: str
    """Endpoints of the inverter."""
    stitcher: str
    """Endpoints of the stitcher."""
    metrics: str
    """Endpoints of the metrics service."""
    stitch_concurrency: int = Field(default=0, ge=0)
    """Frame ranges of one video that are stitched at a time; 0 for one per listed endpoint, and 8 behind a
    dns:/// name."""
    patience_seconds: float = Field(default=1800.0, ge=0)
    """How long a stage may be refused, because every replica is full, before the edit fails."""
    url_origins: str = ""
    """Origins that videos are fetched from and results sent to: scheme://host[:port], with commas between; empty for
    none. Plaintext only where an entry says http."""
    max_transfers: int = Field(default=2, ge=1)
    """Videos that are fetched or sent at a time."""
    transfer_seconds: float = Field(default=900.0, gt=0)
    """How long fetching a video may take, or sending one."""
    max_video_bytes: int = Field(default=1 << 30, ge=1)
    """Of a video that is fetched; the aligner's setting of that name holds for every video."""

    clients: str = ""
    """TOML file of the clients that may call, and what each may have: see `seamline_editor.clients`. It is read again
    when it changes. Empty to let in whoever reaches the port."""
    plaintext_tokens: bool = False
    """Whether clients may send their tokens unencrypted, because something else encrypts them: a mesh, a proxy."""

    def gate(self) -> Gate:
        """See `ServerConfig.gate`; behind the certificate's name comes the token."""
        if not self.clients:
            return super().gate()
        if not self.tls_certificate and not self.plaintext_tokens and not is_loopback(f"{self.host}:{self.port}"):
            raise InvalidInput(
                f"clients would send their tokens to {self.host}:{self.port} unencrypted: set SEAMLINE_TLS_CERTIFICATE "
                f"and SEAMLINE_TLS_KEY; or, where a mesh or a proxy encrypts, {PLAINTEXT_TOKENS}=true",
                field="SEAMLINE_CLIENTS",
            )
        return gate_of(self.tls_client_names, self.tls_client_ca, ClientGate(Path(self.clients)))

    @field_validator("url_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        try:
            Origins.parse(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value
