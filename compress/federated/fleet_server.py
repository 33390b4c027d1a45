"""Serves Flower's routes for clients, in a thread of this process."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.error import http_error_translator
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router as fleet_router
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from search_spaces.errors import InputError


@dataclass(frozen=True)
class Tls:
    """The files by which clients know the server.

    Attributes:
        certificate: The server's certificate, PEM.
        key: Its private key, PEM.
    """

    certificate: Path
    key: Path


def application(factory: LinkStateFactory, authenticated: bool) -> FastAPI:
    """Makes the web application: Flower's routes for clients and nothing else.

    Args:
        factory: Flower's state.
        authenticated: Whether only known keys may join.

    Returns:
        The application.
    """
    made = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
            Middleware(ProtobufTranslationMiddleware),
            Middleware(NodeAuthMiddleware),
        ],
    )
    made.state.linkstate_factory = factory
    made.state.enable_supernode_auth = authenticated
    made.include_router(fleet_router)
    return made


def serve(made: FastAPI, host: str, port: int, tls: Tls | None) -> uvicorn.Server:
    """Serves an application in a thread.

    Args:
        made: The application.
        host: The address to listen on.
        port: The port.
        tls: The certificate; None for an open connection.

    Returns:
        The server, which has started.

    Raises:
        InputError: It cannot start.
    """
    files: dict[str, Any] = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)} if tls else {}
    server = uvicorn.Server(uvicorn.Config(made, host=host, port=port, log_level="error", access_log=False, **files))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    def run() -> None:
        with suppress(SystemExit):  # uvicorn leaves so when the port is taken
            server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.05)
    if not server.started:
        raise InputError(f"--serve {host}:{port}: cannot listen there; choose another port or end the other program")
    return server
