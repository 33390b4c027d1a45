"""An NPU as a target: names, the form of its networks, prices by Vela, and what a search refuses."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from compress.latency import npu as npu_module
from compress.latency.npu import Npu, check_same_vela
from compress.latency.npu_model import NpuModel
from compress.latency.npu_target import NpuTarget
from compress.latency.target_names import NPUS, parse_target
from compress.latency.targets import open_target
from compress.latency.timing import load
from compress.stages.config import RunConfig
from compress.tflite.variants import with_class_map
from compress.tflite.writer import random_weight_model
from nas.constraints import Constraints
from nas.feasibility import check_smallest, survey_space
from nas.problem import Problem
from search_spaces import SPACES, get_space
from search_spaces.errors import BudgetError, InputError
from search_spaces.network import Network
from search_spaces.ops import ARGMAX, RESIZE
from search_spaces.trials import SmallestTrial

pytest.importorskip("ethosu", reason="the extra ethosu is not installed")
U55, U85 = Npu("ethos-u55-256"), Npu("ethos-u85-256")


def problem(npu: Npu, budget_ms: float = 40.0, **bounds: float) -> Problem:
    constraints = Constraints(budget_ms, cpu_ops=0, **bounds)  # type: ignore[arg-type]
    model = NpuModel(npu, survey_draws=3)
    return Problem(get_space("deeplabv3plus"), model, 4, (64, 64), constraints, npu.graph_form)


@pytest.mark.parametrize("npu", NPUS)
def test_every_npu_is_a_target(npu: str) -> None:
    assert parse_target(f"vela:{npu}").address == npu
    assert open_target(f"vela:{npu}", 1).name == f"vela:{npu}"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"target": "vela:ethos-u55-100"}, "ethos-u55-256"),
        ({"target": "vela"}, "choose from ethos-u55-32"),
        ({"target": "vela:ethos-u55-256", "threads": 2}, "--threads 2"),
        ({"target": "vela:ethos-u55-256", "cores": "small"}, "--cores small"),
        ({"max_sram_kib": 100.0}, "--max-sram-kib 100: needs a --target vela:NPU"),
        ({"target": "vela:ethos-u55-256", "max_sram_kib": -1.0}, "--max-sram-kib"),
    ],
)
def test_flags_that_an_npu_does_not_take(flags: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RunConfig(budget_ms=40.0, **flags)


def test_a_missing_compiler_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npu_module, "PACKAGE", "no-such-package")
    with pytest.raises(InputError, match=r"pip install 'slimlab\[ethosu\]'"):
        U55.facts()


def test_another_version_of_vela_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"vela 1\.0.*pip install ethos-u-vela==1\.0"):
        check_same_vela({**U55.facts(), "vela": "1.0"}, U55, "npu.json")
    check_same_vela(U55.facts(), U55, "npu.json")


@pytest.mark.parametrize("space", SPACES)
def test_an_npu_takes_the_smallest_network_of_a_space_wholly(space: str) -> None:
    chosen = get_space(space)
    plain = chosen.sample(SmallestTrial(), 4, (128, 128))
    adapted = replace(plain, **U55.graph_form)  # type: ignore[arg-type]
    assert plain.id != adapted.id
    assert U55.compile(random_weight_model(chosen.graph(adapted))).left == ()
    assert U85.compile(random_weight_model(chosen.graph(plain))).left == ()


def test_resizes_go_in_steps_of_two_and_the_same_logits_come_out() -> None:
    space = get_space("deeplabv3plus")
    plain = replace(space.sample(SmallestTrial(), 4, (128, 128)), head_stride=1)
    adapted = replace(plain, doubling=True, logits=True)
    steps = [op for op in space.graph(adapted) if op.kind == RESIZE]
    assert steps and all(op.shape[0] <= 2 * op.in_shapes[0][0] for op in steps)
    assert space.graph(adapted)[-1].kind != ARGMAX
    network, other = Network(plain).eval(), Network(adapted).eval()
    other.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        first, second = network(image), other(image)
    assert first.shape == second.shape
    assert (first.argmax(1) == second.argmax(1)).float().mean() > 0.95


def test_a_file_of_logits_gets_the_class_map_that_its_logits_have() -> None:
    space = get_space("deeplabv3plus")
    model = random_weight_model(space.graph(replace(space.sample(SmallestTrial(), 4, (64, 64)), logits=True)))
    image = np.random.default_rng(0).integers(-128, 128, (1, 32, 32, 3), np.int8)
    outputs = []
    for content in (model, with_class_map(model)):
        interpreter = load(content, 1)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert (outputs[0].argmax(-1) == outputs[1]).all()
    assert with_class_map(with_class_map(model)) == with_class_map(model)


def test_a_survey_prices_networks_and_bounds_hold() -> None:
    survey = survey_space(problem(U55), seed=0)
    assert len(survey.drawn) == 4
    assert all(drawn.costs.cpu_ops == 0 and drawn.costs.sram_bytes for drawn in survey.drawn)
    again = survey_space(problem(U55), seed=0)
    assert [d.genotype for d in survey.drawn] == [d.genotype for d in again.drawn]
    with pytest.raises(BudgetError, match="--max-sram-kib 1"):
        survey_space(problem(U55, sram_bytes=1024.0), seed=0)


def test_a_network_whose_ops_fall_to_the_cpu_is_infeasible() -> None:
    plain = replace(problem(U55), form={})
    costs = plain.costs(plain.genotype(SmallestTrial()))
    assert costs.cpu_ops
    assert not plain.constraints.are_met_by(costs)
    with pytest.raises(BudgetError, match="to the CPU"):
        check_smallest(plain, SimpleNamespace(costs=costs))  # type: ignore[arg-type]


def test_more_sram_is_used_where_it_may_be() -> None:
    graph = problem(U55).space.graph(problem(U55).genotype(SmallestTrial()))
    model = random_weight_model(graph)
    small, large = (Npu("ethos-u65-512", kib * 1024).compile(model).price for kib in (8, 2048))
    assert small.sram_bytes is not None and small.sram_bytes <= 8 * 1024
    assert small.latency_ms > large.latency_ms


def test_a_file_is_priced_as_it_is_and_the_cpu_s_ops_are_named(tmp_path: Path) -> None:
    space = get_space("deeplabv3plus")
    genotype = space.sample(SmallestTrial(), 4, (64, 64))
    target = open_target("vela:ethos-u55-256", 1)
    fits = random_weight_model(space.graph(replace(genotype, doubling=True, logits=True)))
    assert target.measure([fits])[0].ms == Npu("ethos-u55-256").compile(fits).price.latency_ms
    with pytest.raises(InputError, match="to the CPU: RESIZE_BILINEAR"):
        target.measure([random_weight_model(space.graph(replace(genotype, logits=True)))])


def test_a_file_that_is_measured_and_looked_at_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = get_space("deeplabv3plus")
    genotype = space.sample(SmallestTrial(), 4, (64, 64))
    model = random_weight_model(space.graph(replace(genotype, doubling=True, logits=True)))
    compiled = []
    real = Npu._compile
    monkeypatch.setattr(Npu, "_compile", lambda self, content: compiled.append(len(content)) or real(self, content))
    npu = Npu("ethos-u55-256")
    target = NpuTarget(npu=npu)
    latency = target.measure([model])[0]
    assert npu.compile(model).price.latency_ms == latency.ms
    assert compiled == [len(model)]
    npu.compile(random_weight_model(space.graph(replace(genotype, doubling=True, logits=True, classes=5))))
    assert len(compiled) == 2
