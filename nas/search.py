"""python -m nas.search --budget-ms 30: from a data set and a latency budget to the best int8 TFLite model within it.

Builds or loads the latency table of the target, trains a supernet once, lets Optuna choose among the networks
that the table says are fast enough, measures the best few, and trains, prunes, distills, quantizes, exports and
verifies the winner. Everything lies in runs/NAME; the same command with --resume goes on after a kill.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from compress.check import check
from compress.cli import parser, run_command
from compress.data import KINDS, open_data
from compress.distill import distill
from compress.export import export
from compress.fit import fit
from compress.prune import prune
from compress.quantize import quantize
from compress.run import (
    RUNS,
    environment,
    load_tensors,
    read_json,
    save_network,
    save_tensors,
    write_atomically,
    write_json,
)
from compress.settings import PRESETS, Settings, parse_input_size, training_device, use_all_cores
from compress.skeleton import INT8, skeleton
from compress.stage import SEARCH, STAGES, Run, is_done
from compress.target import SPELLINGS
from compress.train import train
from nas.feasible import Survey, survey
from nas.report import write_report
from nas.score import CALIBRATION_BATCHES, calibrated_subnet, calibration_batches, score
from nas.study import candidates, open_study, refused, run_study
from nas.supernet import Supernet, sandwich
from nas.table_builder import Wanted, build, load_table
from search_spaces import SPACES, get_space
from search_spaces.errors import BudgetError, InputError
from search_spaces.genotype import Genotype
from search_spaces.latency_table import LatencyTable
from search_spaces.trials import Largest, Smallest

STAGE_BODIES: dict[str, Callable[[Run], None]] = {
    "train": train,
    "prune": prune,
    "distill": distill,
    "quantize": quantize,
    "export": export,
}
LARGE_SHARE = 0.15  # of the feasible draws: the slowest ones play the sandwich's large subnet


def search(run: Run, survey_: Survey, trials: int) -> None:
    """Writes RUN/genotype.json and the winner's weights; a part that is there already is not done again."""
    folder = run.path / "search"
    supernet = trained_supernet(run, survey_, folder)
    calibration = replace(run.settings.schedules.train, steps=CALIBRATION_BATCHES)
    batches = calibration_batches(run.crops(calibration, seed=9), calibration.batch, run.device)
    size = run.settings.input_size
    begun = time.monotonic()
    study = open_study(run.path / "study.db", trials, survey_)
    run_study(
        study,
        get_space(run.settings.space),
        run.table,
        run.settings.budget_ms,
        len(run.data.classes),
        size,
        trials,
        run.settings.seed,
        lambda genotype: score(supernet, genotype, batches, run.validation, size, run.device),
        run.path / "search.jsonl",
    )
    winner, measured = choose(run, candidates(study))
    write_json(folder / "measured.json", measured)
    save_network(calibrated_subnet(supernet, winner, batches, size).cpu(), run.made(SEARCH))
    supernet_s = read_json(folder / "supernet.json", "start the run anew")["seconds"]
    wall_s = time.monotonic() - begun
    figures = {"trials": trials, "refused": refused(study), "wall_s": wall_s, "supernet_s": supernet_s}
    write_json(folder / "search.json", figures)
    write_json(run.path / "genotype.json", winner.to_dict())


def trained_supernet(run: Run, survey_: Survey, folder: Path) -> Supernet:
    classes, settings = len(run.data.classes), run.settings
    torch.manual_seed(settings.seed)
    space = get_space(settings.space)
    supernet = Supernet(space.sample(Largest(), classes, settings.input_size)).to(run.device)
    weights = folder / "supernet.pt"
    if weights.exists():
        supernet.load_state_dict(load_tensors(weights))
        return supernet.eval()
    feasible = survey_.feasible
    large = feasible[-max(1, round(len(feasible) * LARGE_SHARE)) :]
    smallest = space.sample(Smallest(), classes, settings.input_size)

    def draw(rng: random.Random) -> list[Genotype]:
        return [rng.choice(large).genotype, rng.choice(feasible).genotype, smallest]

    losses = sandwich(
        supernet, draw, settings.input_size, run.class_weights.to(run.device), run.validation.ignore, settings.seed
    )
    schedule = settings.schedules.supernet
    checkpoint = folder / "checkpoint.pt"
    seconds = fit(supernet, losses, run.crops(schedule, seed=1), schedule, checkpoint, "supernet")
    write_json(folder / "supernet.json", {"seconds": seconds})
    save_tensors(supernet.state_dict(), weights)
    checkpoint.unlink(missing_ok=True)
    return supernet


def choose(run: Run, found: list[tuple[Genotype, float, float]]) -> tuple[Genotype, list[dict[str, Any]]]:
    """The best candidate that meets the budget when measured on the target, and what was measured.

    Raises BudgetError when none does.
    """
    count = run.settings.schedules.measured
    measured: list[dict[str, Any]] = []
    for at in range(0, len(found), count):
        group = found[at : at + count]
        latencies = run.target.measure([skeleton(run_graph(genotype)) for genotype, _, _ in group])
        for (genotype, predicted, value), latency in zip(group, latencies, strict=True):
            figures = {"id": genotype.id, "score": value, "predicted_latency_ms": predicted, "latency_ms": latency.ms}
            measured.append(figures)
        for (genotype, _, _), latency in zip(group, latencies, strict=True):
            if latency.ms <= run.settings.budget_ms:
                return genotype, measured
    least = min((m["latency_ms"] for m in measured), default=float("nan"))
    raise BudgetError(
        f"none of {len(measured)} candidates meets --budget-ms {run.settings.budget_ms:g} when measured: the fastest "
        f"takes {least:.2f} ms; raise the budget or give more --trials"
    )


def run_graph(genotype: Genotype) -> Any:
    return get_space(genotype.space).graph(genotype)


def write_result(run: Run) -> dict[str, Any]:
    stages = [read_json(run.path / name / "metrics.json", f"run python -m compress.{name}") for name in STAGES]
    final = stages[-1]
    keys = ("name", "miou", "latency_ms", "predicted_latency_ms", "params", "macs", "size_bytes", "wall_s")
    result = {
        "budget_ms": run.settings.budget_ms,
        "target": run.settings.target,
        "data": run.settings.data,
        "seed": run.settings.seed,
        "genotype": final["genotype"],
        "model": str(run.path / "model.tflite"),
        "miou": final["miou"],
        "latency_ms": final["latency_ms"],
        "predicted_latency_ms": final["predicted_latency_ms"],
        "search": read_json(run.path / "search" / "search.json", "run python -m nas.search --resume"),
        "stages": [{key: stage[key] for key in keys} for stage in stages],
    }
    write_json(run.path / "result.json", result)
    return result


def prepare(settings: Settings, path: Path, resume: bool, table: Path | None) -> tuple[Run, Survey]:
    """Checks everything that can be wrong before anything long starts, and opens the run folder."""
    data = open_data(settings.data, settings.seed)
    config = path / "config.json"
    if config.exists():
        stored = Settings.from_dict(read_json(config, "choose another --run"), str(config))
        if not resume:
            raise InputError(f"{path} holds a run already; add --resume to go on with it, or choose another --run")
        for name, value in settings.to_dict().items():
            if stored.to_dict()[name] != value:
                flag = "--" + name.replace("_", "-")
                raise InputError(f"{path} was started with {flag} {stored.to_dict()[name]}; choose another --run")
    classes = len(data.classes)
    wanted = Wanted(get_space(settings.space), classes, settings.input_size, INT8, settings.open_target())
    if not config.exists():
        check(data)
    loaded = open_table(wanted, path / "table.json" if config.exists() else table)
    found = survey(wanted.space, loaded, settings.budget_ms, classes, settings.input_size, settings.seed)
    if not config.exists():
        write_atomically(path / "table.json", loaded.to_json().encode())
        described = {**settings.to_dict(), "fingerprint": data.fingerprint, **environment(training_device())}
        write_json(config, described)
    print(found)
    return Run(path, settings), found


def open_table(wanted: Wanted, path: Path | None) -> LatencyTable:
    """The table at `path`; without one the table under runs/latency, built if there is none."""
    if path is not None:
        return load_table(path, wanted)
    cached = wanted.path(RUNS / "latency")
    return load_table(cached, wanted) if cached.exists() else build(wanted, cached)


def summary(run: Run, result: dict[str, Any]) -> str:
    size = result["stages"][-1]["size_bytes"] / 1024
    return (
        f"\n{result['model']}: mIoU {result['miou']:.4f}, {result['latency_ms']:.2f} ms on {result['target']} "
        f"(budget {result['budget_ms']:g} ms), {size:.0f} KiB, int8\n"
        f"  card {run.path / 'model.json'}, report {run.path / 'report.html'}, figures {run.path / 'result.json'}"
    )


def main() -> None:
    flags = parser(__doc__, "nas.search")
    flags.add_argument("--budget-ms", type=float, required=True, help="latency budget in ms on the target")
    flags.add_argument("--data", default="landcover", help=", ".join(KINDS.values()))
    flags.add_argument("--target", default="host", help=f"where latency counts: {SPELLINGS}")
    flags.add_argument("--table", type=Path, help="a latency table (default: built once under runs/latency)")
    flags.add_argument("--threads", type=int, default=1, help="threads of the runtime on the target")
    flags.add_argument("--input-size", default="512", help="512 or HEIGHTxWIDTH")
    flags.add_argument("--space", default="deeplabv3plus", help=", ".join(SPACES))
    flags.add_argument("--preset", default="quick", help=", ".join(PRESETS))
    flags.add_argument("--trials", type=int, help="candidates to score (default: the preset's)")
    flags.add_argument("--run", help="name of the run folder under runs/ (default: DATA-BUDGETms)")
    flags.add_argument("--resume", action="store_true", help="go on with the run where it stopped")
    flags.add_argument("--search-only", action="store_true", help="stop when the winner is chosen")
    flags.add_argument("--seed", type=int, default=0)
    given = flags.parse_args()
    settings = Settings(
        given.budget_ms,
        given.data,
        given.target,
        given.threads,
        parse_input_size(given.input_size),
        given.space,
        given.preset,
        given.seed,
    )
    trials = settings.schedules.trials if given.trials is None else given.trials
    if trials < 1:
        raise InputError(f"--trials {trials}: give a positive number")
    use_all_cores()
    path = RUNS / (given.run or f"{given.data.split(':')[0]}-{given.budget_ms:g}ms")
    run, found = prepare(settings, path, given.resume, given.table)
    if not (path / "genotype.json").exists():
        search(run, found, trials)
    if given.search_only:
        print(f"winner: {run.genotype}\n  {path / 'genotype.json'}")
        return
    for stage in STAGES:
        if not is_done(run, stage):
            STAGE_BODIES[stage](run)
    result = write_result(run)
    write_report(run, result)
    print(summary(run, result))
    if result["latency_ms"] > settings.budget_ms:
        raise BudgetError(
            f"the exported model takes {result['latency_ms']:.2f} ms, over --budget-ms {settings.budget_ms:g}; "
            f"cut more with python -m compress.prune {path} --target-ms {0.8 * settings.budget_ms:g}, then --resume"
        )


if __name__ == "__main__":
    run_command(main)
