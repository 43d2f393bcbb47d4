"""The life of the server process: sockets, signals, the event loop; from options to the last byte.

`__main__.py` calls `run`. Order of the start: files and keys, the port, the server (store, cache,
bootstrap objects), then the listener and the kubeconfig. Of the stop: `/readyz` fails and watches
end, the listener drains, the server stops, the store closes. A second signal ends the process at
once: the store is made for that."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from kapi import features, log
from kapi.admission import chain as admission
from kapi.authentication.service_account_keys import KeyFileError
from kapi.authentication.token_file import TokenFileError
from kapi.clock import Clock, Entropy, SystemClock
from kapi.credentials import local as local_credentials
from kapi.credentials.local import Credentials
from kapi.edge.asgi import App
from kapi.edge.listener import AddressInUse, BadAddress, Listener, bind, bind_unix
from kapi.edge.tls import TlsFiles, server_context
from kapi.handlers.documents import debugging
from kapi.handlers.documents.version import version_info
from kapi.metrics import Metrics
from kapi.options import parser as option_parser
from kapi.options.table import Options
from kapi.storage.interface import StorageError

# Garbage is rare next to what the caches keep: look for it less often than the default of 700.
GC_THRESHOLD = (20_000, 20, 50)

# Labels of kubernetes_build_info, by their names in /version.
BUILD_INFO = (
    "major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion",
    "compiler", "platform",
)  # fmt: skip

_log = log.get("serving")
Say = Callable[[str], None]


class CannotServe(Exception):
    """The system or the data directory refuses; the text is one line."""


def run(options: Options, *, say: Say) -> None:
    """Serve until a signal. Raises CannotServe. `say` prints what the user wants to read."""
    log.setup(form=options.logging_format, verbosity=options.v)
    clock = SystemClock()
    idle = option_parser.without_effect(options)
    if idle:
        _log.warning("these flags have no effect yet", flags=",".join(idle))
    idle = admission.without_effect(options)
    if idle:
        _log.warning("these admission plugins have no effect", plugins=",".join(idle))
    idle = features.without_effect(options.feature_gates)
    if idle:
        _log.warning("these feature gates have no effect", gates=",".join(idle))
    _raise_file_limit()
    try:
        credentials = local_credentials.prepare(options, clock.now())
    except local_credentials.CredentialsError as error:
        raise CannotServe(str(error)) from error
    try:
        tls = _tls(credentials.options)
        sock = _bind(credentials.options)
        port = sock.getsockname()[1]  # of --secure-port=0: others are told of the one it took
        credentials.options = replace(credentials.options, secure_port=port)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Process(credentials, clock, say).serve(sock, tls))
    finally:
        credentials.remove_temporary()


def _tls(options: Options) -> ssl.SSLContext:
    cas = (options.client_ca_file, options.requestheader_client_ca_file)
    files = TlsFiles(
        certificate=options.tls_cert_file,
        private_key=options.tls_private_key_file,
        client_cas=tuple(path for path in cas if path),
        min_version=options.tls_min_version,
        ciphers=options.tls_cipher_suites,
        http2=options.http2,
    )
    try:
        return server_context(files)
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(f"cannot load {files.certificate}: {error.strerror or error}") from error


def _bind(options: Options) -> socket.socket:
    try:
        return bind(options.bind_address, options.secure_port)
    except (AddressInUse, BadAddress) as error:
        raise CannotServe(str(error)) from error


def _raise_file_limit() -> None:
    """Every watcher is an open file: take what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS allows less than it says
            _log.debug("the limit of open files stays", limit=soft)


class _Process:
    """One run of the server in its event loop."""

    def __init__(self, credentials: Credentials, clock: Clock, say: Say) -> None:
        self._credentials = credentials
        self._options = credentials.options
        self._clock = clock
        self._say = say
        self._stop = asyncio.Event()

    async def serve(self, sock: socket.socket, tls: ssl.SSLContext) -> None:
        from kapi.assembly.reloading import ConfigurationFileError
        from kapi.server import Server

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_loop_failure)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            server = Server(self._options, self._clock, Entropy())
            await server.start()
        except (
            StorageError,
            TokenFileError,
            KeyFileError,
            ConfigurationFileError,
            OSError,
        ) as error:
            sock.close()
            raise CannotServe(str(error)) from error
        gates = self._options.gates
        _describe(server.metrics, gates)
        compress = gates["APIResponseCompression"]
        app = App(
            server.handler,
            self._clock,
            server.metrics,
            compress=compress,
            tunnels=server.tunnels,
        )
        listener = Listener(app, self._clock, tls=tls, http2=self._options.http2)
        debug: Listener | None = None
        try:
            port = sock.getsockname()[1]
            await listener.start(sock)
            if self._options.debug_socket_path:
                debug = await self._serve_debug(self._options.debug_socket_path)
            self._announce(port)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLD)
            await self._stop.wait()
            _log.info("stopping")
            server.begin_shutdown()
            await self._clock.sleep(self._options.shutdown_delay_duration)
            server.drain()
            await listener.drain(self._options.request_timeout)
        finally:
            listener.stop_accepting()
            if debug is not None:
                await debug.drain(0)
            await server.stop()
        _log.info("stopped")

    async def _serve_debug(self, path: str) -> Listener:
        """Profiles and flags on a socket of this machine; who may open it needs no credentials."""
        handler = debugging.on_socket(debugging.debug_paths(self._clock, command_line=True))
        try:
            sock = bind_unix(path)
        except BadAddress as error:
            raise CannotServe(f"--debug-socket-path: {error}") from error
        listener = Listener(App(handler, self._clock), self._clock, tls=None)
        await listener.start(sock)
        return listener

    def _announce(self, port: int) -> None:
        options = self._options
        host = options.bind_address
        reach = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
        if ":" in reach and not reach.startswith("["):
            reach = f"[{reach}]"
        _log.info("serving", address=host, port=port, data=options.data_dir)
        if self._credentials.kubeconfig is None:
            self._say(f"kapi serves on https://{reach}:{port}")
            return
        try:
            local_credentials.write_kubeconfig(self._credentials, reach, port)
        except local_credentials.CredentialsError as error:
            raise CannotServe(str(error)) from error
        self._say(local_credentials.export_line(self._credentials.kubeconfig))

    def _signalled(self) -> None:
        if self._stop.is_set():
            _log.warning("second signal: stopping at once")
            self._credentials.remove_temporary()
            os._exit(1)
        self._stop.set()


def _describe(metrics: Metrics, gates: Mapping[str, bool]) -> None:
    """The metrics that say what is running."""
    for name, on in gates.items():
        metrics.feature_enabled.cell(name, features.GATES[name].stage).value = on
    version = version_info()
    labels = [version[name] for name in BUILD_INFO]
    metrics.build_info.cell(*labels).value = 1


def _loop_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, (ssl.SSLError, ConnectionError, TimeoutError)):
        _log.debug("connection failed", error=str(error))
        return
    message = context.get("message", "event loop failure")
    _log.error(message, exc_info=error if error is not None else False)


def check(directory: Path) -> tuple[list[str], str]:
    """What is wrong with a store, and a line about what was looked at. Raises CannotServe."""
    from kapi.storage.check import check_file

    if not directory.is_dir():
        raise CannotServe(f"there is no {directory}: kapi serve makes it at its first start")
    try:
        findings = check_file(directory)
    except (StorageError, OSError) as error:
        raise CannotServe(str(error)) from error
    count = len(findings)
    found = "sound" if not count else "1 finding" if count == 1 else f"{count} findings"
    return findings, f"{directory}: {found}"
