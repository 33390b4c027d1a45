"""Serves Flower's routes for clients, in a thread of this process."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.supercore.error import http_error_translator
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.federation import NoOpFederationManager
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


STOP_SECONDS = 5  # for answers that are under way when the server ends


class WholeTrees(InMemoryObjectStore):  # type: ignore[misc]
    """Flower's store of messages in memory, with trees that are registered in one step.

    Messages to several clients share their weights. Flower's own store lets go of its lock between two objects of a
    tree. A client that confirms its message just then takes objects away that the tree needs.
    """

    def preregister(self, run_id: int, object_tree: ObjectTree) -> list[str]:
        """Registers the objects of a message.

        Args:
            run_id: Flower's number of the training.
            object_tree: The ids of the message's objects.

        Returns:
            The ids of the objects whose content is missing.
        """
        with self.lock_store:
            return list(super().preregister(run_id, object_tree))


def link_state() -> LinkStateFactory:
    """Makes Flower's state in memory: clients, messages and answers.

    Returns:
        Gives the state.
    """
    store = ObjectStoreFactory(FLWR_IN_MEMORY_DB_NAME)
    store.store_instance = WholeTrees()
    return LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), store)


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


def serve(made: FastAPI, host: str, port: int, tls: Tls | None) -> Callable[[], None]:
    """Serves an application in a thread.

    Args:
        made: The application.
        host: The address to listen on.
        port: The port.
        tls: The certificate; None for an open connection.

    Returns:
        Ends the serving.

    Raises:
        InputError: It cannot start.
    """
    files: dict[str, Any] = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)} if tls else {}
    quiet: dict[str, Any] = {"log_level": "error", "access_log": False}
    server = uvicorn.Server(
        uvicorn.Config(made, host=host, port=port, timeout_graceful_shutdown=STOP_SECONDS, **quiet, **files)
    )
    failures: list[BaseException] = []

    def run() -> None:
        try:
            server.run()
        except (OSError, SystemExit) as error:  # uvicorn leaves by SystemExit when the port is taken
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.05)
    if not server.started:
        if failures and isinstance(failures[0], ssl.SSLError):
            raise InputError(f"--certificate {tls and tls.certificate}: it and its key cannot be used ({failures[0]})")
        raise InputError(f"--serve {host}:{port}: cannot listen there; choose another port or end the other program")

    def stop() -> None:
        server.should_exit = True
        thread.join(2 * STOP_SECONDS)

    return stop
