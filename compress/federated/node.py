"""A client on its own machine: takes messages from the server, answers with the same code as in a simulation.

Flower's own command `flower-supernode` executes code that the server sends. This loop makes the same calls and
executes only `compress.federated.client_app`.
"""

import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from compress.federated.client_app import END, app
from compress.federated.connection import LOST_ERRORS, POLL_SECONDS, Connection
from compress.federated.flower import Context, Error, ErrorCode, Message, RecordDict
from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

NODE = "node.txt"
REMEDY = "make one with ssh-keygen -t ecdsa -b 384 -N '' -f FILE"


def join(
    address: str, settings: Mapping[str, str | float], key: ec.EllipticCurvePrivateKey, root: Path | None, known: bool
) -> None:
    """Answers a server until it says that the training has ended. Waits for a server that is away.

    Args:
        address: The server's HOST:PORT.
        settings: The client's name, `--data` value and folder, and the epsilon that it allows, if it limits that.
        key: The client's private key.
        root: The certificate by which the server is known; None for an open connection.
        known: Whether the server has been given the client's public key; else the client registers it.

    Raises:
        InputError: The server is no such server, or does not know the client's key.
    """
    connection = Connection(address, key, root, known, Path(str(settings["folder"])) / NODE)
    try:
        connection.enter()
        print(f"{settings['name']}: joined {address}", flush=True)
        while not answer_one(connection, settings):
            pass
    finally:
        connection.leave()


def answer_one(connection: Connection, settings: Mapping[str, str | float]) -> bool:
    """Takes one message, if there is one, and answers it.

    A client whose answer is lost enters anew, and then the server asks it again.

    Args:
        connection: The way to the server.
        settings: The client's settings.

    Returns:
        Whether the server has ended the training.

    Raises:
        InputError: The server is another now, or does not know the client's key any more.
    """
    ends = False
    try:
        message = connection.take()
        if message is None:
            time.sleep(POLL_SECONDS)
            return False
        begun, ends = time.monotonic(), str(message.metadata.message_type) == END
        context = Context(
            run_id=message.metadata.run_id,
            node_id=connection.number,
            node_config=dict(settings),
            state=RecordDict(),
            run_config={},
        )
        connection.answer(answer(message, context), time.monotonic() - begun, last=ends)
    except LOST_ERRORS as error:
        if not ends:
            print(f"{settings['name']}: lost the server ({type(error).__name__}); entering anew", flush=True)
            connection.enter()
    return ends


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
