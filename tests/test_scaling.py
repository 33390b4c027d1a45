"""Known networks are made narrower, or see a smaller image, until they meet the budget."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nas.scaling import WIDE_ENOUGH, WIDTH_MULTIPLIERS, widest
from search_spaces import costs, graph_of
from search_spaces.backbone import RESOLUTION_SCALES, scaled_side
from search_spaces.genotype import Genotype
from search_spaces.known_networks import compact_network

SIZE = (128, 160)
SIZES = [tuple(scaled_side(side, scale) for side in SIZE) for scale in RESOLUTION_SCALES]


def made(multiplier: float, resolution: tuple[int, int]) -> Genotype:
    return compact_network(multiplier, 5, resolution)


def million_macs(genotype: Genotype) -> float:
    return costs.macs(graph_of(genotype)) / 1e6


PROBLEM: Any = SimpleNamespace(
    input_size=SIZE,
    costs=lambda genotype: SimpleNamespace(latency_ms=million_macs(genotype)),  # of a target where a million take 1 ms
    constraints=SimpleNamespace(are_met_by=lambda found: True),
)
LEAST, MOST = (million_macs(made(m, size)) for m, size in ((WIDTH_MULTIPLIERS[-1], SIZES[0]), (1.0, SIZE)))


@given(st.floats(LEAST, 1.2 * MOST))
def test_a_network_is_as_wide_as_fits_at_the_largest_size_at_which_it_is_wide_enough(bound_ms: float) -> None:
    found = widest(PROBLEM, made, bound_ms)
    assert found and million_macs(found.genotype) <= bound_ms
    wider = [m for m in WIDTH_MULTIPLIERS if m > found.multiplier]
    assert all(million_macs(made(m, found.genotype.resolution)) > bound_ms for m in wider)

    def fits(multiplier: float, size: Any) -> bool:
        return million_macs(made(multiplier, size)) <= bound_ms

    enough = [size for size in SIZES if fits(WIDE_ENOUGH, size)]
    if enough:
        assert (found.genotype.resolution, found.multiplier >= WIDE_ENOUGH) == (enough[-1], True)
    else:
        assert not any(fits(m, size) for m in wider for size in SIZES)


def test_nothing_is_found_where_nothing_fits() -> None:
    assert widest(PROBLEM, made, LEAST / 2) is None
    assert widest(PROBLEM, made, 2 * MOST) is not None
