"""The server process: prepares the home when asked to, then answers over TLS 1.3."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable

import uvicorn

from ringfence import __version__
from ringfence.api.server import create_app
from ringfence.app import Platform, build
from ringfence.errors import UnavailableError
from ringfence.settings import ServerSettings, Settings, load
from ringfence.supervisor import child
from ringfence.supervisor.home import Home

log = logging.getLogger(__name__)


def serve(settings: Settings, reporter: child.Reporter, *, prepare: bool) -> None:
    """Serve until told to stop.

    Raises:
        UnavailableError: the port is in use, or a part of the platform is missing.
    """
    listener = listening(settings.server)
    platform = build(settings)
    if prepare:
        platform.prepare()
    platform.audit_upkeep.start()
    reporter.tell("prepared")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the server raises it again after its own orderly end
    # Not waited for: the platform answers before its last agent does.
    threading.Thread(target=platform.serving.start, name="endpoints", daemon=True).start()
    try:
        _Server(_config(platform), lambda: reporter.tell("ready", url=settings.server.url)).run([listener])
    finally:
        platform.close()


def listening(server: ServerSettings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        UnavailableError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UnavailableError("port.in_use", f"Port {server.port} is used by another program.",
                                   fix="Choose another one with --port.", field="port",
                                   value=str(server.port)) from error
        raise UnavailableError("port.unusable", f"{server.host}:{server.port} can't be listened on: {error.strerror}.",
                               fix="Choose another address or port.", field="port", value=str(server.port)) from error
    return listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def _config(platform: Platform) -> uvicorn.Config:
    server = platform.settings.server
    return uvicorn.Config(
        create_app(platform), log_config=None, access_log=False, server_header=False, date_header=True,
        proxy_headers=False, ws="none", lifespan="on", limit_concurrency=server.connections, backlog=1024,
        timeout_keep_alive=30, timeout_graceful_shutdown=5, h11_max_incomplete_event_size=32 << 10, http="h11",
        ssl_certfile=platform.authority.certificate_path, ssl_keyfile=platform.authority.key_path,
        ssl_context_factory=_only_tls13)


def _only_tls13(_: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def main() -> int:
    """Run the server as a child of the supervisor."""
    settings = load()
    prepare = "--prepare" in sys.argv
    log.info("ringfence %s", __version__)
    return child.run("server", Home(settings.home).logs,
                     lambda reporter: serve(settings, reporter, prepare=prepare))


if __name__ == "__main__":
    sys.exit(main())
