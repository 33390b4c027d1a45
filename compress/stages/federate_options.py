"""The flags of `compress.federate`: who the clients are, how their updates are averaged, who may join."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from compress.data.spec import expand_data
from compress.files.home import expand_home
from compress.stages.choices import FEDERATED_STRATEGIES
from compress.stages.flags import check_choices, flag
from search_spaces.errors import InputError

CLIENTS, TRAINING = "clients", "training"


@dataclass(frozen=True)
class FederateOptions:
    """How the rounds of a federated training go.

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
        check_choices(self)
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
        name = Path(spec.partition(":")[2]).name
        if not name or name in specs:
            raise InputError(f"--clients {one}: another client's folder has the name {name!r}; rename one of them")
        specs[name] = spec
    if len(specs) < 2:
        raise InputError(f"--clients {' '.join(given)}: one client learns nothing from others; name two or more")
    return specs
