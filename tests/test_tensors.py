"""Tensors and networks in files: what does not fit is one line, and takes no memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_of

from compress.files.tensors import load_network, load_network_and_facts, load_tensors, save_network, save_tensors
from search_spaces.errors import InputError
from search_spaces.network import Network

NETWORK = Network(tiny_of("lraspp")).eval()
FIRST = next(iter(NETWORK.state_dict()))


def stored() -> dict[str, Any]:
    """What a network's file holds, to be damaged."""
    return {
        "genotype": NETWORK.genotype.to_dict(),
        "weights": {name: value.clone() for name, value in NETWORK.state_dict().items()},
    }


def with_genotype(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda value: {**value, "genotype": {**value["genotype"], **values}}


def with_first(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda value: {**value, "weights": {**value["weights"], FIRST: change(value["weights"][FIRST])}}


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda value: [value], "it holds a list"),
    "no weights": (lambda value: {"genotype": value["genotype"]}, "it lacks weights"),
    "no genotype": (lambda value: {"weights": value["weights"]}, "it lacks genotype"),
    "weights a list": (lambda value: {**value, "weights": list(value["weights"].values())}, "weights by name"),
    "weights a number": (lambda value: {**value, "weights": 3}, "weights by name"),
    "genotype a number": (lambda value: {**value, "genotype": 3}, "must hold an object"),
    "unknown space": (with_genotype(space="deeplabv9"), "deeplabv9"),
    "a billion channels": (with_genotype(stem=8 * 10**9), FIRST),
    "more channels than numbers": (with_genotype(stem=8 * 10**17), "network of this version"),
    "a stage too few": (lambda value: with_genotype(stages=value["genotype"]["stages"][:-1])(value), "5 to 7 stages"),
    "odd width": (with_genotype(stem=7), "stem must be"),
    "another field": (with_genotype(extra=1), "extra"),
    "NaN": (with_first(lambda x: x * float("nan")), "not finite"),
    "infinity": (with_first(lambda x: x / 0), "not finite"),
    "another shape": (with_first(lambda x: x[:, :1]), "must be"),
    "another type": (with_first(lambda x: x.double()), "float64"),
    "no tensor": (with_first(lambda x: 3.5), "weights by name"),
    "one number for all": (with_first(lambda x: torch.zeros(1).expand(8 * 10**9)), "larger than the file"),
    "a tensor more": (lambda value: {**value, "weights": {**value["weights"], "more": torch.ones(1)}}, "too many"),
    "a tensor less": (lambda value: {**value, "weights": dict([*value["weights"].items()][1:])}, "lacks 1 tensors"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_network_is_one_line(tmp_path: Path, kind: str) -> None:
    path, (damage, words) = tmp_path / "network.pt", DAMAGES[kind]
    value = damage(stored())
    if isinstance(value, dict) and "genotype" in value:
        value["genotype"] = json.dumps(value["genotype"])
    torch.save(value, path)
    with pytest.raises(InputError, match=words) as refused:
        load_network(path)
    message = str(refused.value)
    assert str(path) in message and "delete it and run its stage again" in message and len(message) < 700


def test_every_cut_of_a_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    save_network(NETWORK, path)
    whole = path.read_bytes()
    for part in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:part])
        with pytest.raises(InputError, match=r"network\.pt .*; delete it and run its stage again"):
            load_network(path)


def test_a_network_and_its_facts_come_back(tmp_path: Path) -> None:
    path = tmp_path / "rounds.pt"
    save_network(NETWORK, path, asked={"rounds": 3}, done=[])
    network, facts = load_network_and_facts(path, "asked", "done")
    assert network.genotype == NETWORK.genotype and not network.training
    assert facts == {"asked": {"rounds": 3}, "done": []}
    assert all(torch.equal(value, NETWORK.state_dict()[name]) for name, value in network.state_dict().items())
    with pytest.raises(InputError, match="it lacks more"):
        load_network_and_facts(path, "more")


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a.pt", tmp_path / "folder" / "b.pt"]
    for path in files:
        save_network(NETWORK, path)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_entries_that_are_asked_for_and_finite_numbers(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_tensors({"step": 3, "states": {"rate": [torch.tensor(float("inf"))]}}, path)
    with pytest.raises(InputError, match=r"states\.rate\.0 has numbers that are not finite"):
        load_tensors(path)
    save_tensors({"step": 3}, path)
    with pytest.raises(InputError, match="it lacks states, origin"):
        load_tensors(path, ("states", "step", "origin"))
