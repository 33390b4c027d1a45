"""Questions to clients, and their answers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from compress.federated.flower import Message
from compress.federated.updates import IMAGES, METRICS, is_plain


class Fleet(Protocol):
    """Clients that can be asked: those of a simulation, or those that have joined a server.

    Attributes:
        names: The name of each client, by the number that Flower gives it.
    """

    names: dict[int, str]

    def newcomers(self) -> list[int]:
        """Lists the clients that have not been asked about their data.

        Returns:
            Their numbers.
        """
        ...

    def admit(self, node: int, said: str, fault: str | None) -> str:
        """Lets a client take part, or not.

        Args:
            node: Its number.
            said: The name it says.
            fault: Why it may not take part, or None.

        Returns:
            Its name.
        """
        ...

    def get_node_ids(self) -> Iterable[int]:
        """Lists the clients that are there.

        Returns:
            Their numbers.
        """
        ...

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Asks clients.

        Args:
            messages: A message for each client that is asked.
            timeout: The seconds to wait; None for no limit.

        Returns:
            The answers that came in time.
        """
        ...

    def dismiss(self, seconds: float = 0.0) -> None:
        """Tells all clients that the training has ended.

        Args:
            seconds: How long to wait for clients that are on their way.
        """
        ...


@dataclass
class Answers:
    """The answers to one question.

    Attributes:
        sound: The replies that can be used, by the client's name, in the order of names.
        faults: What was wrong with the others, by the client's name.
    """

    sound: dict[str, Message] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def ask(
    fleet: Fleet, messages: Iterable[Message], timeout: float | None, fault_of: Callable[[str, Message], str | None]
) -> Answers:
    """Asks clients and sorts their answers.

    Args:
        fleet: The clients.
        messages: A message for each client that is asked.
        timeout: The seconds to wait; None for no limit.
        fault_of: Says what is wrong with a reply of a client, or None.

    Returns:
        The answers.
    """
    messages = list(messages)
    asked = sorted(fleet.names[message.metadata.dst_node_id] for message in messages)
    replies = {
        fleet.names[reply.metadata.src_node_id]: reply for reply in fleet.send_and_receive(messages, timeout=timeout)
    }
    answers = Answers()
    for name in asked:
        reply = replies.get(name)
        if reply is None:
            fault: str | None = f"no answer within {timeout:g} s" if timeout else "no answer"
        else:
            fault = reply_fault(name, reply, fault_of)
        if fault is None and reply is not None:
            answers.sound[name] = reply
        else:
            answers.faults[name] = str(fault)
    return answers


def reply_fault(name: str, reply: Message, fault_of: Callable[[str, Message], str | None]) -> str | None:
    """Says what is wrong with a reply.

    Args:
        name: The client's name.
        reply: The reply.
        fault_of: Says what is wrong with a reply that is no error.

    Returns:
        A text for people, or None.
    """
    return str(reply.error.reason) if reply.has_error() else fault_of(name, reply)


def figure_fault(client: str, reply: Message) -> str | None:
    """Says what is wrong with an answer that holds figures only.

    Args:
        client: The client's name; not used.
        reply: The answer.

    Returns:
        A text for people, or None.
    """
    figures = dict(reply.content.get(METRICS) or {})
    sound = IMAGES in figures and all(is_plain(value) for value in figures.values()) and figures[IMAGES] >= 1
    return None if sound else "a figure of the answer is missing or not a finite number"
