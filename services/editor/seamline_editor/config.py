"""Settings of the editor service."""

from pydantic import Field

from seamline.rpc.config import ServerConfig


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
