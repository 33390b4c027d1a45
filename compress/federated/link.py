"""The server's side of a real federation: Flower's SuperLink, as far as clients need it, inside the server's process.

Flower's own command `flower-superlink` serves three interfaces at one port. Two of them start and steer runs, and a run
is code that the server and every client execute; in the open version nobody must log in for that. So only the third
one, which clients use to take messages and to answer, is served here. Clients get numbers, never code.

Flower's state is in memory. Clients of a server that is killed and started again enter anew, with the same keys.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import NoObjectInStoreError

from compress.federated.client_app import END
from compress.federated.fleet_server import Tls, application, link_state, serve
from compress.federated.flower import ConfigRecord, Error, ErrorCode, Message, RecordDict, TaskIdentity
from search_spaces.errors import InputError

POLL_SECONDS = 0.2
AWAY_SECONDS = 30.0  # in which a client that was killed may come back to its round
END_SECONDS = 10.0  # for clients to take it


class Link:
    """Carries messages to clients on other machines.

    Attributes:
        names: The name of each client that takes part, by the number that Flower gives it.
    """

    def __init__(self, host: str, port: int, tls: Tls | None = None, keys: Mapping[str, bytes] | None = None) -> None:
        """Starts to serve.

        Args:
            host: The address to listen on.
            port: The port.
            tls: The server's certificate; None for an open connection.
            keys: The public key of each client, by its name; None lets everyone join.

        Raises:
            InputError: The port cannot be listened on, or two clients have the same key.
        """
        factory = link_state()
        self.names: dict[int, str] = {}
        self._asked: dict[int, str] = {}
        self._seen: dict[int, float] = {}
        self._answers: dict[str, Message] = {}  # to questions, by the question's id; their weights are still coming
        self._state: Any = factory.state()
        self._known = {self._node_of(name, key): name for name, key in (keys or {}).items()}
        self._begin_run()
        self._stop = serve(application(factory, authenticated=keys is not None), host, port, tls)

    def _node_of(self, name: str, key: bytes) -> int:
        try:
            return int(self._state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, 0))
        except ValueError as error:
            raise InputError(
                f"--client-keys: {name}.pub is the key of another client too; each needs its own"
            ) from error

    def _begin_run(self) -> None:
        """Opens Flower's run: messages and answers belong to it."""
        state = self._state
        self._run = state.create_run("", "", "", {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
        task = state.get_run_info(run_ids=[self._run])[0].primary_task_id
        state.claim_task(task)
        state.activate_task(task)
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = self._run, task, SUPERLINK_NODE_ID
        self._beats = HeartbeatSender(lambda: bool(state.acknowledge_task_heartbeat(task)))
        self._beats.start()

    def present(self) -> list[int]:
        """The clients that are connected, whether they take part or not.

        Returns:
            Their numbers.
        """
        return sorted(self._state.get_nodes(self._run))

    def name_of(self, node: int, said: str) -> str:
        """The name of a client: that of its key, or what an unknown one says, with a number where it is taken.

        Args:
            node: Its number.
            said: What it says.

        Returns:
            The name.
        """
        plain = "".join(char for char in said if char.isalnum() or char in "-_.")[:40] or "client"
        taken = {name for other, name in self.names.items() if other != node}
        return self._known.get(node) or (plain if plain not in taken else f"{plain}-{node % 10_000}")

    def newcomers(self) -> list[int]:
        """Lists the clients that have started and have not been asked about their data since.

        Returns:
            Their numbers.
        """
        found = self._state.get_node_info(node_ids=self.present() or [0])
        at = {one.node_id: one.last_activated_at for one in found}
        return [node for node in at if node not in self.names and self._asked.get(node) != at[node]]

    def admit(self, node: int, said: str, fault: str | None) -> str:
        """Lets a client take part, or turns it away until it is started again.

        Args:
            node: Its number.
            said: The name it says; where clients have keys, the name of the key counts.
            fault: Why it may not take part, or None.

        Returns:
            Its name.
        """
        name = self.name_of(node, said)
        if fault is None:
            self.names[node] = name
            print(f"federate: {name} takes part", flush=True)
        else:
            self._asked[node] = self._state.get_node_info(node_ids=[node])[0].last_activated_at
            print(f"federate: {name} may not take part: {fault}", flush=True)
        return name

    def get_node_ids(self) -> Iterable[int]:
        """Lists the clients that take part and are connected.

        Returns:
            Their numbers.
        """
        return [node for node in self.present() if node in self.names]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Asks clients. One that was killed and came back, or whose answer got lost, gets its message again.

        Args:
            messages: A message for each client that is asked.
            timeout: The seconds to wait; None for no limit.

        Returns:
            The answers that came in time.
        """
        waiting = {self._push(message): message for message in messages}
        sent = dict.fromkeys(waiting, time.time())
        self._seen.update(dict.fromkeys((one.metadata.dst_node_id for one in waiting.values()), time.monotonic()))
        end = None if timeout is None else time.monotonic() + timeout
        replies = []
        while waiting and (end is None or time.monotonic() < end):
            self._collect({one for one in waiting if self._is_there(waiting[one].metadata.dst_node_id)})
            for number in waiting.keys() & self._answers.keys():
                if (reply := self._whole(self._answers[number], waiting[number])) is not None:
                    replies.append(reply)
                    self._forget(number)
                    del waiting[number]
            for lost in [one for one in waiting if self._is_lost(one, waiting[one].metadata.dst_node_id, sent[one])]:
                again = waiting.pop(lost)
                self._forget(lost)
                fresh = Message(
                    again.content, dst_node_id=again.metadata.dst_node_id, message_type=again.metadata.message_type
                )
                number = self._push(fresh)
                waiting[number], sent[number] = fresh, time.time()
            time.sleep(POLL_SECONDS)
        for number in waiting:
            self._forget(number)
        return replies

    def _forget(self, number: str) -> None:
        """Deletes a question and what has come of its answer."""
        self._state.delete_messages({number})
        self._state.object_store.delete(number)
        if (answer := self._answers.pop(number, None)) is not None:
            self._state.object_store.delete(answer.metadata.message_id)

    def _is_there(self, node: int) -> bool:
        """Whether a client is connected, or was a short time ago: one that is started again leaves for a moment."""
        now = time.monotonic()
        if node in self.present():
            self._seen[node] = now
        return self._seen[node] == now or now - self._seen[node] > AWAY_SECONDS

    def _is_lost(self, number: str, node: int, since: float) -> bool:
        """Whether a question will not be answered: the client has started anew, or the weights did not all come."""
        if number in self._answers and self._tree_of(self._answers[number]) is None:
            return True
        found = self._state.get_node_info(node_ids=[node])
        at = found[0].last_activated_at if found else ""
        return bool(at) and datetime.fromisoformat(at).timestamp() > since

    def _push(self, message: Message) -> str:
        """Stores a message, as the SuperLink does when a ServerApp sends one; its id."""
        message.metadata.__dict__["_message_id"] = message.object_id
        tree, objects = get_object_tree(message), get_all_nested_objects(message)
        session = self._state.start_session(self._run)
        head = Message(RecordDict(), metadata=message.metadata)
        _, missing = self._state.store_message_and_object_tree(head, tree, session)
        for name in missing:
            self._state.store_object(self._run, session, name, objects[name].deflate())
        return str(message.metadata.message_id)

    def _collect(self, asked: set[str]) -> None:
        """Notes the answers that have come, whole or not."""
        for head in self._state.get_message_res(message_ids=asked, run_id=self._run):
            self._answers[head.metadata.reply_to_message_id] = head

    def _tree_of(self, head: Message) -> Any:
        """The ids of an answer's objects; None where Flower has given up to wait for some of them."""
        try:
            return self._state.object_store.get_object_tree(head.metadata.message_id)
        except NoObjectInStoreError:
            return None

    def _whole(self, head: Message, question: Message) -> Message | None:
        """An answer with its weights; None while some are coming."""
        if head.has_error():
            return head
        if (tree := self._tree_of(head)) is None:
            return None
        names = [one.object_id for one in iterate_object_tree(tree)]
        contents = {name: self._state.get_object(self._run, name) for name in names}
        if not all(contents.values()):
            return None
        try:
            reply = inflate_object_from_contents(tree.object_id, contents)
            if not isinstance(reply, Message):
                raise TypeError(type(reply).__name__)
        except Exception as error:  # a client may have sent anything
            said = f"sent an answer that cannot be read ({type(error).__name__})"
            return Message(Error(ErrorCode.UNKNOWN, said), reply_to=question)
        reply.metadata.__dict__["_message_id"] = tree.object_id
        return reply

    def dismiss(self, seconds: float = 0.0) -> None:
        """Tells all clients that the training has ended. Without it clients wait for the server to come back.

        Args:
            seconds: How long to wait for clients that are on their way.
        """
        time.sleep(seconds)
        nodes = self.present()
        goodbye = [Message(RecordDict({"config": ConfigRecord()}), dst_node_id=one, message_type=END) for one in nodes]
        self.send_and_receive(goodbye, timeout=END_SECONDS)

    def close(self) -> None:
        """Stops to serve."""
        self._beats.stop()
        self._stop()
