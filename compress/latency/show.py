"""Latency tables and checks of them as text."""

from collections.abc import Mapping
from dataclasses import asdict
from math import nan
from typing import Any

from compress.latency.energy import EnergyFit
from compress.latency.table import LatencyTable


def format_table(table: LatencyTable) -> str:
    """What a table is made for, how well it fits, and the fastest and slowest op of each family.

    Args:
        table: The table.

    Returns:
        Lines of text.
    """
    facts = {**table.made_for, **asdict(table.calibration), **table.provenance}
    lines = [f"{name:24} {value}" for name, value in facts.items()]
    lines += [f"{'coefficients':24} " + ", ".join(f"{name} {value:.3f}" for name, value in table.coefficients.items())]
    lines += [f"{'residuals':24} " + ", ".join(f"{name} {value:.3g}" for name, value in table.residuals.items()), ""]
    if table.energy is not None:
        lines[-1:] = _energy_lines(table.energy)
    lines += [f"{'family':44} {'channels':>24} {'fastest ms':>10} {'slowest':>10}"]
    for name, family in table.families.items():
        ranges = " x ".join(f"{axis[0]}-{axis[-1]}" for axis in family.axes)
        known = [ms for ms in family.ms if ms == ms] or [nan]
        lines.append(f"{name:44} {ranges:>24} {min(known):10.4f} {max(known):10.4f}")
    return "\n".join(lines)


def _energy_lines(energy: EnergyFit) -> list[str]:
    watts = ", ".join(f"{name} {value:.3f}" for name, value in energy.coefficients.items())
    off = ", ".join(f"{name} {value:.3g}" for name, value in energy.residuals.items())
    measured = f"by {energy.sensor}, idle {energy.idle_w:.2f} W subtracted, repeats spread by {energy.spread:.1%}"
    return [
        f"{'energy':24} {measured}",
        f"{'energy, W (intercept mJ)':24} {watts}",
        f"{'energy residuals':24} {off}",
        "",
    ]


def format_check(found: Mapping[str, Any]) -> str:
    """The figures of a check in one line.

    Args:
        found: What `compress.latency.check.check` returned.

    Returns:
        One line.
    """
    return (
        f"{found['models']} networks, {found['coverage']:.0%} covered by the table: "
        f"RMSPE {found['rmspe']:.2%}, within 5 % {found['within_5']:.0%}, "
        f"within 10 % {found['within_10']:.0%}, Kendall tau {found['kendall_tau']:.3f}, "
        f"worst {found['worst']['error']:+.1%}: {found['worst']['genotype']}; the machine took "
        f"{found['drift']:+.1%} longer than when the table was built (taken out of the figures)"
    )
