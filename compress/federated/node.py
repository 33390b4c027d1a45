"""A client on its own machine: takes messages from the server, answers with the same code as in a simulation.

Flower's own command `flower-supernode` executes code that the server sends. This loop uses the same connection and
executes only `compress.federated.client_app`.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, RegisterNodeFleetRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree, push_objects
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from compress.federated.client_app import END, app
from compress.federated.flower import Context, Error, ErrorCode, Message, RecordDict
from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

POLL_SECONDS = 0.5
NODE = "node.txt"
TRIES, SERVER_FAILED = 20, 500
REMEDY = "make one with ssh-keygen -t ecdsa -b 384 -N '' -f FILE"


def join(
    address: str, settings: Mapping[str, str], key: ec.EllipticCurvePrivateKey, root: Path | None, known: bool
) -> None:
    """Answers a server until it says that the training has ended. Waits for a server that is away.

    Args:
        address: The server's HOST:PORT.
        settings: The client's name, `--data` value and folder.
        key: The client's private key.
        root: The certificate by which the server is known; None for an open connection.
        known: Whether the server has been given the client's public key; else the client registers it.

    Raises:
        InputError: The server is no such server, or does not know the client's key.
    """
    enter(address, key, root, known, Path(settings["folder"]) / NODE)
    ended, keys = False, (key, key.public_key())
    with http_request_response(address, root is None, None if root is None else str(root), keys) as connection:
        print(f"{settings['name']}: joined {address}", flush=True)
        while not ended:
            ended = answer_one(connection, settings)
    if not ended:
        raise InputError(f"--join {address}: the connection broke; start again, what is done is kept")


def enter(address: str, key: ec.EllipticCurvePrivateKey, root: Path | None, known: bool, number: Path) -> None:
    """Asks a server to let a client in. Waits for a server that is not there yet.

    Args:
        address: The server's HOST:PORT.
        key: The client's private key.
        root: The certificate by which the server is known; None for an open connection.
        known: Whether the server has been given the public key; else the client registers it.
        number: The file that keeps the number the server gave this client: one that was killed must leave before it
            may enter again.

    Raises:
        InputError: The server refuses, or is another than its certificate says.
    """
    public, signed = public_key_to_bytes(key.public_key()), [NodeAuthHttpInterceptor(key, key.public_key())]
    trusted = None if root is None else str(root)
    wish = ActivateNodeRequest(public_key=public, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
    with FleetHttpClient.from_server_address(address, root is None, trusted, interceptors=signed) as client:
        while True:
            try:
                if number.exists():
                    with suppress(httpx.HTTPStatusError, ValueError):  # it may be the number of another server
                        client.DeactivateNode(DeactivateNodeRequest(node_id=int(number.read_text())))
                if not known:
                    with suppress(httpx.HTTPStatusError):  # it may be registered already
                        client.RegisterNode(RegisterNodeFleetRequest(public_key=public))
                node = client.ActivateNode(wish).node_id
                write_atomically(number, str(node).encode())
                client.DeactivateNode(DeactivateNodeRequest(node_id=node))  # Flower's connection activates it
                return
            except httpx.HTTPStatusError as error:
                raise InputError(
                    f"--join {address}: the server does not know this client's key, or the key is in use; "
                    "give the server the public key, or name another file with --key"
                ) from error
            except httpx.TransportError as error:
                if "CERTIFICATE" in str(error).upper():
                    raise InputError(f"--join {address}: the server is not the one of --root ({error})") from error
                time.sleep(POLL_SECONDS)


def answer_one(connection: Any, settings: Mapping[str, str]) -> bool:
    """Takes one message, if there is one, and answers it.

    Args:
        connection: Flower's functions.
        settings: The client's settings.

    Returns:
        Whether the server has ended the training.
    """
    node, *calls = connection
    receive, send, _, _, pull_object, push_object, confirm = (partial(patiently, call) for call in calls)
    try:
        received = receive()
        if received is None:
            time.sleep(POLL_SECONDS)
            return False
        head, tree = received
        run = head.metadata.run_id
        message = pull_and_inflate_object_from_tree(
            tree, partial(pull_object, run), partial(confirm, run), return_type=Message
        )
        message.metadata.__dict__["_message_id"] = tree.object_id
        begun, ends = time.monotonic(), str(message.metadata.message_type) == END
        context = Context(run_id=run, node_id=node, node_config=dict(settings), state=RecordDict(), run_config={})
        reply = answer(message, context)
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            own, objects = get_object_tree(reply), get_all_nested_objects(reply)
            wanted, session = send(reply, own, time.monotonic() - begun)
            push_objects(objects, partial(push_object, run, session), object_ids_to_push=wanted)
        return ends
    except httpx.HTTPStatusError as error:  # a server that was started anew has dropped the question
        print(f"{settings['name']}: the server did not take the answer ({error.response.status_code}); going on")
        return False


def patiently(call: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function of Flower's connection, again where the server has failed for a moment.

    Args:
        call: The function.
        arguments: Its arguments.

    Returns:
        What it returns.

    Raises:
        HTTPStatusError: The server refuses, or has failed TRIES times.
    """
    for left in reversed(range(TRIES)):
        try:
            return call(*arguments)
        except httpx.HTTPStatusError as error:
            if error.response.status_code < SERVER_FAILED or not left:
                raise
            time.sleep(POLL_SECONDS)
    return None


def answer(message: Message, context: Context) -> Message:
    """Answers a message; what goes wrong is told in full here, and to the server in a word.

    Args:
        message: The message.
        context: The client's settings.

    Returns:
        The answer.
    """
    try:
        return app(message, context)
    except Exception as error:
        traceback.print_exc()
        said = f"failed ({type(error).__name__}); its own output says more"
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, said), reply_to=message)


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Reads a client's private key.

    Args:
        path: A file as ssh-keygen makes it.

    Returns:
        The key.

    Raises:
        InputError: The file is missing or no such key.
    """
    try:
        key = load_ssh_private_key(path.read_bytes(), None)
    except Exception as error:  # cryptography raises many kinds
        raise InputError(f"{path} is no private key ({type(error).__name__}); {REMEDY}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{path} is no key of an elliptic curve; {REMEDY}")
    return key


def read_public_key(path: Path) -> bytes:
    """Reads a client's public key.

    Args:
        path: The .pub file that ssh-keygen makes.

    Returns:
        The key, as Flower compares it.

    Raises:
        InputError: The file is missing or no such key.
    """
    try:
        key = load_ssh_public_key(path.read_bytes())
    except Exception as error:  # cryptography raises many kinds
        raise InputError(f"{path} is no public key ({type(error).__name__}); {REMEDY}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError(f"{path} is no key of an elliptic curve; {REMEDY}")
    return bytes(public_key_to_bytes(key))


def own_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The key by which a server on this machine knows a client again after a kill.

    Args:
        folder: The client's folder; the key is made in it once.

    Returns:
        The key.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / "client.key"
    if not path.exists():
        made = ec.generate_private_key(ec.SECP384R1())
        write_atomically(path, made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        path.chmod(0o600)
    return read_private_key(path)
