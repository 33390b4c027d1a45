"""The search as a user types it: what it lists, its strategies, several processes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from commands import Command, flags, listed, spoken
from stage_runs import KilledError, killed_at

import nas.latency
import nas.report
import nas.search
from compress.files.genotypes import read_genotype
from compress.stages import side_by_side
from compress.stages.fitting import fit_network
from compress.stages.run import open_run
from nas.constraints import COST_NAMES
from nas.halving import END
from nas.problem import problem_of
from nas.score import Scorer, reward
from search_spaces.genotype import Genotype


def test_candidates_are_listed(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "search.jsonl").read_text().splitlines()]
    scored = [line for line in lines if line["state"] == "complete"]
    assert len(scored) == 4
    assert all(0 <= line["miou"] <= 1 and line["predicted_latency_ms"] <= 50 for line in scored)
    problem = problem_of(open_run(whole))
    for line in lines:  # what is listed is what the run's own table says, and it decides what is infeasible
        costs = problem.costs(Genotype.from_dict(line["genotype"]))
        known = {name: value for name, value in dataclasses.asdict(costs).items() if value is not None}
        assert {name: line[f"predicted_{name}"] for name in COST_NAMES} == known
        assert (line["state"] == "complete") == problem.constraints.are_met_by(costs)
        expected = reward(line["miou"], costs.latency_ms, 50) if line["state"] == "complete" else None
        assert line["score"] == expected
    assert len({json.dumps(line["genotype"]) for line in scored}) == len(scored)


def test_a_search_killed_at_a_candidate_and_at_a_finalist_ends_as_an_uninterrupted_one(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third score dies, then the second finalist. The search goes on with the part that died: the same seed gives
    the same candidates, scores and finalists."""
    asked = [*flags(folder_data, host_table, "killed"), "--search-only"]
    heal = killed_at(monkeypatch, Scorer, "score", 3, KeyboardInterrupt)
    assert command(nas.search.main, *asked)[0] == 130
    heal()
    titles = list[str]()

    def titled(*arguments: Any, **more: Any) -> None:
        titles.append(arguments[4])
        if len(titles) == 2:
            raise KilledError
        fit_network(*arguments, **more)

    monkeypatch.setattr(side_by_side, "fit_network", titled)
    with pytest.raises(KilledError):
        command(nas.search.main, *asked, "--resume")
    assert command(nas.search.main, *asked, "--resume")[0] == 0
    done = [title.split()[0] for title in titles]
    # two finalists of the search, two by hand and two compact ones, and one of them twice; then three, then two
    assert (done, titles[1]) == (["finalist"] * (7 + 3 + 2), titles[2])
    assert set(titles[10:]) <= set(titles[7:10]) <= set(titles[:7])
    runs = [here / "runs" / run for run in ("whole", "killed")]
    one, other = ((run / "search.jsonl").read_text() for run in runs)
    assert one == other
    finalists = [json.loads((run / "search" / "finalists.json").read_text()) for run in runs]
    one, other = ([(f["id"], f["mious"]) for f in found] for found in finalists)
    assert one == other


def test_workers_share_a_search(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    asked = [*flags(folder_data, host_table, "shared"), "--search-only", "--workers", 2, "--trials", 6]
    code, _, err = command(nas.search.main, *asked, "--storage", f"journal:{here}/shared.log")
    assert code == 0, err
    run = here / "runs" / "shared"
    assert [line["state"] for line in listed(run)].count("complete") == 6
    assert "Error" not in (run / "search" / "worker-1.log").read_text()
    assert "shared.log" in json.loads((run / "config.json").read_text())["storage"]
    code, _, err = command(nas.search.main, *asked, "--resume")
    assert (code, "was started with --storage journal:" in err) == (2, True)


def test_candidates_trained_by_themselves(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    """They start from weights of the user's."""
    asked = [*flags(folder_data, host_table, "trained"), "--search-only", "--strategy", "train", "--pruner", "median"]
    asked += ["--workers", 2, "--weights", whole / "search" / "teacher.pt"]
    code, out, err = command(nas.search.main, *asked)
    assert code == 0, err
    assert "tensors start from it" in out
    run = here / "runs" / "trained"
    winner = Genotype.from_dict(json.loads((run / "genotype.json").read_text()))
    finalists = json.loads((run / "search" / "finalists.json").read_text())
    last = [one for one in finalists if END in one["mious"]]
    assert winner.id == max(last, key=lambda one: one["mious"][END])["id"]
    candidates = {Genotype.from_dict(line["genotype"]).id for line in listed(run) if line["state"] == "complete"}
    assert {one["id"] for one in finalists if not {"by_hand", "known"} & one.keys()} <= candidates
    assert not (run / "search" / "supernet.pt").exists()
    assert list((run / "search" / "candidates").glob("*/network.pt"))


def test_candidates_scored_by_what_they_inherit(
    here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    """The default with a donor. Nothing is trained before the finalists."""
    asked = [*flags(folder_data, host_table, "probed"), "--search-only", "--weights", "imagenet"]
    code, _, err = command(nas.search.main, *asked)
    assert code == 0, err
    run = here / "runs" / "probed"
    assert json.loads((run / "config.json").read_text())["search"]["strategy"] == "probe"
    assert not (run / "search" / "supernet.pt").exists()
    scored = [line for line in listed(run) if line["state"] == "complete"]
    assert len({line["miou"] for line in scored}) > 1
    finalists = json.loads((run / "search" / "finalists.json").read_text())
    winner = read_genotype(run / "genotype.json", "")
    assert winner.id == max((one for one in finalists if END in one["mious"]), key=lambda one: one["mious"][END])["id"]


def test_a_front_is_kept(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    """Best first; the winner, whichever refinement chose, is on it, unless it is a known network."""
    asked = [*flags(folder_data, host_table, "front"), "--search-only", "--pareto", "size", "--sampler", "nsga2"]
    code, _, err = command(nas.search.main, *asked)
    assert code == 0, err
    run = here / "runs" / "front"
    front = json.loads((run / "search" / "pareto.json").read_text())
    mious = [one["miou"] for one in front]
    assert mious == sorted(mious, reverse=True)
    scored = [line for line in listed(run) if line["state"] == "complete"]
    assert mious[0] == max(line["miou"] for line in scored)
    finalists = json.loads((run / "search" / "finalists.json").read_text())
    known = [one["id"] for one in finalists if {"by_hand", "known"} & one.keys()]
    winner = read_genotype(run / "genotype.json", "")
    assert winner.id in [*(Genotype.from_dict(one["genotype"]).id for one in front), *known]


@pytest.mark.slow
def test_the_same_command_joins(here: Path, folder_data: Path, host_table: Path) -> None:
    asked = [*flags(folder_data, host_table, "joined"), "--search-only", "--trials", 20]
    first, second = (spoken([*asked, "--resume"], here) for _ in range(2))
    said = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert sum("joining its search" in text for text in said) == 1
    assert sum("winner:" in text for text in said) == 1
    assert [line["state"] for line in listed(here / "runs" / "joined")].count("complete") == 20


@pytest.mark.slow
def test_torchrun_trains_the_supernet_on_two_processes(here: Path, folder_data: Path, host_table: Path) -> None:
    asked = [*flags(folder_data, host_table, "ranks"), "--search-only"]
    process = spoken(asked, here, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--")
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert said.count("winner:") == 1
    assert len([line for line in listed(here / "runs" / "ranks") if line["state"] == "complete"]) == 4
