"""What a search starts from: a donor's weights, a file, or nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from compress.files.tensors import save_network
from compress.stages.config import RunConfig
from compress.stages.run import Run
from nas import start
from nas.inheritance.start import PreparedDonor, prepare_donor
from nas.start import open_start, start_summary, started_network, starter_from_donor
from search_spaces.errors import InputError
from search_spaces.known_networks import known_network
from search_spaces.network import Network

SIDE = 64


def run_from(weights: str, data: Path, path: Path) -> Run:
    return Run(path, RunConfig(50, data=f"folder:{data}", input_size=(SIDE, SIDE), preset="toy", weights=weights))


def network(run: Run) -> Network:
    torch.manual_seed(0)
    return Network(known_network("efficientnet_lite0", 0.25, len(run.data.classes), (SIDE, SIDE)))


def changed(run: Run) -> set[str]:
    """The layers that a start changes."""
    before, after = network(run), network(run)
    open_start(run).network(after)
    same = after.state_dict()
    return {n.split(".")[1] for n, value in before.state_dict().items() if not torch.equal(value, same[n])}


def test_the_backbone_starts_from_the_donor_and_the_head_does_not(folder_data: Path, tmp_path: Path) -> None:
    run = run_from("imagenet", folder_data, tmp_path)
    layers = {name.split(".")[1] for name in network(run).state_dict()}
    assert changed(run) == {name for name in layers if name.startswith(("stem", "stage"))}
    assert "starts from efficientnet_lite0" in start_summary(run)


def test_nothing_and_a_file_are_starts_too(folder_data: Path, tmp_path: Path) -> None:
    scratch = run_from("none", folder_data, tmp_path)
    assert changed(scratch) == set()
    given = network(scratch)
    torch.nn.init.ones_(next(given.parameters()))
    save_network(given, tmp_path / "given.pt")
    assert changed(run_from(str(tmp_path / "given.pt"), folder_data, tmp_path)) == {"stem"}


def test_a_start_that_is_not_there_is_one_line(folder_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--weights nowhere.pt: there is no such file; give imagenet, none"):
        open_start(run_from("nowhere.pt", folder_data, tmp_path))


def test_the_donor_is_prepared_once_and_gives_each_network_the_same(
    folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, prepared = run_from("imagenet", folder_data, tmp_path), []

    def prepare(*asked: Any) -> PreparedDonor:
        prepared.append(asked)
        return prepare_donor(*asked)

    monkeypatch.setattr(start, "prepare_donor", prepare)
    started, genotype = starter_from_donor(run), network(run).genotype
    lighter = replace(genotype, aspp_rates=(6,), aspp_widths=genotype.aspp_widths[:3])
    first, other, again = started(genotype), started(lighter), started(genotype)
    assert len(prepared) == 1
    alone = started_network(run, open_start(run), genotype).state_dict()
    for made in (first, again):
        assert made is not None
        assert all(torch.equal(made.state_dict()[name], value) for name, value in alone.items())
    assert other is not None
    assert other.genotype == lighter


def test_without_a_donor_nothing_starts_from_it(folder_data: Path, tmp_path: Path) -> None:
    scratch = run_from("none", folder_data, tmp_path)
    assert starter_from_donor(scratch)(network(scratch).genotype) is None
