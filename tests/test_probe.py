"""The score of a network before any training: a linear classifier on what its backbone has inherited."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import CLASSES

import nas.probe
from compress.data.dataset import DataSet
from compress.data.validation import Validation, read_validation
from compress.stages.config import RunConfig
from compress.stages.run import Run
from nas.probe import RIDGE, SAMPLED, Probe, open_probe
from nas.start import starter_from_donor
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.known_networks import known_network
from search_spaces.network import Network

SIDE = 96


@pytest.fixture(scope="module")
def run(folder_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = RunConfig(50, data=f"folder:{folder_data}", input_size=(SIDE, SIDE), preset="toy")
    return Run(tmp_path_factory.mktemp("probe"), config)


@pytest.fixture(scope="module")
def probe(run: Run) -> Probe:
    return open_probe(run)


def backbone(multiplier: float, side: int = SIDE) -> Genotype:
    return known_network("efficientnet_lite0", multiplier, CLASSES, (side, side))


@pytest.fixture(scope="module")
def network(run: Run) -> Network:
    started = starter_from_donor(run)(backbone(0.5))
    assert started is not None
    return started


def test_classes_that_features_tell_apart_score_high(probe: Probe, network: Network) -> None:
    """The data has its classes in the colours. With masks of other images nothing can be told."""
    masks = probe.validation.masks
    assert isinstance(masks, torch.Tensor)
    others = replace(probe.validation, masks=masks.roll(1, 0).flip(1, 2))
    assert probe.score(network) > 0.6
    assert replace(probe, validation=others).score(network) < 0.45


def test_what_a_donor_knows_counts(run: Run, probe: Probe, network: Network) -> None:
    torch.manual_seed(0)
    assert probe.score(network) > probe.score(Network(network.genotype)) + 0.05


def test_a_score_changes_nothing_and_is_the_same_again(run: Run, network: Network) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    scores = {open_probe(run).score(network.train()) for _ in range(2)}
    assert len(scores) == 1 and network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_head_has_no_say(run: Run, probe: Probe, network: Network) -> None:
    lighter = starter_from_donor(run)(replace(network.genotype, aspp_rates=(), aspp_widths=(8, 8), decoder=(8,)))
    assert lighter is not None
    assert probe.score(lighter) == probe.score(network)


def test_the_classifier_is_numpys_least_squares(probe: Probe, network: Network) -> None:
    """With a ridge as rows of its own."""
    features, labels = (values.numpy() for values in probe.sampled(network.eval()))
    weights = probe.weights.double().numpy()[labels]
    root = np.sqrt(weights)[:, None]
    ridge = RIDGE * np.mean(np.sum(weights[:, None] * features**2, axis=0))
    rows = np.vstack([root * features, np.sqrt(ridge) * np.eye(features.shape[1])])
    goals = np.vstack([root * np.eye(CLASSES)[labels], np.zeros((features.shape[1], CLASSES))])
    expected = np.linalg.lstsq(rows, goals, rcond=None)[0]
    np.testing.assert_allclose(probe.classifier(network).numpy(), expected, atol=1e-3)


def test_void_pixels_have_no_say(probe: Probe, network: Network) -> None:
    """The first rows of each image of the data are void."""
    assert bool((probe.train.masks[0] == probe.train.ignore).any())
    _, labels = probe.sampled(network.eval())
    assert int(labels.max()) < CLASSES


def test_images_without_a_label_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(data: DataSet, size: tuple[int, int]) -> Validation:
        split = read_validation(data, size)
        assert isinstance(split.masks, torch.Tensor)
        return replace(split, masks=torch.full_like(split.masks, split.ignore))

    monkeypatch.setattr(nas.probe, "read_validation", without)
    with pytest.raises(InputError, match="--strategy probe: no pixel of 6 training images has a label; label more"):
        open_probe(run)


@pytest.mark.parametrize("side", [64, 96])
def test_features_are_those_of_stride_4(probe: Probe, run: Run, side: int) -> None:
    """At the resolution of the network, with one channel of ones. As many are sampled as asked for, at most."""
    started = starter_from_donor(run)(backbone(0.25, side))
    assert started is not None
    features = probe.features(started.eval(), torch.rand(2, 3, side, side))
    assert features.shape[2:] == (side // 4, side // 4)
    assert torch.equal(features[:, -1], torch.ones(2, side // 4, side // 4))
    sampled, labels = probe.sampled(started)
    assert len(sampled) == len(labels) <= SAMPLED * len(probe.train)
