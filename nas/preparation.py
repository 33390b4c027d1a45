"""Checks everything that can be wrong before anything long starts, and makes the run folder."""

import json
from pathlib import Path

from compress.data.check import check
from compress.files.atomic import RUNS, write_atomically
from compress.latency.builder import build
from compress.latency.energy_builder import add_energy
from compress.latency.latency_model import LatencyModel
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import LatencyTable, read_table
from compress.latency.targets import open_target
from compress.stages.config_file import CONFIG_FILE, check_same, check_same_data, config_values, write_config
from compress.stages.environment import environment
from compress.stages.run import Run
from compress.tflite.writer import INT8
from nas.feasibility import Survey, survey_space
from nas.problem import run_problem
from nas.start import start_summary
from search_spaces.backbone import BACKBONE
from search_spaces.errors import InputError


def prepare(run: Run, resume: bool, table: Path | None) -> Survey | None:
    """Checks the settings, the data and the table; a new run gets its folder.

    Args:
        run: The run; its folder need not be there.
        resume: Whether a run that is there goes on.
        table: The latency table's file; None for the one under runs/latency.

    Returns:
        Random draws of the space that meet the constraints; None for a run whose search an older version has finished
        among other networks.

    Raises:
        InputError: The run is there and `resume` is not given, its settings or its data were others, a file is wrong,
            or an older version has begun the search among other networks.
        BudgetError: No network of the space meets the constraints.
    """
    begun = (run.path / CONFIG_FILE).exists()
    if begun:
        if not resume:
            raise InputError(f"{run.path} holds a run already; add --resume to go on with it, or choose another --run")
        check_same(run.config, run.path)
        check_data_is_same(run)
    if run.npu is not None:
        print(f"latencies: {run.latency_source}")  # or the compiler is missing, which is said before data is read
    if begun and is_of_older_backbone(run, table_spec(run)):
        return None
    if not begun:
        check_new(run)
    latencies, made_with = open_latencies(run, begun, table)
    found = survey_space(run_problem(run, latencies), run.config.seed)
    if not begun:
        write_atomically(run.path / run.latency_file, made_with)
        write_config(run.path, run.config, run.data.facts(), environment(run.device))
    return found


def is_of_older_backbone(run: Run, spec: TableSpec) -> bool:
    """Whether an older version has searched among networks with another backbone. Such a search cannot go on.

    Args:
        run: A run that was begun.
        spec: What its latency table is for.

    Returns:
        Whether the search is over and was among other networks.

    Raises:
        InputError: The search was among other networks and has no winner, or the table's file is damaged.
    """
    path = run.path / "table.json"
    if not path.is_file():
        return False
    backbone = read_table(path, f"build it again with {spec.command(path)}").backbone
    if backbone != BACKBONE and not (run.path / "genotype.json").exists():
        raise InputError(
            f"{run.path}: its search was begun among networks of {backbone}, and this version searches among networks "
            f"of {BACKBONE}; start the run anew under another --run"
        )
    return backbone != BACKBONE


def check_data_is_same(run: Run) -> None:
    """Refuses data that is not what the run was started with.

    Args:
        run: The run.

    Raises:
        InputError: The data changed; the line says in what.
    """
    stored = str(config_values(run.path).get("fingerprint", ""))
    same = not stored or run.data.has_fingerprint(stored)
    check_same_data(run.path, run.config.data, run.data.facts(), same)


def check_new(run: Run) -> None:
    """Checks what a new run starts from: its initial weights and every file of its data.

    Args:
        run: The run.

    Raises:
        InputError: The initial weights do not fit, or a file is wrong.
    """
    check(run.data)
    print(start_summary(run))


def open_latencies(run: Run, begun: bool, table: Path | None) -> tuple[LatencyModel, bytes]:
    """Opens what predicts the latencies of a run.

    Args:
        run: The run.
        begun: Whether the run folder is there.
        table: The latency table's file; None for the one under runs/latency.

    Returns:
        The model, and the content of the run's latency file.

    Raises:
        InputError: The table is missing, damaged or for something else, or the NPU's compiler is missing.
    """
    if run.npu is not None:
        return run.latency_model, (json.dumps(run.npu.facts(), indent=1) + "\n").encode()
    spec, path = table_spec(run), run.path / run.latency_file if begun else table
    if run.config.measures_energy:
        spec.target.energy_sensor_name()  # or there is none, which is said before anything is measured
    loaded = open_table(spec, path)
    if run.config.measures_energy:
        loaded = with_energy(spec, loaded, path)
    return loaded, loaded.to_json().encode()


def with_energy(spec: TableSpec, table: LatencyTable, path: Path | None) -> LatencyTable:
    """Sees to it that a table has energy, as the target's sensor measures it.

    Args:
        spec: What the table is for.
        table: The table.
        path: Its file; None for the one under runs/latency, to which energy is added where it lacks it.

    Returns:
        The table with energy.

    Raises:
        InputError: The file has no energy, or another sensor measured it.
    """
    sensor = spec.target.energy_sensor_name()
    if table.energy is not None and table.energy.sensor == sensor:
        return table
    own = spec.path(RUNS / "latency")
    if path is None:
        return add_energy(spec, table, own)
    lacks = "has no energy" if table.energy is None else f"has energy of {table.energy.sensor}, not of {sensor}"
    raise InputError(f"{path} {lacks}; add it with {spec.command(path)} --energy")


def table_spec(run: Run) -> TableSpec:
    """What a run's latency table is for.

    Args:
        run: The run.

    Returns:
        The space, the number of classes, the input size, the precision and the target.
    """
    config = run.config
    target = open_target(
        config.target,
        config.threads,
        cores=config.cores,
        binary=config.benchmark_model,
        energy_sensor=config.energy_sensor,
    )
    return TableSpec(run.space, len(run.data.classes), config.input_size, INT8, target)


def open_table(spec: TableSpec, path: Path | None) -> LatencyTable:
    """Reads a latency table. Without a file it is the one under runs/latency, which is built where it is missing.

    Args:
        spec: What the table is for.
        path: The table's file; None for the one under runs/latency.

    Returns:
        The table.

    Raises:
        InputError: The file is missing, damaged or for something else.
    """
    if path is not None:
        return load_table(path, spec)
    cached = spec.path(RUNS / "latency")
    return load_table(cached, spec) if cached.exists() else build(spec, cached)
