"""The flags of `compress.federate`: who the clients are, how their updates are averaged, who may join."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Any

from compress.data.spec import expand_data
from compress.files.home import expand_home
from compress.stages.choices import FEDERATED_STRATEGIES
from compress.stages.flags import check_choices, flag, flagged, spelling
from compress.stages.options import PrivacyOptions
from compress.training.privacy import Privacy
from search_spaces.errors import InputError

SERVER, CLIENT, TRAINING = "a server", "a client", "training"


@dataclass(frozen=True)
class FederateOptions(PrivacyOptions):
    """How the rounds of a federated training go, and what each client's images are promised.

    Attributes:
        strategy: How updates are averaged; a name of `compress.federated.strategies.STRATEGIES`.
        proximal_mu: The weight of FedProx's term.
        rounds: How many rounds.
        local_steps: Optimizer steps of a client in a round; None for the steps of the run's training over the rounds.
        clients_per_round: Clients drawn for a round; None for all.
        min_clients: The fewest sound updates that make a round.
        round_seconds: How long a round waits for a client; None for no limit.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    strategy: str = flag(TRAINING, "how updates are averaged", "fedavg", choices=FEDERATED_STRATEGIES)
    proximal_mu: float = flag(TRAINING, "weight of the term of fedprox", 0.01, type=float, metavar="MU")
    rounds: int = flag(TRAINING, "how often clients train and updates are averaged", 20, type=int, metavar="N")
    local_steps: int | None = flag(
        TRAINING, "steps of a client in a round", None, type=int, metavar="N", unset="steps of compress.train / rounds"
    )
    clients_per_round: int | None = flag(
        TRAINING, "clients drawn for a round", None, type=int, metavar="N", unset="all"
    )
    min_clients: int = flag(TRAINING, "fewest sound updates that make a round", 2, type=int, metavar="N")
    round_seconds: float | None = flag(
        TRAINING, "how long a round waits for a client", None, type=float, metavar="S", unset="no limit"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        if self.dp_epsilon is not None and self.strategy == "fedprox":
            raise InputError("--strategy fedprox: its term belongs to no image; with --dp-epsilon take fedavg or fedbn")
        for name in ("rounds", "local_steps", "clients_per_round", "min_clients", "round_seconds"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise InputError(f"--{name.replace('_', '-')} {value}: give a positive number")
        if not (isfinite(self.proximal_mu) and self.proximal_mu >= 0):
            raise InputError(f"--proximal-mu {self.proximal_mu}: give 0 or a positive number, such as 0.01")
        if self.clients_per_round is not None and self.min_clients > self.clients_per_round:
            raise InputError(
                f"--min-clients {self.min_clients}: more than --clients-per-round {self.clients_per_round}; give fewer"
            )


@dataclass(frozen=True)
class ServeOptions:
    """Where a server listens, and who may join it.

    Attributes:
        serve: HOST:PORT.
        certificate: The file of the server's certificate.
        certificate_key: The file of its private key.
        client_keys: The folder of the clients' public keys.

    Raises:
        InputError: A value is wrong, or an address beyond this machine has no certificate and keys.
    """

    serve: str = flag(SERVER, "listen there for clients", "", metavar="HOST:PORT")
    certificate: str = flag(SERVER, "the server's certificate, PEM", "", parse=expand_home, metavar="FILE")
    certificate_key: str = flag(SERVER, "its private key, PEM", "", parse=expand_home, metavar="FILE")
    client_keys: str = flag(
        SERVER, "folder with a public key NAME.pub of each client", "", parse=expand_home, metavar="DIR"
    )

    def __post_init__(self) -> None:
        if not self.serve:
            return
        host, _ = parse_address("--serve", self.serve)
        given = (self.certificate, self.certificate_key, self.client_keys)
        if any(given) != all(given) or not (any(given) or is_loopback(host)):
            raise InputError(
                f"--serve {self.serve}: others can reach it; give --certificate, --certificate-key and --client-keys, "
                "all three (docs/federated.md says how to make them)"
            )


@dataclass(frozen=True)
class JoinOptions:
    """How a client joins a server.

    Attributes:
        join: The server's HOST:PORT.
        data: The client's data set.
        root: The file of the certificate by which the server is known.
        key: The file of the client's private key.
        dp_epsilon: What the client allows: it takes no part in a training that may spend more on one of its images, or
            that has no such bound. None allows all.

    Raises:
        InputError: A value is wrong, or an address beyond this machine has no certificate and key.
    """

    join: str = flag(CLIENT, "the server's address", "", metavar="HOST:PORT")
    data: str = flag(CLIENT, "the client's data set, such as folder:DIR", "", parse=expand_data, metavar="DATA")
    root: str = flag(CLIENT, "the server's certificate, or its signer's", "", parse=expand_home, metavar="FILE")
    key: str = flag(CLIENT, "the client's private key, as ssh-keygen makes it", "", parse=expand_home, metavar="FILE")
    dp_epsilon: float | None = None  # the flag is that of FederateOptions

    def __post_init__(self) -> None:
        if not self.join:
            return
        host, _ = parse_address("--join", self.join)
        if self.dp_epsilon is not None:
            _ = Privacy(self.dp_epsilon)  # refuses values out of range
        if not self.data:
            raise InputError(f"--join {self.join}: name the client's data set with --data, such as folder:DIR")
        if bool(self.root) != bool(self.key) or not (self.root or is_loopback(host)):
            raise InputError(
                f"--join {self.join}: the way there is open to others; give --root and --key, both "
                "(docs/federated.md says how to make them)"
            )


def client_specs(given: list[str], run_data: str) -> dict[str, str]:
    """Names the clients of a simulation.

    Args:
        given: What follows `--clients`: `--data` values, or folders of the run's own layout.
        run_data: The run's `--data` value.

    Returns:
        The `--data` value of each client, by the name of its folder.

    Raises:
        InputError: Two folders have the same name, or there is one client only.
    """
    layout = run_data.partition(":")[0] if ":" in run_data else "folder"
    specs = {}
    for one in given:
        spec = f"{layout}:{expand_home(one)}" if Path(expand_home(one)).exists() else expand_data(one)
        name = Path(spec.partition(":")[2]).name or spec
        if name in specs:
            raise InputError(f"--clients {one}: another client's folder has the name {name!r}; rename one of them")
        specs[name] = spec
    if len(specs) < 2:
        raise InputError(f"--clients {' '.join(given)}: one client learns nothing from others; name two or more")
    return specs


def parse_address(flag_given: str, address: str) -> tuple[str, int]:
    """Reads HOST:PORT.

    Args:
        flag_given: The flag, for the message.
        address: The text.

    Returns:
        Host and port.

    Raises:
        InputError: The text is no such address.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{flag_given} {address}: give HOST:PORT, such as 127.0.0.1:9092")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    Args:
        host: A name or an address.

    Returns:
        True or false.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_one(clients: list[str] | None, serve: str, join: str) -> None:
    """Checks that a command line says who the clients are in one way.

    Args:
        clients: What `--clients` gives.
        serve: What `--serve` gives.
        join: What `--join` gives.

    Raises:
        InputError: None of the flags is given, or more than one.
    """
    if sum(map(bool, (clients, serve, join))) != 1:
        raise InputError("give one of --clients DIR DIR ..., --serve HOST:PORT and --join HOST:PORT")


def refuse_flags(given: Mapping[str, Any], role: str, *others: type) -> None:
    """Refuses flags that another role has. `--dp-epsilon` is a limit for a client and a setting for a server.

    Args:
        given: The values of all flags, by field name.
        role: The flag that says what the command is.
        others: The dataclasses of the other roles.

    Raises:
        InputError: Such a flag is given; the line names it.
    """
    for one, _ in (pair for options in others for pair in flagged(options)):
        if given[one.name] != one.default and one.name != "dp_epsilon":
            raise InputError(f"{spelling(one)}: has no meaning with {role}; leave it out")
