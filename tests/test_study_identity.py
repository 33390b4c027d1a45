"""Which study a run folder has: never one whose scores are of other files."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.storages import BaseStorage, InMemoryStorage
from small_studies import problem, worth
from studies import PLAIN

from compress.latency.table import Calibration, LatencyTable
from compress.stages.config import RunConfig
from nas.candidate_loop import CandidateLoop
from nas.feasibility import Survey
from nas.heartbeat import Worker
from nas.listing import write_listing
from nas.preparation import is_of_older_backbone
from nas.storages import open_storage
from nas.study import IDENTITY, best_candidates, open_study
from nas.study_identity import identity_of, recorded_name, study_file, study_name, tensors_digest
from search_spaces.backbone import BACKBONE
from search_spaces.errors import InputError

CONFIG = RunConfig(4.0, trials=2)


@dataclass
class Folder:
    """A run folder as far as its study goes: a table, data, a supernet."""

    path: Path
    table: str = "one"
    data: str = "fingerprint"
    older_data: str = "of sizes"
    weights: str = "digest"
    settings: dict = field(default_factory=lambda: {"trials": 2})

    def __post_init__(self) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / "table.json").write_text(self.table)

    def search(self, storage: BaseStorage, surveyed: Survey) -> optuna.Study:
        known = (self.data, self.older_data)
        data = SimpleNamespace(fingerprint=self.data, has_fingerprint=lambda stored: stored in known)
        run = SimpleNamespace(path=self.path, data=data)
        identity = identity_of(run, self.settings, self.weights)  # type: ignore[arg-type]
        study = open_study(study_name(self.path, storage), storage, CONFIG, surveyed, identity, data.has_fingerprint)
        with Worker(study) as worker:
            CandidateLoop(worker, problem(), CONFIG, 0, worth, self.path / "search.jsonl").run()
        return study


def test_two_run_folders_on_one_storage_have_a_study_each(surveyed: Survey, tmp_path: Path) -> None:
    """The second must not take the scores of the first: they are of another table and supernet."""
    storage = InMemoryStorage()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = Folder(tmp_path / "a" / "roads").search(storage, surveyed)
    second = Folder(tmp_path / "b" / "roads", table="another").search(storage, surveyed)
    assert first.study_name != second.study_name
    assert len(best_candidates(first)) == len(best_candidates(second)) == 2


def test_a_run_folder_that_was_deleted_and_made_again_adopts_no_old_score(surveyed: Survey, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    old = Folder(tmp_path / "roads").search(storage, surveyed)
    shutil.rmtree(tmp_path / "roads")
    new = Folder(tmp_path / "roads").search(storage, surveyed)
    assert new.study_name != old.study_name


def test_a_renamed_run_folder_keeps_its_search(surveyed: Survey, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    old = Folder(tmp_path / "roads").search(storage, surveyed)
    (tmp_path / "roads").rename(tmp_path / "streets")
    again = Folder(tmp_path / "streets").search(storage, surveyed)
    assert again.study_name == old.study_name
    assert len(again.get_trials()) == len(old.get_trials())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"table": "another"}, "table.json"),
        ({"data": "changed"}, "data fingerprint there, changed here"),
        ({"weights": "others"}, "search/supernet.pt digest there, others here"),
        ({"settings": {"trials": 3}}, "trials 2 there, 3 here"),
    ],
)
def test_a_study_of_other_files_is_refused_by_name(changed: dict, named: str, surveyed: Survey, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    Folder(tmp_path / "roads").search(storage, surveyed)
    with pytest.raises(InputError, match=named) as refused:
        Folder(tmp_path / "roads", **changed).search(storage, surveyed)
    assert "start the run anew" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def older(storage: BaseStorage, folder: Path, surveyed: Survey, data: str = "fingerprint") -> optuna.Study:
    """A search as versions left it that named the study after the run folder."""
    Folder(folder)
    identity = {"trials": 2, "data": data, "backbone": BACKBONE}
    study = open_study(folder.name, storage, CONFIG, surveyed, identity)
    with Worker(study) as worker:
        CandidateLoop(worker, problem(), CONFIG, 0, worth).run()
    write_listing(study, folder / "search.jsonl", 4.0)
    return study


def test_a_run_folder_of_an_older_version_goes_on_with_its_study(surveyed: Survey, tmp_path: Path) -> None:
    """On a shared storage by its name and its listing; with a study.db of its own also after it was renamed."""
    storage = InMemoryStorage()
    known = older(storage, tmp_path / "roads", surveyed)
    assert Folder(tmp_path / "roads").search(storage, surveyed).study_name == known.study_name == "roads"
    folder = tmp_path / "other"
    folder.mkdir()
    known = older(open_storage(f"sqlite:///{folder}/study.db"), folder, surveyed)
    folder.rename(tmp_path / "renamed")
    own = open_storage(f"sqlite:///{tmp_path}/renamed/study.db")
    assert Folder(tmp_path / "renamed").search(own, surveyed).study_name == "other"


def test_a_study_of_networks_with_another_backbone_is_refused(surveyed: Survey, tmp_path: Path) -> None:
    """Studies of older versions do not record it: they are of networks of five stages."""
    storage = InMemoryStorage()
    study = Folder(tmp_path / "roads").search(storage, surveyed)
    known = json.loads(study.user_attrs[IDENTITY])
    assert known.pop("backbone") == BACKBONE
    study.set_user_attr(IDENTITY, json.dumps(known))
    with pytest.raises(InputError, match=r"backbone five stages there, six or seven stages here.*start the run anew"):
        Folder(tmp_path / "roads").search(storage, surveyed)


@pytest.mark.parametrize("over", [True, False])
def test_a_run_of_networks_with_another_backbone_only_goes_on_after_its_search(over: bool, tmp_path: Path) -> None:
    table = LatencyTable({"precision": "int8"}, {}, PLAIN, {}, Calibration(1.0, 1.0), {})
    (tmp_path / "table.json").write_text(table.to_json())
    run, spec = SimpleNamespace(path=tmp_path), SimpleNamespace(command=str)
    if over:
        (tmp_path / "genotype.json").write_text("{}")
        assert is_of_older_backbone(run, spec)  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match="its search was begun among networks of five stages, and this version"):
        is_of_older_backbone(run, spec)  # type: ignore[arg-type]


def test_a_study_with_the_fingerprint_of_an_older_version_goes_on(surveyed: Survey, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    known = older(storage, tmp_path / "roads", surveyed, data="of sizes")
    assert Folder(tmp_path / "roads").search(storage, surveyed).study_name == known.study_name
    with pytest.raises(InputError, match="data of sizes there, fingerprint here"):
        Folder(tmp_path / "roads", older_data="of other sizes").search(storage, surveyed)


def test_an_older_study_of_that_name_is_not_adopted_by_another_folder(surveyed: Survey, tmp_path: Path) -> None:
    storage = InMemoryStorage()
    older(storage, tmp_path / "roads", surveyed)
    shutil.rmtree(tmp_path / "roads")
    assert Folder(tmp_path / "roads").search(storage, surveyed).study_name != "roads"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 3}', "\x00"])
def test_a_damaged_study_file_is_one_line(content: str, tmp_path: Path) -> None:
    study_file(tmp_path).parent.mkdir()
    study_file(tmp_path).write_text(content)
    with pytest.raises(InputError, match=r"study.json.*start the run anew"):
        recorded_name(tmp_path)


def test_damaged_trials_and_identity_are_one_line(surveyed: Survey) -> None:
    storage = InMemoryStorage()
    study = open_study("tried", storage, CONFIG, surveyed, {"trials": 2})
    trial = study.ask()
    trial.set_user_attr("genotype", '{"space": "nowhere"')
    with pytest.raises(InputError, match=f"candidate {trial.number} of the study tried is damaged"):
        open_study("tried", storage, CONFIG, surveyed, {"trials": 2})
    study.set_user_attr(IDENTITY, "{")
    with pytest.raises(InputError, match="a study tried that is damaged"):
        open_study("tried", storage, CONFIG, surveyed, {"trials": 2})


def test_the_digest_of_tensors_is_that_of_their_values() -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    assert tensors_digest(tensors) == tensors_digest(dict(reversed(tensors.items())))
    for name, value in (("a", tensors["a"] + 1), ("a", tensors["a"].reshape(3, 2)), ("b", tensors["b"].float())):
        assert tensors_digest({**tensors, name: value}) != tensors_digest(tensors)
