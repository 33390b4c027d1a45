"""Clients on other machines: TLS, keys, a server and clients that are killed. All of it on this machine's loopback."""

import datetime
import ipaddress
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from federated_runs import free_port
from flwr.supernode.fleet_http_client import FleetHttpClient

from compress.federated import connection
from compress.federated import node as node_module
from compress.federated.fleet_server import Tls
from compress.federated.flower import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from compress.federated.link import Link
from compress.federated.node import join, own_key, read_private_key, read_public_key
from search_spaces.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate of 127.0.0.1 that signs itself."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP384R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")]), datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    (folder / "server.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Tls(folder / "server.pem", folder / "server.key")


def make_key(folder: Path, name: str) -> ec.EllipticCurvePrivateKey:
    """Keys as ssh-keygen makes them."""
    key = ec.generate_private_key(ec.SECP384R1())
    (folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return read_private_key(folder / name)


def doubling(message: Message, context: Context) -> Message:
    """What clients of these tests answer: twice the weights they got."""
    if message.metadata.message_type == "query.end":
        return Message(RecordDict(), reply_to=message)
    twice = {name: Array(2 * array.numpy()) for name, array in message.content["arrays"].items()}
    own = ConfigRecord({"name": str(context.node_config["name"])})
    return Message(RecordDict({"arrays": ArrayRecord(twice), "own": own}), reply_to=message)


def asked(node: int, value: float) -> Message:
    arrays = ArrayRecord({name: Array(np.full((3, 2), value + i, np.float32)) for i, name in enumerate("abc")})
    return Message(RecordDict({"arrays": arrays}), dst_node_id=node, message_type="train")


def in_thread(*arguments: object) -> threading.Thread:
    thread = threading.Thread(target=join, args=arguments, daemon=True)
    thread.start()
    return thread


def wait_for(link: Link, count: int) -> list[int]:
    while len(link.present()) < count:
        threading.Event().wait(0.05)
    return link.present()


def test_known_clients_answer_over_tls_and_others_may_not(
    tls: Tls, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "app", doubling)
    keys = {name: make_key(tmp_path, name) for name in ("north", "south")}
    public = {name: read_public_key(tmp_path / f"{name}.pub") for name in keys}
    link = Link("127.0.0.1", port, tls, public)
    address = f"127.0.0.1:{port}"
    try:
        settings = {name: {"name": "liar", "data": "", "folder": str(tmp_path / f"of-{name}")} for name in keys}
        threads = [in_thread(address, settings[name], keys[name], tls.certificate, True) for name in keys]
        nodes = wait_for(link, 2)
        link.names = {node: link.name_of(node, "liar") for node in nodes}
        assert sorted(link.names.values()) == ["north", "south"]  # by their keys, whatever they say
        replies = link.send_and_receive([asked(node, 1.0) for node in nodes], timeout=60)
        assert len(replies) == 2
        for reply in replies:
            assert np.array_equal(reply.content["arrays"]["c"].numpy(), np.full((3, 2), 6, np.float32))
        monkeypatch.setattr(connection, "IN_USE_SECONDS", 1)
        with pytest.raises(InputError, match="does not know this client's key"):
            join(address, settings["north"], make_key(tmp_path, "stranger"), tls.certificate, True)
        link.dismiss()
    finally:
        link.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("call", ["answer", "PushMessages", "PushObject"])
def test_a_client_that_was_killed_gets_its_message_again(
    call: str, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed before it answers, when it says that its answer comes, and when it sends the first weights."""
    address, lost = f"127.0.0.1:{port}", threading.Event()

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call_once(*arguments: object) -> object:
            if not lost.is_set():
                lost.set()
                raise SystemExit
            return real(*arguments)

        return call_once

    monkeypatch.setattr(node_module, "app", dying(doubling) if call == "answer" else doubling)
    if call != "answer":
        monkeypatch.setattr(FleetHttpClient, call, dying(getattr(FleetHttpClient, call)))
    leave, left = FleetHttpClient.DeactivateNode, []

    def leave_unless_killed(self: FleetHttpClient, request: object) -> object:
        if lost.is_set() and not left:
            return left.append(request)
        return leave(self, request)

    monkeypatch.setattr(FleetHttpClient, "DeactivateNode", leave_unless_killed)
    link = Link("127.0.0.1", port)
    settings, key = {"name": "north", "data": "", "folder": str(tmp_path)}, own_key(tmp_path)
    assert read_private_key(tmp_path / "client.key").private_numbers() == key.private_numbers()
    answered: list[Message] = []
    try:
        with pytest.raises(SystemExit):
            first = threading.Thread(target=lambda: wait_for(link, 1) and answered.extend(send(link)), daemon=True)
            first.start()
            join(address, settings, key, None, False)
        second = in_thread(address, settings, key, None, False)
        first.join(60)
        assert [reply.content["own"]["name"] for reply in answered] == ["north"]
        link.dismiss()
    finally:
        link.close()
    second.join(30)
    assert not second.is_alive()


def test_clients_find_back_to_a_server_that_was_started_anew(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "app", doubling)
    settings = {"name": "north", "data": "", "folder": str(tmp_path)}
    link = Link("127.0.0.1", port)
    try:
        client = in_thread(f"127.0.0.1:{port}", settings, own_key(tmp_path), None, False)
        wait_for(link, 1)
        link.send_and_receive([asked(link.present()[0], 1.0)], timeout=60)
    finally:
        link.close()  # and no word to the client
    anew = Link("127.0.0.1", port)
    try:
        wait_for(anew, 1)
        assert len(send(anew)) == 1
        anew.dismiss()
    finally:
        anew.close()
    client.join(30)
    assert not client.is_alive()


def send(link: Link) -> list[Message]:
    return link.send_and_receive([asked(node, 1.0) for node in link.present()], timeout=60)
