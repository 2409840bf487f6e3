"""Settings of the editor service."""

from pydantic import Field, field_validator

from seamline.errors import InvalidInput
from seamline.rpc.config import ServerConfig
from seamline_editor.addresses import Origins


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

    @field_validator("url_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        try:
            Origins.parse(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value
