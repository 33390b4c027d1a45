"""python benchmarks/stages.py --work DIR [--jobs 2]: what pruning, distillation, int8 and their order are worth.

Trains the networks of benchmarks/stages.md (each has as many steps in all; twice as many in the table "recovery"),
makes their files, runs them with LiteRT and prints the tables. The same command goes on where it was killed. Two parts
want a quiet machine: --prepare, before, measures the latency table and chooses the networks, two of them by
`nas.search`; --measure, after, times the files. --tables NAMES trains and prints no more than those tables need.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from baseline import machine, scaled_to, search, untrained
from planned import PlannedConfig, one_plan
from sizes import BASE, scaled, sized
from stage_tables import IMPORTANCES, LOSSES, ROUNDS, TABLES, show, taught_by
from trainings import SHIPPED, TRAINED, Training, do_missing, in_processes, measure_missing, network_of

from compress.data.calibration import calibration_images
from compress.distillation.losses import TEACHING_TERMS
from compress.files.atomic import write_atomically
from compress.files.records import read_json, write_json
from compress.latency.builder import build
from compress.latency.spec import TableSpec, load_table
from compress.latency.targets import HostTarget
from compress.pruning.channel_pruning import prune_to
from compress.stages.cli import run_command
from compress.stages.config import RunConfig
from compress.stages.fitting import fit_network
from compress.stages.flag_values import parse_input_size
from compress.stages.int8_training import train_in_int8
from compress.stages.prune import importance_losses
from compress.stages.prune_rounds import SaveRound, prune_in_rounds
from compress.stages.run import Run
from compress.stages.teaching import open_teaching
from compress.tflite.ranges import DEFAULT_ESTIMATOR, ESTIMATORS, observe_ranges
from compress.tflite.writer import INT8, random_weight_model
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule
from compress.training.term_weights import parse_terms
from search_spaces import get_space, graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

LR, WEIGHT_DECAY = 2e-3, 0.05  # those of --preset quick
KEPT = 0.6  # of BASE's latency, the latency that all compressed networks have
STARTS = {"small": KEPT, "middle": 1.25 * KEPT}  # of BASE's latency, to which BASE's widths are scaled
SEARCHES = {"searched": KEPT, "searched-wide": 1.0}  # of BASE's latency, the budgets of two searches
LARGE, TEACHER = 1.6, 1.0  # the teacher: of BASE's widths, of the steps
# shares of the steps: before the first cut, right after it, distillation, training in int8
FIRST, SHORT, MIDDLE, QAT = 0.6, 0.1, 0.3, 0.1


@dataclass(frozen=True)
class Asked:
    """What a work folder holds trainings of; `steps` optimizer steps in all for each network."""

    data: str
    input_size: str
    steps: int
    batch: int
    crop: int

    def schedule(self, share: float) -> Schedule:
        return Schedule(max(2, round(self.steps * share)), self.batch, self.crop, LR, WEIGHT_DECAY)

    def config(self, seed: int) -> RunConfig:
        plan = TrainingPlan(self.steps, self.batch, self.crop, LR, WEIGHT_DECAY)
        plans = one_plan(plan)
        size = parse_input_size(self.input_size)
        return PlannedConfig(budget_ms=1e6, data=self.data, input_size=size, seed=seed, plans=plans)


def prepare(work: Path, asked: Asked, tables: Sequence[str], preset: str) -> None:
    """The latency table, once, and those sizes that the tables need."""
    path, file = work / "sizes.json", work / "table.json"
    kept = read_json(path, "run --prepare again") if path.is_file() else {}
    sizes = {name: Genotype.from_dict(value) for name, value in kept.items()}
    config = asked.config(0)
    run = Run(work, config)
    base = Genotype.from_dict({**BASE.to_dict(), "classes": len(run.data.classes), "resolution": config.input_size})
    wanted = TableSpec(get_space(base.space), base.classes, config.input_size, INT8, HostTarget())
    table = load_table(file, wanted) if file.is_file() else build(wanted, file)
    if not sizes:
        sizes = {"base": base, "large": scaled(base, LARGE)}
        sizes |= {name: sized(base, table, share) for name, share in STARTS.items()}
        small_ms = HostTarget().measure([random_weight_model(graph_of(sizes["small"]))])[0].ms
        sizes["mobilenetv2"] = scaled_to(small_ms, base.classes, base.resolution)
    trained = {one.name for one in needed(tables, sizes, asked)}
    for name, share in SEARCHES.items():
        if name in trained and name not in sizes:
            budget_ms = share * table.predict(graph_of(base))
            sizes[name] = search(
                work / f"search-{budget_ms:.2f}ms",
                budget_ms=budget_ms,
                data=asked.data,
                input_size=asked.input_size,
                preset=preset,
                table=file,
            )
    write_json(path, {name: genotype.to_dict() for name, genotype in sizes.items()})


def read_sizes(work: Path) -> dict[str, Genotype]:
    return {n: Genotype.from_dict(value) for n, value in read_json(work / "sizes.json", "run --prepare").items()}


def open_runs(work: Path, asked: Asked, seeds: int) -> list[Run]:
    runs = []
    for seed in range(seeds):
        path = work / f"seed-{seed}"
        if not (path / "table.json").is_file():
            write_atomically(path / "table.json", (work / "table.json").read_bytes())
        runs.append(Run(path, asked.config(seed)))
    return runs


def plan(sizes: Mapping[str, Genotype], asked: Asked) -> list[Training]:
    """Every training, each after those it starts from."""

    def fit(
        run: Run, folder: Path, network: Network, share: float, seed: int, teacher: str = "", loss: str = "kl"
    ) -> Network:
        teaching = None
        if teacher:
            file = str(run.path / teacher / "network.pt")
            teaching, _ = open_teaching(run, network, file, parse_terms(loss, TEACHING_TERMS), None, folder)
        fit_network(run, network, asked.schedule(share), folder, f"{run.path.name}/{folder.name}", seed, teaching)
        return network

    def fresh(size: str, share: float, run: Run, folder: Path, **taught: str) -> Network:
        return fit(run, folder, untrained(run, sizes[size]), share, 2, **taught)

    def more(source: str, share: float, run: Run, folder: Path, **taught: str) -> Network:
        return fit(run, folder, network_of(run, source), share, 4, **taught)

    def prune(
        source: str, importance: str, rounds: int, share: float, run: Run, folder: Path, **taught: str
    ) -> Network:
        """`compress.prune` without measurements: a busy machine would undo rounds at random."""

        def one_round(network: Network, step_ms: float, number: int, save: SaveRound) -> None:
            losses = importance_losses(run, asked.crop)
            narrow = prune_to(network.to(run.device), run.table, step_ms, importance, losses)
            save(fit(run, folder, narrow, share / rounds, 30 + number, **taught).cpu(), {})

        goal = KEPT * run.table.predict(graph_of(sizes["base"]))
        key = {"source": source, "importance": importance, "rounds": rounds}
        wide, state = network_of(run, source), folder / "rounds.pt"
        return prune_in_rounds(wide, run.table, goal, rounds, state, key, one_round)[0]

    def in_int8(source: str, estimator: str, run: Run, folder: Path) -> Network:
        network = network_of(run, source).to(run.device)
        images = calibration_images(run.data, network.genotype.resolution, run.device)
        ranges = observe_ranges(network, images, estimator)
        network, learned = train_in_int8(run, network, ranges, asked.schedule(QAT).steps, folder)
        write_json(folder / "ranges.json", learned)
        return network

    def pruned(
        name: str, source: str, importance: str = "l2", rounds: int = 1, share: float = 1 - FIRST, **taught: str
    ) -> Training:
        after = (source, *taught.values())
        return Training(name, partial(prune, source, importance, rounds, share, **taught), after, timed=True)

    return [
        Training("large", partial(fresh, "large", TEACHER)),
        Training("base", partial(fresh, "base", FIRST)),
        Training("middle", partial(fresh, "middle", FIRST)),
        Training("searched-wide", partial(fresh, "searched-wide", FIRST)),
        Training("base-whole", partial(fresh, "base", 1.0), timed=True),
        Training("small", partial(fresh, "small", 1.0), timed=True),
        Training("searched", partial(fresh, "searched", 1.0), timed=True),
        Training("mobilenetv2", partial(fresh, "mobilenetv2", 1.0), timed=True),
        *(pruned(f"prune-{name}-{rounds}", "base", name, rounds) for name in IMPORTANCES for rounds in ROUNDS),
        pruned("prune-middle", "middle"),
        pruned("prune-searched", "searched-wide"),
        pruned("prune-taught", "base", teacher="large"),
        Training("base-twice", partial(fresh, "base", 2.0), timed=True),
        Training("small-twice", partial(fresh, "small", 2.0), timed=True),
        pruned("recover-l2", "base-whole", share=1.0),
        pruned("recover-taylor", "base-whole", "taylor", share=1.0),
        pruned("recover-self", "base-whole", share=1.0, teacher="base-whole"),
        Training("large-twice", partial(fresh, "large", 2.0)),
        pruned("recover-large", "base-whole", share=1.0, teacher="large-twice"),
        *(Training(f"small-twice-{loss}", partial(fresh, "small", 2.0, teacher="large-twice", loss=loss),
                   ("large-twice",)) for loss in ("kl", "cwd")),
        Training("cut", partial(prune, "base", "l2", 1, SHORT), ("base",)),
        Training("cut-self", partial(more, "cut", MIDDLE, teacher="base"), ("cut",), tuple(ESTIMATORS), timed=True),
        Training("cut-large", partial(more, "cut", MIDDLE, teacher="large"), ("cut", "large"), timed=True),
        Training("cut-shorter", partial(more, "cut", MIDDLE - QAT, teacher="base"), ("cut",)),
        Training("cut-shorter-int8", partial(in_int8, "cut-shorter", DEFAULT_ESTIMATOR), ("cut-shorter",), timed=True),
        Training("base-more", partial(more, "base", 1 - FIRST), ("base",)),
        *(Training(f"base-more-{loss}", partial(more, "base", 1 - FIRST, teacher="base", loss=loss), ("base",))
          for loss in ("kl", "cwd")),
        Training("taught", partial(more, "base", MIDDLE, teacher="large"), ("base", "large")),
        Training("taught-cut", partial(prune, "taught", "l2", 1, SHORT), ("taught",), timed=True),
        *(Training(f"int8-{name}", partial(in_int8, "cut-self", name), ("cut-self",)) for name in ESTIMATORS),
        Training("small-self", partial(fresh, "small", 1.0, teacher="small"), ("small",)),
        *(Training(taught_by(loss), partial(fresh, "small", 1.0, teacher="large", loss=loss), ("large",),
                   timed=loss == "kl") for loss in LOSSES),
    ]  # fmt: skip


def needed(tables: Sequence[str], sizes: Mapping[str, Genotype], asked: Asked) -> list[Training]:
    """The trainings of tables, and those that they start from."""
    everything = plan(sizes, asked)
    wanted = {training for name in tables for training in TABLES[name].trainings}
    for one in reversed(everything):
        wanted |= set(one.after) if one.name in wanted else set()
    return [one for one in everything if one.name in wanted]


def work_on(step: str, tables: Sequence[str], work: Path, asked: Asked, seeds: int) -> None:
    """A process's share of a step."""
    torch.set_num_threads(1)
    do_missing(step, open_runs(work, asked, seeds), needed(tables, read_sizes(work), asked))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work", type=Path, required=True, metavar="DIR", help="where trainings are kept")
    flags.add_argument("--data", default="landcover")
    flags.add_argument("--input-size", default="256")
    flags.add_argument("--steps", type=int, default=300, help="of each network, over all its stages (300)")
    flags.add_argument("--batch", type=int, default=8)
    flags.add_argument("--crop", type=int, default=128)
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    flags.add_argument(
        "--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME", help=", ".join(TABLES)
    )
    flags.add_argument("--search-preset", default="quick", help="of the two searches, whose winners are trained")
    flags.add_argument("--prepare", action="store_true", help="only measure the latency table and choose the sizes")
    flags.add_argument("--measure", action="store_true", help="only time the files there are")
    flags.add_argument("--seconds", type=float, default=2.0, help="for each file that is timed")
    given = flags.parse_args()
    asked = Asked(given.data, given.input_size, given.steps, given.batch, given.crop)
    kept = given.work / "asked.json"
    if not kept.is_file():
        write_json(kept, asdict(asked))
    if (before := read_json(kept, "name another --work")) != asdict(asked):
        raise InputError(f"{kept}: trainings of {before}; give the same flags or another --work")
    prepare(given.work, asked, given.tables, given.search_preset)
    if given.prepare:
        return
    if not given.measure:
        for step in (TRAINED, SHIPPED):
            in_processes(given.jobs, work_on, step, given.tables, given.work, asked, given.seeds)
    runs = open_runs(given.work, asked, given.seeds)
    if given.measure:
        measure_missing(runs, needed(given.tables, read_sizes(given.work), asked), given.seconds)
    print(
        f"{machine()}; {given.data} at {given.input_size}, {given.seeds} seeds, {given.steps} steps of "
        f"{given.batch} crops of {given.crop}\n"
    )
    print(show(given.tables, runs))


if __name__ == "__main__":
    run_command(main)
