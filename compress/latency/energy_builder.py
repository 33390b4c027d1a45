"""Adds energy to a latency table: measures whole networks and fits their energy to the sums over their ops."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tqdm import tqdm

from compress.files.atomic import write_atomically
from compress.latency.builder import FITTED, HELD_OUT, NETWORK_SEED
from compress.latency.energy import EnergyFit
from compress.latency.fit import fit, residuals_of
from compress.latency.networks import random_networks
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable
from compress.tflite.writer import random_weight_model

GROUP_SIZE = 5  # networks that are measured in turns
SECONDS = 0.5  # of runs of one network, each time
MAX_RMSPE = 0.1  # from here on the user is told to measure again


def add_energy(spec: TableSpec, table: LatencyTable, path: Path) -> LatencyTable:
    """Measures the energy of whole networks and writes the table with the fit.

    Args:
        spec: What the table holds true of.
        table: The table.
        path: The table's file.

    Returns:
        The table with energy.

    Raises:
        InputError: The target has no sensor, or cannot be reached.
    """
    sensor = spec.target.energy_sensor_name()
    graphs = list(random_networks(spec, FITTED + HELD_OUT, NETWORK_SEED).values())
    found = []
    with tqdm(total=len(graphs), desc="energy of networks", unit="network", dynamic_ncols=True) as bar:
        for at in range(0, len(graphs), GROUP_SIZE):
            group = [random_weight_model(graph, spec.precision) for graph in graphs[at : at + GROUP_SIZE]]
            found += spec.target.measure_energy(group, SECONDS)
            bar.update(len(group))
    sums, energies = [table.group_ms(graph) for graph in graphs], [one.mj for one in found]
    coefficients = fit_energy(sums[:FITTED], energies[:FITTED])
    residuals = residuals_of(replace(table, coefficients=coefficients), sums[FITTED:], energies[FITTED:])
    idle_w, spread = median(one.idle_w for one in found), median(one.spread for one in found)
    whole = replace(table, energy=EnergyFit(sensor, coefficients, residuals, idle_w, spread))
    write_atomically(path, whole.to_json().encode())
    if residuals["rmspe"] > MAX_RMSPE:
        print(
            f"energies are {residuals['rmspe']:.1%} off on networks not fitted; for a better fit, measure them again "
            f"with nothing else running: {spec.command(path)} --energy"
        )
    return whole


def fit_energy(sums: Sequence[Mapping[str, float]], energies: Sequence[float]) -> dict[str, float]:
    """Fits energies as latencies are fitted, in units of their mean power.

    Args:
        sums: For each network the sums over its ops in ms, by group.
        energies: For each network its measured energy in mJ.

    Returns:
        `intercept` in mJ, and the power of each group in W.
    """
    power = median(energy / sum(one.values()) for one, energy in zip(sums, energies, strict=True))
    scaled = [{name: power * ms for name, ms in one.items()} for one in sums]
    found = fit(scaled, energies)
    return {name: value if name == "intercept" else power * value for name, value in found.items()}
