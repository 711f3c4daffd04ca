"""The socket and the process: listen on 127.0.0.1, say where, serve until told to stop."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from plugin_bridge.app import create_app
from plugin_bridge.bridge import Bridge
from plugin_bridge.discovery import Discovery, discovery_file, publish, refuse_second, withdraw
from plugin_bridge.guard import SECURITY_HEADERS
from plugin_bridge.problems import encode_problem
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

ADDRESS = "127.0.0.1"
MAX_HEAD = 32_000  # bytes of a request line with its headers
LOGS = ("uvicorn.error", "spresso.bridge", "asyncio")
GOODBYE_S = 3  # that running answers have when the server stops


class _Protocol(H11Protocol):
    """What is not even HTTP is answered like any other mistake."""

    def send_400_response(self, msg: str) -> None:
        fault = SpressoError("this is not a valid HTTP/1.1 request", code="bad_request", hint="Is there one Host?")
        status, headers, body = encode_problem(fault, 400)
        headers |= {**SECURITY_HEADERS, "content-length": str(len(body)), "connection": "close"}
        response = h11.Response(status_code=status, headers=list(headers.items()), reason=b"Bad Request")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Tells when it listens; stops cleanly on a signal instead of dying of it afterwards."""

    def __init__(self, config: uvicorn.Config, bridge: Bridge, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._bridge = bridge
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._bridge.hang_up()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again at the end, and the exit code would be that of a killed process."""
        try:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: somebody else takes the signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class BridgeServer:
    """A bridge with its socket.

    Args:
        bridge: what to serve.
        file: discovery file; None publishes nothing.
    """

    def __init__(self, bridge: Bridge, file: Path | None) -> None:
        self.bridge = bridge
        self._file = file
        self._server: _Server | None = None

    def run(self, listening: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, Ctrl-C or SIGTERM.

        Args:
            listening: called once the socket listens and the discovery file is written.

        Raises:
            SpressoError: ``bridge_running``, ``port_in_use``, ``state_not_writable``.
        """
        if self._file is not None:
            refuse_second(self._file)
        bridge, tokens = self.bridge, self.bridge.tokens
        with _listen(bridge.settings.port) as listener:
            bridge.port = listener.getsockname()[1]
            known = Discovery(bridge.port, tokens.token, tokens.dav_token, os.getpid())

            def published() -> None:
                if self._file is not None:
                    publish(known, self._file)
                listening()

            self._server = _Server(_config(bridge), bridge, published)
            try:
                with _scrubbed_logs(bridge):
                    asyncio.run(self._server.serve([listener]))
            finally:
                if self._file is not None:
                    withdraw(known, self._file)

    def stop(self) -> None:
        """End `run`; may be called from another thread, before or while it runs."""
        if self._server is not None:
            self._server.should_exit = True


def serve(bridge: Bridge, listening: Callable[[], None] = lambda: None) -> None:
    """Serve a bridge in the foreground, with the discovery file where clients look for it; see `BridgeServer.run`."""
    BridgeServer(bridge, discovery_file()).run(listening)


def _listen(port: int) -> socket.socket:
    # Named, because asyncio switches Nagle's algorithm off only for sockets that say they are TCP; with it, the small
    # answers of a kept connection wait 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "is in use by another program" if error.errno == errno.EADDRINUSE else "is not for this user"
            raise SpressoError(
                f"port {port} {why}",
                code="port_in_use",
                hint="Choose another one with --port; --port 0 takes any that is free.",
                exit_code=ExitCode.FAILED,
                kind=FaultKind.ENVIRONMENT,
            ) from error
        raise
    return listener


def _config(bridge: Bridge) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(bridge),
        http=_Protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,  # addresses of /dav/ hold a token
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GOODBYE_S,
    )


@contextlib.contextmanager
def _scrubbed_logs(bridge: Bridge) -> Iterator[None]:
    scrubbed = _Scrubbed(bridge)
    for name in LOGS:
        logging.getLogger(name).addFilter(scrubbed)
    try:
        yield
    finally:
        for name in LOGS:
            logging.getLogger(name).removeFilter(scrubbed)


class _Scrubbed(logging.Filter):
    """No log line holds a token, whoever writes it and whatever it quotes."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._tokens = bridge.tokens

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._tokens.scrub(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = self._tokens.scrub(logging.Formatter().formatException(record.exc_info))
        return True
