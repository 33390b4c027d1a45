"""A client's way to a server: Flower's calls, which wait for a server that is away and find back to one that is new."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app.message import remove_content_from_message
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, HEARTBEAT_PATIENCE
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    pull_and_inflate_object_from_tree,
    push_objects,
)
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from compress.federated.flower import Message
from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

POLL_SECONDS = 0.5
MAX_TRIES, SERVER_FAILED = 20, 500  # answers of the server from 500 on are its own faults
IN_USE_SECONDS = HEARTBEAT_PATIENCE * HEARTBEAT_DEFAULT_INTERVAL + 5  # after a kill the server takes a client for alive

LOST_ERRORS = (httpx.HTTPError, ObjectPullError, ObjectPushError)
"""The server did not take an answer, or has dropped a question."""


class Connection:
    """Calls a server until it answers."""

    def __init__(
        self, address: str, key: ec.EllipticCurvePrivateKey, root: Path | None, known: bool, number: Path
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: The server's HOST:PORT.
            key: The client's private key.
            root: The certificate by which the server is known; None for an open connection.
            known: Whether the server has been given the client's public key; else the client registers it.
            number: The file that keeps the number the server gave this client: one that was killed must leave before
                it may enter again.
        """
        self._address, self._known, self._number = address, known, number
        self._public, self._node = public_key_to_bytes(key.public_key()), Node()
        signed = [NodeAuthHttpInterceptor(key, key.public_key())]
        trusted = None if root is None else str(root)
        self._client = FleetHttpClient.from_server_address(address, root is None, trusted, interceptors=signed)
        self._closed = Event()
        self._beats = HeartbeatSender(self._beat)

    @property
    def number(self) -> int:
        """The number that the server gave this client."""
        return int(self._node.node_id)

    def enter(self) -> None:
        """Asks the server to let the client in, also a second time. Waits for a server that is away.

        Raises:
            InputError: The server refuses, or is another than its certificate says.
        """
        refused_at: float | None = None
        while True:
            try:
                self._activate()
                break
            except httpx.HTTPStatusError as error:
                if error.response.status_code < SERVER_FAILED and refused_at is None:
                    refused_at = time.monotonic()
                    print(f"{self._address} does not let this client in yet; trying for {IN_USE_SECONDS} s", flush=True)
                elif refused_at is not None and time.monotonic() - refused_at > IN_USE_SECONDS:
                    raise InputError(
                        f"--join {self._address}: the server does not know this client's key, the key is in use, or "
                        "the clocks differ; give the server the public key, or name another file with --key"
                    ) from error
            except httpx.TransportError as error:
                refused_at = None
                if "CERTIFICATE" in str(error).upper():
                    raise InputError(
                        f"--join {self._address}: the server is not the one of --root ({error})"
                    ) from error
            self._closed.wait(POLL_SECONDS)
        if not self._beats.is_running:
            self._beats.start()

    def _activate(self) -> None:
        if self._number.exists():
            with suppress(httpx.HTTPStatusError, ValueError):  # it may be the number of another server
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=int(self._number.read_text())))
        if not self._known:
            with suppress(httpx.HTTPStatusError):  # it may be registered already
                self._client.RegisterNode(RegisterNodeFleetRequest(public_key=self._public))
        wish = ActivateNodeRequest(public_key=self._public, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
        self._node = Node(node_id=self._client.ActivateNode(wish).node_id)
        write_atomically(self._number, str(self.number).encode())

    def _beat(self) -> bool:
        """Tells the server that the client is there. Flower calls this, again and again, and more often after False."""
        wish = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
        try:
            return bool(self._client.SendNodeHeartbeat(wish).success)
        except httpx.HTTPError:
            return False

    def take(self) -> Message | None:
        """Takes a message.

        Returns:
            The message; None when there is none.

        Raises:
            HTTPError: The server is away, has failed, or does not know the client. Then the client must enter anew: a
                message whose transport broke is given again only to a client that has entered anew.
            ObjectPullError: The server has dropped the message meanwhile.
        """
        found = self._client.PullMessages(PullMessagesRequest(node=self._node))
        if not found.messages_list:
            return None
        head, tree = message_from_proto(found.messages_list[0]), found.message_object_trees[0]
        run = head.metadata.run_id
        pull = make_pull_object_fn_protobuf(self._patiently(self._client.PullObject), self._node, run)
        confirm = self._patiently(self._client.ConfirmMessageReceived)
        confirmed = make_confirm_message_received_fn_protobuf(confirm, self._node, run)
        message = pull_and_inflate_object_from_tree(tree, pull, confirmed, return_type=Message)
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def answer(self, reply: Message, seconds: float, last: bool) -> None:
        """Sends an answer.

        Args:
            reply: The answer.
            seconds: How long it took.
            last: Whether it is the last one, after which the server may be gone: it is not sent again.

        Raises:
            HTTPError: The server has dropped the question, or has failed MAX_TRIES times, or is away after the last.
            ObjectPushError: The server does not take the weights any more.
        """
        again: Callable[[Any], Any] = (lambda call: call) if last else self._patiently
        reply.metadata.__dict__["_message_id"] = reply.object_id
        run = reply.metadata.run_id
        with no_object_id_recompute():
            tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
            head = remove_content_from_message(reply) if reply.has_content() else reply
            taken = again(self._client.PushMessages)(
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(head)],
                    message_object_trees=[tree],
                    clientapp_runtime_list=[seconds],
                )
            )
            push = make_push_object_fn_protobuf(again(self._client.PushObject), self._node, run, taken.session_id)
            push_objects(objects, push, object_ids_to_push=set(taken.objects_to_push))

    def _patiently(self, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A call that waits for a server that is away, and tries again when the server has failed for a moment."""

        def patient(request: Any) -> Any:
            failed = 0
            while True:
                try:
                    return call(request)
                except httpx.TransportError:
                    if self._closed.is_set():  # else threads that wait for the server keep the process alive
                        raise
                except httpx.HTTPStatusError as error:
                    failed += 1
                    if error.response.status_code < SERVER_FAILED or failed == MAX_TRIES or self._closed.is_set():
                        raise
                self._closed.wait(POLL_SECONDS)

        return patient

    def leave(self) -> None:
        """Tells the server that the client goes, if it is there."""
        self._closed.set()
        if self._beats.is_running:
            self._beats.stop()
        if self.number:
            with suppress(httpx.HTTPError):
                self._client.DeactivateNode(DeactivateNodeRequest(node_id=self.number))
        self._client.close()
