"""A service's bundles, opened as its settings say."""

from seamline.bundles import Bundle, load_bundle
from seamline.bundles.frozen import FrozenServer
from seamline.rpc.config import ServerConfig
from seamline.triton.server import TritonServer


class Bundles:
    """What `load_bundle` does, for one service."""

    def __init__(self, config: ServerConfig) -> None:
        """Reads no bundle, and asks no server.

        Raises:
            InvalidInput, Precondition: see `TritonServer`.
        """
        self._config = config
        self._server: FrozenServer | None = TritonServer(config.triton, config.tls) if config.triton else None

    def open(self, name: str) -> Bundle:
        """An installed bundle by its name, the default one for none; see `load_bundle` for the errors."""
        return load_bundle(name, self._config.bundles_path, self._config.device, self._server)
