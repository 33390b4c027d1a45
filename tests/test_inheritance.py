"""Inheritance: an ordered network computes the same, slices are taken, and a fit is never worse than they are."""

import random
from dataclasses import replace

import pytest
import torch
from conftest import random_genotype
from hypothesis import given, settings
from hypothesis import strategies as st
from test_network import warmed

from nas.inheritance.channels import can_be_turned, residual_streams
from nas.inheritance.images import image_windows
from nas.inheritance.ordering import equalized, ordered, value_statistics
from nas.inheritance.refit import RIDGE, fit_projection, refit, sampled_outputs
from nas.inheritance.slices import inherit
from nas.inheritance.start import PreparedDonor, backbone_copy, prepare_donor, start_network, start_supernet
from nas.inheritance.sweep import Sweep, backbone_ops, calibrate, layer_of, set_statistics
from nas.supernet import Supernet, extract, largest_networks
from search_spaces import SPACES, get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import DEPTHWISE

CPU_CASES = settings(max_examples=5, deadline=None)
seeds = st.integers(0, 10**6)
spaces = st.sampled_from(sorted(SPACES))


def images(seed: int, side: int = 64, count: int = 4) -> list[torch.Tensor]:
    """Smooth images: pixels of photographs resemble their neighbours."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    return [torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")]


def small(seed: int, space: str = "deeplabv3plus", **changes: object) -> Genotype:
    """A random network of a space whose backbone has few channels."""
    rng = random.Random(seed)
    drawn = random_genotype(seed, side=64, space=space)
    stem, stages = rng.choice((8, 16)), []
    for i, stage in enumerate(drawn.stages):
        hidden = [stem if (i, b) == (0, 0) else rng.choice((16, 24, 40)) for b in range(min(2, len(stage.hidden)))]
        squeeze = stage.squeeze and (8,) * len(hidden)
        width = rng.choice((8, 16, 24) if i else (8, 16))
        stages.append(replace(stage, width=width, hidden=tuple(hidden), squeeze=squeeze))
    fields = {"resolution": (64, 64), "stem": stem, "stages": tuple(stages), **changes}
    return replace(drawn, **fields)  # type: ignore[arg-type]


def a_network(genotype: Genotype, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    network = warmed(Network(genotype))
    assert isinstance(network, Network)
    return network


def block_outputs(network: Network, batches: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The output of the last block of each stage."""
    found, sweep = {}, Sweep(network, batches)
    for op in sweep.ops():
        parts = sweep.run(op)
        if op.name.endswith((".project", ".add")):
            found[op.name.split(".")[0]] = torch.cat(parts)
    return found


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    channels = min(found.shape[1], wanted.shape[1])
    found, wanted = found[:, :channels].double(), wanted[:, :channels].double()
    spread = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().sum()
    return float((found - wanted).square().sum() / spread)


@given(seeds, st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 7))
@CPU_CASES
def test_statistics_are_torchs_over_all_images(seed: int, counts: list[int], start: int) -> None:
    """Of batches of different lengths, in double precision. Channels before the first one keep theirs."""
    torch.manual_seed(seed)
    layer = layer_of(a_network(small(seed), seed), "stem")
    kept = layer.bn.running_mean.clone(), layer.bn.running_var.clone()
    values = 3 * torch.randn(sum(counts), layer.conv.out_channels, 48, 32) + 40
    set_statistics(layer, list(values.contiguous(memory_format=torch.channels_last).split(counts)), start)
    variance, mean = torch.var_mean(values.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(layer.bn.running_mean[start:], mean[start:].float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.bn.running_var[start:], variance[start:].float(), rtol=1e-5, atol=0)
    assert torch.equal(layer.bn.running_mean[:start], kept[0][:start])
    assert torch.equal(layer.bn.running_var[:start], kept[1][:start])


@given(seeds, spaces)
@CPU_CASES
def test_an_ordered_network_computes_the_same(seed: int, space: str) -> None:
    network, (seen,) = a_network(small(seed, space), seed), images(seed)
    (other,) = images(seed + 1)
    with torch.inference_mode():
        wanted = network(other)
        for changed in (ordered(network, [seen]), equalized(network, [seen])):
            assert float((changed(other) - wanted).abs().max()) <= 1e-4 * float((wanted - wanted.mean()).abs().max())


@pytest.mark.parametrize("seed", range(3))
def test_streams_have_principal_axes_and_one_range(seed: int) -> None:
    network, batches = backbone_copy(a_network(small(seed), seed), (64, 64), 16), images(seed)
    turned = ordered(network, batches)
    statistics = value_statistics(turned, batches)
    for stream, _ in residual_streams(turned.graph):
        assert can_be_turned(stream)
        held = [statistics.pixels[name] for name in stream.values & statistics.pixels.keys()]
        peaks = torch.stack([x.abs().amax(0) for x in held]).amax(0)
        assert float(peaks.max() / peaks.median()) < 1.01
        if "stage1.0.project" in stream.values:
            covariance = torch.cov(held[0].double().T)
            crossed = covariance - covariance.diagonal().diag()
            assert float(crossed.abs().max()) < 1e-4 * float(covariance.max())


@given(seeds, seeds)
@CPU_CASES
def test_a_network_of_the_donors_shape_gets_its_values(seed: int, other: int) -> None:
    donor, batches = a_network(small(seed), seed), images(other)
    target = Network(replace(donor.genotype, classes=7))
    prepared = prepare_donor(donor, batches)
    share = start_network(target, prepared)
    assert share.fraction == 1.0
    wanted = block_outputs(prepared.at(target), batches)
    assert max(relative_error(found, wanted[stage]) for stage, found in block_outputs(target, batches).items()) < 1e-6


@given(seeds, seeds, spaces)
@CPU_CASES
def test_a_fit_is_never_worse_than_the_slices(seed: int, other: int, space: str) -> None:
    target = Network(small(other, space))
    prepared = prepare_donor(a_network(small(seed), seed), images(seed))
    donor, batches = prepared.at(target), image_windows(prepared.images, (64, 64))
    assert 0.0 < inherit(target, donor).fraction <= 1.0
    errors = refit(target, donor.genotype.stages, sampled_outputs(donor, batches), batches)
    assert errors
    for error in errors.values():
        assert error.after <= error.before + 1e-9


@given(seeds)
@CPU_CASES
def test_a_projection_that_gives_nothing_stays_finite(seed: int) -> None:
    """Hidden channels may depend on each other. Weights that cancel them leave a variance of zero, and of noise."""
    network = a_network(small(seed), seed)
    op = next(op for op in network.graph if op.name.endswith(".project"))
    layer = layer_of(network, op.name)
    rows, channels = layer.conv.weight.shape[:2]
    torch.manual_seed(seed)
    mixed = torch.randn(channels // 2, channels, dtype=torch.double)
    hidden = 1000 * torch.randn(512, channels // 2, dtype=torch.double) @ mixed
    cancelling = torch.linalg.svd(mixed).Vh[-1]
    with torch.no_grad():
        layer.conv.weight[:] = cancelling.float().view(1, -1, 1, 1)
        layer.bn.running_mean.zero_()
        layer.bn.running_var.fill_(1)
    fit_projection(network, op, hidden, torch.zeros(512, rows, dtype=torch.double), RIDGE)
    assert bool((layer.bn.running_var >= 0).all())
    assert all(bool(value.isfinite().all()) for value in layer.state_dict().values())


def test_wider_networks_are_closer_to_the_donor() -> None:
    """What inheritance is for: the error falls as widths grow."""
    whole = small(3, output_stride=16)
    donor = prepare_donor(a_network(whole, 3), images(3, count=8))
    errors = []
    for part in (0.34, 0.67, 1.0):
        stages = tuple(
            replace(
                stage, hidden=tuple(max(8, int(h * part) // 8 * 8) if i or b else h for b, h in enumerate(stage.hidden))
            )
            for i, stage in enumerate(whole.stages)
        )
        target = Network(replace(whole, stages=stages))
        start_network(target, donor)
        wanted = block_outputs(donor.at(target), list(donor.images))
        found = block_outputs(target, list(donor.images))
        errors.append(sum(relative_error(found[stage], wanted[stage]) for stage in wanted))
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-6


def test_what_the_donor_lacks_has_no_say() -> None:
    """A network with more of everything computes the donor's values in the channels that the donor has."""
    genotype = small(5, output_stride=16)
    donor = a_network(genotype, 5)
    stages = tuple(
        replace(
            stage,
            kernel=5,
            width=stage.width + 8,
            hidden=tuple(h + 8 for h in stage.hidden) + ((stage.hidden[0] + 8,) if i else ()),
        )
        for i, stage in enumerate(genotype.stages)
    )
    target = Network(replace(genotype, stem=genotype.stem + 8, stages=stages)).eval()
    assert inherit(target, donor).fraction < 1.0
    batches = images(5)
    wanted, found = block_outputs(donor, batches), block_outputs(target, batches)
    for stage in wanted:
        assert relative_error(found[stage], wanted[stage]) < 1e-6, stage


def test_kernels_keep_their_centre() -> None:
    genotype = small(7)
    wide = replace(genotype, stages=tuple(replace(stage, kernel=5) for stage in genotype.stages))
    narrow = replace(genotype, stages=tuple(replace(stage, kernel=3) for stage in genotype.stages))
    for given_kernels, wanted_kernels in ((wide, narrow), (narrow, wide)):
        donor, target = a_network(given_kernels), Network(wanted_kernels)
        inherit(target, donor)
        for op in backbone_ops(target.graph):
            if op.kind == DEPTHWISE:
                kernels = [layer_of(network, op.name).conv.weight for network in (donor, target)]
                centres = [k if k.shape[-1] == 3 else k[..., 1:4, 1:4] for k in kernels]
                assert torch.equal(*centres)
                if op.kernel == 5:
                    assert torch.equal(kernels[1], torch.nn.functional.pad(centres[1], (1,) * 4))


@pytest.mark.parametrize("space", ["deeplabv3plus", "lraspp"])
def test_subnets_of_a_started_supernet_are_slices_of_the_donor(space: str) -> None:
    torch.manual_seed(0)
    supernet = Supernet(*largest_networks(get_space(space), 3, (64, 64)))
    prepared = prepare_donor(a_network(small(11)), images(11))
    share = start_supernet(supernet.shared, prepared)
    assert 0.0 < share.fraction <= 1.0
    genotype = prepared.network.genotype  # of the space's backbones, so it is a subnet
    subnet = extract(supernet, replace(small(11, space), stages=genotype.stages, stem=genotype.stem, output_stride=16))
    wanted = block_outputs(prepared.at(subnet), list(prepared.images))
    calibrate(subnet, list(prepared.images))
    for stage, found in block_outputs(subnet, list(prepared.images)).items():
        assert relative_error(found, wanted[stage]) < 1e-4, stage


def test_the_start_depends_on_nothing_else() -> None:
    donor, genotype = a_network(small(2), 2), small(9)
    states = []
    for seed in (0, 1):
        torch.manual_seed(0)
        target = Network(genotype)
        random.seed(seed)
        torch.manual_seed(seed)
        start_network(target, prepare_donor(donor, images(2)))
        states.append(target.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert target.training


def test_windows_are_bounded_and_at_the_networks_resolution() -> None:
    many = [torch.rand(20, 3, 512, 512) for _ in range(2)]
    windows = image_windows(many, (512, 512))
    assert {tuple(batch.shape[1:]) for batch in windows} == {(3, 256, 256)}
    assert sum(map(len, windows)) == 24
    assert torch.equal(windows[0][0], many[0][0, :, 128:384, 128:384])
    halved = image_windows([torch.rand(3, 3, 96, 128)], (48, 64))
    assert [tuple(batch.shape) for batch in halved] == [(3, 3, 48, 64)]


def test_a_prepared_donor_starts_many_networks_as_one_by_one() -> None:
    """What it keeps is what it would compute anew, whatever it has started before."""
    many = prepare_donor(a_network(small(4), 4), images(4))
    for seed, output_stride in ((6, 8), (7, 8), (8, 16), (6, 8)):
        started = []
        for prepared in (many, prepare_donor(a_network(small(4), 4), images(4))):
            torch.manual_seed(0)
            started.append(Network(small(seed, output_stride=output_stride)))
            start_network(started[-1], prepared)
        kept, anew = (network.state_dict() for network in started)
        assert all(torch.equal(value, anew[name]) for name, value in kept.items())


def test_a_donor_sees_what_the_network_sees() -> None:
    donor = prepare_donor(a_network(small(4), 4), images(4))
    assert isinstance(donor, PreparedDonor)
    target = Network(small(6, output_stride=8))
    seen = donor.at(target)
    assert seen.genotype.output_stride == 8 and seen.genotype.resolution == (64, 64)


def test_networks_of_older_versions_are_refused_in_a_line(tiny: Genotype) -> None:
    seven = a_network(small(1))
    five = Network(replace(tiny, stages=tuple(replace(stage, width=16) for stage in tiny.stages[:5])))
    with pytest.raises(InputError, match="5 stages whose first block has an expansion"):
        inherit(five, seven)
