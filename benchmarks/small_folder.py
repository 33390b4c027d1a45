"""python benchmarks/small_folder.py --data DIR --work DIR: what a start from ImageNet is worth with few images.

DIR is CamVid in SegNet's copy. Some of its training images, evenly spread, and all its validation images become a
folder of the layout `folder:`. EfficientNet-Lite0 at a width multiplier with DeepLabV3+'s head is trained on it from
ImageNet weights and from random ones, by the quick preset's recipe, and scored as an int8 file that LiteRT runs over
the validation split. The same command goes on where it was killed.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from baseline import machine, started, trained
from stage_tables import MIOU, POINTS, Figure, int8_miou, points, table
from trainings import SHIPPED, TRAINED, Training, do_missing, in_processes

from compress.data.dataset import open_data
from compress.data.spread import evenly_spread
from compress.files.atomic import make_folder
from compress.stages.cli import run_command
from compress.stages.config import RunConfig
from compress.stages.flag_values import parse_input_size
from compress.stages.run import Run
from search_spaces.known_networks import known_network
from search_spaces.network import Network

MULTIPLIER = 0.3
STARTS = ("imagenet", "none")


def linked_folder(data: str, count: int, folder: Path) -> None:
    """Fills a folder with links to some training images and all validation images."""
    whole = open_data(f"camvid:{data}")
    for split, pairs in (("train", whole.train), ("val", whole.val)):
        chosen = pairs if split == "val" else evenly_spread(pairs, count)
        for pair in chosen:
            for kind, file in (("images", pair.image), ("masks", pair.mask)):
                place = folder / split / kind / Path(file).name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(Path(file).resolve())


def name_of(start: str, count: int) -> str:
    return f"{start}-{count}"


def runs_of(given: argparse.Namespace, count: int) -> list[Run]:
    folder = given.work / f"images-{count}"
    make_folder(folder, partial(linked_folder, given.data, count))
    size = parse_input_size(given.input_size)
    asked = {"data": f"folder:{folder}", "input_size": size}
    return [Run(given.work / f"seed-{seed}", RunConfig(1e6, **asked, seed=seed)) for seed in given.seeds]


def train(start: str, steps: int, run: Run, folder: Path) -> Network:
    run = replace(run, config=replace(run.config, weights=start))
    genotype = known_network("efficientnet_lite0", MULTIPLIER, len(run.data.classes), run.config.input_size)
    return trained(run, started(run, genotype), steps, folder)


def plan(given: argparse.Namespace, count: int) -> list[Training]:
    return [Training(name_of(start, count), partial(train, start, given.steps)) for start in STARTS]


def work_on(step: str, given: argparse.Namespace, count: int) -> None:
    """A process's share of a step."""
    do_missing(step, runs_of(given, count), plan(given, count))


def rows(given: argparse.Namespace) -> Iterator[tuple[str, Sequence[tuple[Figure, str]]]]:
    for count in given.images:
        imagenet, none = (int8_miou(name_of(start, count)) for start in STARTS)
        yield f"{count} images", [(imagenet, MIOU), (none, MIOU), (points(imagenet, none), POINTS)]


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", required=True, metavar="DIR", help="CamVid's folder")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR", help="where everything is kept")
    flags.add_argument("--input-size", default="360x480")
    flags.add_argument("--images", type=int, nargs="+", default=[30, 100], help="training images")
    flags.add_argument("--steps", type=int, default=700)
    flags.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    flags.add_argument("--jobs", type=int, default=2, help="processes; start them with OMP_NUM_THREADS=1")
    given = flags.parse_args()
    for count in given.images:
        for step in (TRAINED, SHIPPED):
            in_processes(given.jobs, work_on, step, given, count)
    runs = runs_of(given, given.images[0])
    print(f"{machine()}; CamVid at {given.input_size}, {len(runs)} seeds, {given.steps} steps\n")
    print(table(runs, ("", "from ImageNet", "from random weights", "points of mIoU"), rows(given)))


if __name__ == "__main__":
    run_command(main)
