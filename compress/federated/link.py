"""The server's side of a real federation: Flower's SuperLink, as far as clients need it, inside the server's process.

Flower's own command `flower-superlink` serves three interfaces at one port. Two of them start and steer runs, and a run
is code that the server and every client execute; in the open version nobody must log in for that. So only the third
one, which clients use to take messages and to answer, is served here. Clients get numbers, never code.

The state is a SQLite file, so that a server that is killed and started again knows its clients.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

from compress.federated.client_app import END
from compress.federated.fleet_server import Tls, application, serve
from compress.federated.flower import ConfigRecord, Message, RecordDict, TaskIdentity

POLL_SECONDS = 0.2
AWAY_SECONDS = 30.0  # in which a client that was killed may come back to its round
END_SECONDS = 10.0  # for clients to take it


class Link:
    """Carries messages to clients on other machines.

    Attributes:
        names: The name of each client that takes part, by the number that Flower gives it.
    """

    def __init__(
        self, database: Path, host: str, port: int, tls: Tls | None = None, keys: Mapping[str, bytes] | None = None
    ) -> None:
        """Starts to serve.

        Args:
            database: The SQLite file of Flower's state; made where it is missing.
            host: The address to listen on.
            port: The port.
            tls: The server's certificate; None for an open connection.
            keys: The public key of each client, by its name; None lets everyone join.

        Raises:
            InputError: The port cannot be listened on.
        """
        database.parent.mkdir(parents=True, exist_ok=True)
        store = ObjectStoreFactory(str(database))
        factory = LinkStateFactory(str(database), NoOpFederationManager(), store)
        self.names: dict[int, str] = {}
        self._asked: dict[int, str] = {}
        self._seen: dict[int, float] = {}
        self._state: Any = factory.state()
        self._known = {self._node_of(key): name for name, key in (keys or {}).items()}
        self._begin_run()
        self._server = serve(application(factory, authenticated=keys is not None), host, port, tls)

    def _node_of(self, key: bytes) -> int:
        node = self._state.get_node_id_by_public_key(key)
        return int(node or self._state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, 0))

    def _begin_run(self) -> None:
        """Stops what an earlier server began: its messages are not answered any more."""
        state = self._state
        for run in state.get_run_info():
            state.stop_run(run.run_id)
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
        """Asks clients. One that was killed and came back gets its message again.

        Args:
            messages: A message for each client that is asked.
            timeout: The seconds to wait; None for no limit.

        Returns:
            The answers that came in time.
        """
        waiting = {self._push(message): message for message in messages}
        sent = dict.fromkeys(waiting, time.time())
        end = None if timeout is None else time.monotonic() + timeout
        replies = []
        while waiting and (end is None or time.monotonic() < end):
            for reply in self._pull({one for one in waiting if self._is_there(waiting[one].metadata.dst_node_id)}):
                waiting.pop(reply.metadata.reply_to_message_id, None)
                replies.append(reply)
            for lost in [one for one in waiting if self._came_back(waiting[one].metadata.dst_node_id, sent[one])]:
                again = waiting.pop(lost)
                self._state.delete_messages({lost})
                fresh = Message(
                    again.content, dst_node_id=again.metadata.dst_node_id, message_type=again.metadata.message_type
                )
                number = self._push(fresh)
                waiting[number], sent[number] = fresh, time.time()
            time.sleep(POLL_SECONDS)
        self._state.delete_messages(set(waiting))
        return replies

    def _is_there(self, node: int) -> bool:
        """Whether a client is connected, or was a short time ago: one that is started again leaves for a moment."""
        now = time.monotonic()
        if node in self.present():
            self._seen[node] = now
        return node in self._seen and (self._seen[node] == now or now - self._seen[node] > AWAY_SECONDS)

    def _came_back(self, node: int, since: float) -> bool:
        """Whether a client has started anew since a time."""
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

    def _pull(self, asked: set[str]) -> list[Message]:
        """Takes the answers that are whole."""
        whole = []
        for head in self._state.get_message_res(message_ids=asked, run_id=self._run):
            if head.has_error():
                whole.append(head)
                self._state.delete_messages({head.metadata.reply_to_message_id})
                continue
            tree = self._state.object_store.get_object_tree(head.metadata.message_id)
            contents = {}
            for one in iterate_object_tree(tree):
                while not (content := self._state.get_object(self._run, one.object_id)):
                    time.sleep(POLL_SECONDS)
                contents[one.object_id] = content
            reply = inflate_object_from_contents(tree.object_id, contents)
            reply.metadata.__dict__["_message_id"] = tree.object_id
            whole.append(reply)
            self._state.delete_messages({head.metadata.reply_to_message_id})
            self._state.object_store.delete(tree.object_id)
        return whole

    def close(self) -> None:
        """Tells all clients that the training has ended, and stops to serve."""
        nodes = self.present()
        goodbye = [Message(RecordDict({"config": ConfigRecord()}), dst_node_id=one, message_type=END) for one in nodes]
        with suppress(Exception):
            self.send_and_receive(goodbye, timeout=END_SECONDS)
        self._beats.stop()
        self._server.should_exit = True
