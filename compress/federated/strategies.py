"""How the clients' updates become one network: Flower's strategies, by the names of `--strategy`."""

from compress.federated.flower import FedAvg, FedProx

FEDBN = "fedbn"
STRATEGIES: dict[str, type[FedAvg]] = {
    "fedavg": FedAvg,  # McMahan et al. 2017
    "fedprox": FedProx,  # Li et al. 2020
    FEDBN: FedAvg,  # Li et al. 2021: the same average, of everything but batch normalization
}


def make_strategy(name: str, drawn: int | None, min_clients: int, proximal_mu: float) -> FedAvg:
    """Sets a strategy up. Updates are weighted by the client's number of training images.

    Args:
        name: A key of STRATEGIES.
        drawn: How many are drawn for a round; None for all.
        min_clients: The fewest that a round begins with.
        proximal_mu: The weight of FedProx's term.

    Returns:
        Flower's strategy.
    """
    share = {
        "fraction_train": 1e-9 if drawn else 1.0,  # Flower draws min_train_nodes where the fraction is less
        "min_train_nodes": drawn or min_clients,
        "min_available_nodes": min_clients,
    }
    return FedProx(proximal_mu=proximal_mu, **share) if name == "fedprox" else STRATEGIES[name](**share)
