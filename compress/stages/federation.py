"""Serves and joins a federation over the network."""

from pathlib import Path

from compress.federated.client import MAX_EPSILON
from compress.federated.fleet_server import Tls
from compress.federated.link import Link
from compress.federated.node import join, own_key, read_private_key, read_public_key
from compress.stages.federate import federate
from compress.stages.federate_options import FederateOptions, JoinOptions, ServeOptions, parse_address
from compress.stages.run import Run
from compress.training.device import share_cores
from search_spaces.errors import InputError


def serve_clients(run: Run, serving: ServeOptions, options: FederateOptions) -> None:
    """Trains with clients of other machines, and records the result in RUN/federate.

    Args:
        run: The run; its training is done.
        serving: Where to listen, and who may join.
        options: How the rounds go.

    Raises:
        InputError: A key or certificate cannot be read, the port is taken, or too few updates were sound.
    """
    host, port = parse_address("--serve", serving.serve)
    keys = client_keys(Path(serving.client_keys)) if serving.client_keys else None
    tls = Tls(Path(serving.certificate), Path(serving.certificate_key)) if serving.certificate else None
    for file in (tls.certificate, tls.key) if tls else ():
        if not file.is_file():
            raise InputError(f"{file} is missing; docs/federated.md says how to make a certificate")
    link = Link(host, port, tls, keys)
    try:
        federate(run, link, options)
    finally:
        link.close()


def client_keys(folder: Path) -> dict[str, bytes]:
    """Reads the public keys of the clients.

    Args:
        folder: A folder of NAME.pub files.

    Returns:
        The keys by the names of the clients.

    Raises:
        InputError: There are none, or a file is no such key.
    """
    files = sorted(folder.glob("*.pub"))
    if not files:
        raise InputError(f"--client-keys {folder}: there is no NAME.pub; put the public key of each client there")
    return {file.stem: read_public_key(file) for file in files}


def join_server(folder: Path, joining: JoinOptions) -> None:
    """Takes part in a federation as a client, until the server ends it.

    Args:
        folder: Where the client keeps its files; its name is the client's name where there are no keys.
        joining: The server, and the client's data and key.

    Raises:
        InputError: A key cannot be read, or the server does not let the client in.
    """
    share_cores()
    root = Path(joining.root) if joining.root else None
    if root is not None and not root.is_file():
        raise InputError(f"--root {root}: there is no such file; copy the server's certificate")
    key = read_private_key(Path(joining.key)) if joining.key else own_key(folder)
    settings: dict[str, str | float] = {"name": folder.resolve().name, "data": joining.data, "folder": str(folder)}
    if joining.dp_epsilon is not None:
        settings[MAX_EPSILON] = joining.dp_epsilon
    join(joining.join, settings, key, root, known=bool(joining.key))
    print(f"{settings['name']}: the server has ended the training")
