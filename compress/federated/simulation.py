"""Folders as clients on one machine: one client after the other, in this process.

Flower's own simulation needs Ray, which is larger than everything else here together and starts a process for each
client. Calling the ClientApp in turn needs the memory of one client.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from compress.federated.client_app import app
from compress.federated.flower import Context, Message, RecordDict, TaskIdentity
from search_spaces.errors import InputError


class FolderGrid:
    """Carries messages to clients that are folders.

    Attributes:
        names: The name of each client, by the number that Flower gives it.
        settings: The settings of each client, by the same number.
    """

    def __init__(self, clients: Mapping[str, str], folder: Path) -> None:
        """Sets the clients up.

        Args:
            clients: The `--data` value of each client, by its name.
            folder: Each client keeps its files in a folder of its name in here.
        """
        self.names = dict(enumerate(clients, 1))
        self.settings: dict[int, dict[str, str | float]] = {
            node: {"name": name, "data": clients[name], "folder": str(folder / name)}
            for node, name in self.names.items()
        }
        self._new = list(self.names)
        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1

    def newcomers(self) -> list[int]:
        """Lists the clients that have not been asked about their data.

        Returns:
            Their numbers.
        """
        return self._new

    def admit(self, node: int, said: str, fault: str | None) -> str:
        """Lets a client take part. One whose data does not fit ends the training: all clients are at hand.

        Args:
            node: The client's number.
            said: The name it says; the folder's name counts.
            fault: Why it may not take part, or None.

        Returns:
            Its name.

        Raises:
            InputError: The client may not take part.
        """
        if fault is not None:
            raise InputError(f"client {self.names[node]}: {fault}")
        self._new.remove(node)
        return self.names[node]

    def get_node_ids(self) -> Iterable[int]:
        """Lists the clients.

        Returns:
            Their numbers.
        """
        return list(self.names)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Asks the clients one after the other.

        Args:
            messages: A message for each client that is asked.
            timeout: The seconds after which an answer comes too late; None for no limit.

        Returns:
            The answers that came in time.
        """
        replies = []
        for number, message in enumerate(messages, 1):
            node = message.metadata.dst_node_id
            message.metadata.__dict__["_message_id"] = str(number)
            context = Context(
                run_id=1, node_id=node, node_config=self.settings[node], state=RecordDict(), run_config={}
            )
            begun = time.monotonic()
            reply = app(message, context)
            if timeout is None or time.monotonic() - begun <= timeout:
                replies.append(reply)
        return replies

    def dismiss(self, seconds: float = 0.0) -> None:
        """Does nothing: a folder waits for no message.

        Args:
            seconds: Not used.
        """
