"""Private interfaces of libraries: each is listed in docs/private_interfaces.md, and still does what we use it for."""

import ast
import json
import zipfile
from importlib.metadata import version
from pathlib import Path

import optuna
import pytest
import torch
from optuna.distributions import IntDistribution
from optuna.samplers import GPSampler, RandomSampler
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import Trial, TrialState
from sqlalchemy import Engine

from nas.private_interfaces import engine_of, fewer_local_searches, fixed_params, params_drawn_by_gp, trial_of
from nas.samplers import SAMPLERS

ROOT = Path(__file__).parents[1]
LISTED = (ROOT / "docs" / "private_interfaces.md").read_text()
PUBLIC = {"_replace", "_exit"}  # of named tuples and of os: documented in spite of the underscore


def private_attributes() -> dict[str, set[str]]:
    """Attributes with an underscore that no class of ours defines, with the files that use them."""
    used: dict[str, set[str]] = {}
    own: set[str] = set()
    for package in ("search_spaces", "compress", "nas"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef):
                    own.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    own.add(node.target.id)
                elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                    of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                    if of_self and isinstance(node.ctx, ast.Store):
                        own.add(node.attr)
                    elif not of_self:
                        used.setdefault(node.attr, set()).add(str(file.relative_to(ROOT)))
    return {name: files for name, files in used.items() if name not in own | PUBLIC}


def test_every_private_attribute_in_use_is_listed() -> None:
    missing = {name: files for name, files in private_attributes().items() if name not in LISTED}
    assert not missing, f"use a public way, or list in docs/private_interfaces.md and try here: {missing}"


def test_the_versions_listed_are_those_installed() -> None:
    """When this fails, run the tests of this file and of those it names, then change the versions in the list."""
    assert f"| optuna {version('optuna')} |" in LISTED
    assert f"| torch {'.'.join(version('torch').split('.')[:2])} |" in LISTED
    assert f"| nni {version('nni')} |" in LISTED


@pytest.fixture
def study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(storage=InMemoryStorage(), sampler=RandomSampler(seed=0))


def test_optuna_a_running_trial_can_be_gone_on_with(study: optuna.Study) -> None:
    begun = study.ask()
    begun.suggest_int("x", 0, 9)
    (stored,) = study.get_trials(states=(TrialState.RUNNING,))
    trial = trial_of(study, stored)
    assert isinstance(trial, Trial)
    assert trial.number == begun.number
    assert trial.suggest_int("x", 0, 9) == stored.params["x"]
    trial.suggest_int("y", 0, 9)
    study.tell(trial, 1.0)
    (ended,) = study.get_trials()
    assert ended.state is TrialState.COMPLETE and set(ended.params) == {"x", "y"}


def test_optuna_enqueued_parameters_can_be_read(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 3})
    study.ask()
    study.ask()
    assert [fixed_params(stored) for stored in study.get_trials()] == [{"x": 3}, {}]


def test_optuna_parameters_drawn_together_are_named(study: optuna.Study) -> None:
    study.sampler = optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=1)
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, float(trial.suggest_int("x", 0, 9)))
    assert set(study.ask().relative_params) == {"x"}


def test_optuna_a_gaussian_process_takes_fewer_local_searches() -> None:
    sampler = GPSampler(seed=0)
    assert isinstance(sampler._n_local_search, int), "GPSampler has no _n_local_search any more"
    fewer_local_searches(sampler, 2)
    assert sampler._n_local_search == 2


def test_optuna_what_a_gaussian_process_has_drawn_can_be_read(study: optuna.Study) -> None:
    """Gone on with, a candidate keeps what was drawn for it. Optuna's own sampler takes it for another worker's."""
    space = {"x": IntDistribution(0, 99), "y": IntDistribution(0, 99)}
    for _ in range(3):
        trial = study.ask(space)
        study.tell(trial, float(trial.params["x"]))
    study.sampler = SAMPLERS["gp"](1, 3)
    drawn = study.ask().relative_params
    (stored,) = study.get_trials(states=(TrialState.RUNNING,))
    assert set(drawn) == {"x", "y"}
    assert params_drawn_by_gp(stored) == drawn
    study.sampler = SAMPLERS["gp"](1, 3)
    assert trial_of(study, stored).relative_params == drawn


def test_optuna_a_database_storage_has_its_engine(tmp_path: Path) -> None:
    assert isinstance(engine_of(RDBStorage(f"sqlite:///{tmp_path}/s.db")), Engine)


def test_nni_the_evolution_tuner_keeps_its_population() -> None:
    tuners = pytest.importorskip("nni.algorithms.hpo.evolution_tuner")
    tuner = tuners.EvolutionTuner(population_size=4)
    tuner.update_search_space({"x": {"_type": "choice", "_value": [0, 1, 2]}})
    tuner.population = []
    tuner._random_generate_individual()
    newest = tuner.population.pop()
    tuner.population = [tuners.Individual(newest.config, result=float(n)) for n in range(4)]
    assert tuner.generate_parameters(0)["x"] in (0, 1, 2)
    assert hasattr(tuner, "random_state")


def test_nni_the_adaptive_distiller_makes_its_linear_maps() -> None:
    distillers = pytest.importorskip("nni.compression.distillation")
    kind = distillers.Adaptive1dLayerwiseDistiller
    assert hasattr(kind, "_register_trans_linear"), "nni's Adaptive1dLayerwiseDistiller has no _register_trans_linear"


def test_torch_an_exported_program_has_the_layout_that_is_checked(tmp_path: Path) -> None:
    """The checks of `compress.distillation.exported_program` look in these places; tests/test_teacher.py tries each."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    program = torch.export.export(network, (torch.zeros(1, 3, 8, 8),), strict=True)
    torch.export.save(program, tmp_path / "program.pt2")
    with zipfile.ZipFile(tmp_path / "program.pt2") as archive:
        inside = {name.partition("/")[2]: name for name in archive.namelist()}
        for place in ("models/model.json", "data/weights/model_weights_config.json", "data/sample_inputs/model.pt"):
            assert place in inside, f"torch.export.save writes no {place} any more, but {sorted(inside)}"
        config = json.loads(archive.read(inside["data/weights/model_weights_config.json"]))
    assert all(payload["use_pickle"] is False for payload in config["config"].values())


def test_torch_the_operators_of_quantized_graphs_are_registered() -> None:
    import torch.ao.quantization.fx._decomposed

    assert hasattr(torch.ops.quantized_decomposed, "quantize_per_tensor")
