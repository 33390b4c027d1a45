"""The winner is trained several times, and the weights are averaged."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from compress.files.tensors import load_network
from compress.stages import side_by_side
from compress.stages.run import SEARCH, Run, open_run
from compress.stages.train import members_of, soup, train
from compress.training.averaging import mean_network
from search_spaces.genotype import Genotype
from search_spaces.network import Network


def shifted(genotype: Genotype, shift: float) -> Network:
    """A network whose weights all lie higher than those of another."""
    torch.manual_seed(0)
    network = Network(genotype).eval()
    with torch.no_grad():
        for value in network.parameters():
            value += shift
    return network


def test_a_mean_network_has_the_mean_weights(tiny: Genotype) -> None:
    mean = mean_network([shifted(tiny, shift) for shift in (0.0, 0.25, 0.5)])
    expected = shifted(tiny, 0.25).state_dict()
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert not mean.training


@pytest.mark.parametrize(
    ("worths", "shift"),
    [
        ({0.0: 0.5, 0.5: 0.4, 0.25: 0.6}, 0.25),  # together they are better
        ({0.0: 0.5, 0.5: 0.4, 0.25: 0.3}, 0.0),  # the second spoils the first
        ({0.0: 0.4, 0.5: 0.5, 0.25: 0.45}, 0.5),
    ],
)
def test_a_member_joins_where_the_average_does_not_fall(
    tiny: Genotype, worths: dict[float, float], shift: float
) -> None:
    start = next(shifted(tiny, 0.0).parameters())

    def miou(network: Network) -> float:
        return worths[round(float((next(network.parameters()) - start).detach().mean()), 2)]

    run: Any = SimpleNamespace(miou=miou)
    network, found, mious = soup(run, [shifted(tiny, 0.0), shifted(tiny, 0.5)])
    assert (found, mious) == (worths[shift], [worths[0.0], worths[0.5]])
    assert miou(network) == worths[shift]


def test_a_winner_is_at_least_as_good_as_each_member(whole: Path) -> None:
    record = json.loads((whole / "train" / "metrics.json").read_text())
    assert len(record["member_mious"]) == 2
    assert record["miou"] >= max(record["member_mious"])
    assert sorted(path.name for path in (whole / "train").iterdir()) == ["log.csv", "metrics.json", "network.pt"]


def test_a_training_killed_between_members_ends_as_an_uninterrupted_one(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_network(copied / "train" / "network.pt").state_dict()
    kept, done = side_by_side.train, list[str]()

    def second_dies(run: Run, training: side_by_side.Training) -> None:
        done.append(training.title)
        if len(done) == 2:
            raise KeyboardInterrupt
        kept(run, training)

    monkeypatch.setattr(side_by_side, "train", second_dies)
    with pytest.raises(KeyboardInterrupt):
        train(open_run(copied))
    train(open_run(copied))
    assert done == ["train 1 of 2", "train 2 of 2", "train 2 of 2"]
    for name, value in load_network(copied / "train" / "network.pt").state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_what_was_left_of_another_winner_is_not_used(copied: Path) -> None:
    run = open_run(copied)
    network, schedule = run.network(SEARCH), run.config.schedule("train")
    files = {training.file for training in members_of(run, network, schedule)}
    with torch.no_grad():
        next(network.parameters()).add_(1)
    assert files.isdisjoint(training.file for training in members_of(run, network, schedule))
