"""Serves the demo on this machine, for a look at it in a browser."""

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from search_spaces.errors import InputError

LOOPBACK = "127.0.0.1"
TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".webmanifest": "application/manifest+json"}


class _Handler(SimpleHTTPRequestHandler):
    """Static files with the types that browsers insist on, without a cache and without a log."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, **TYPES}  # noqa: RUF012 (the base class has it so)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def open_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Listens on loopback.

    Args:
        folder: the demo.
        port: of this machine; 0 takes a free one.

    Returns:
        The server, not yet serving.

    Raises:
        InputError: the port is taken or not allowed.
    """
    try:
        return ThreadingHTTPServer((LOOPBACK, port), functools.partial(_Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"--port {port}: cannot be used ({why}); choose another one, such as --port 8124") from error
