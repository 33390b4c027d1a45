"""python -m nas.recipe medical: an application, from its data to its int8 model, in one command.

A recipe makes or takes its data and goes on as `nas.search` with the flags that suit it. Flags given beside it count
instead of its own. The same command goes on after a kill.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compress.data.makers import medical, people
from compress.files.atomic import RUNS, digest, make_folder
from compress.stages.cli import parser, run_command
from nas.search import add_search_flags, start
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """`data` gives the `--data` value of the path that the user gives, which is what `source` says; `flags` are
    defaults of `nas.search`'s."""

    about: str
    data: Callable[[Path], str]
    budget_ms: float
    source: str = ""
    flags: Mapping[str, object] = field(default_factory=dict)


def road(folder: Path) -> str:
    return f"camvid:{folder}"


def landuse(_: Path) -> str:
    return "landcover"


def brain(_: Path) -> str:
    volumes = medical.find_volumes()
    return made("medical", volumes, lambda folder: medical.write(volumes, folder))


def passers_by(video: Path) -> str:
    if not video.is_file():
        raise InputError(f"{video}: there is no such video; {people.REMEDY}")
    return made("people", (video,), lambda folder: people.write(video, folder))


def made(name: str, sources: tuple[Path, ...], write: Callable[[Path], None]) -> str:
    """`--data` of a folder made once from files of this content."""
    folder = RUNS / "data" / f"{name}-{digest(*sources)}"
    make_folder(folder, write)
    return f"folder:{folder}"


RECIPES = {
    "road": Recipe(
        "road scenes: CamVid",
        road,
        30,
        "the folder of CamVid in SegNet's copy",
        # the published figures of small networks are of at most a million parameters
        {"preset": "standard", "input_size": "360x480", "augment": "road", "max_size_kib": 1000.0},
    ),
    "landuse": Recipe("land use: the land cover shipped with the project", landuse, 30),
    "medical": Recipe(
        "tissues of the brain: the MNI152 template of nilearn",
        brain,
        15,
        flags={"input_size": "384x320", "augment": "medical", "loss": "ce,dice=0.5"},
    ),
    "people": Recipe(
        "people in surveillance video: vtest.avi of OpenCV's samples",
        passers_by,
        15,
        "vtest.avi, as Debian's opencv-doc has it",
        {"input_size": "384x512", "loss": "ce,dice=0.5"},
    ),
}


def main() -> None:
    flags = parser(__doc__, "nas.recipe")
    chosen = flags.add_subparsers(dest="recipe", required=True, metavar="|".join(RECIPES))
    for name, recipe in RECIPES.items():
        own = chosen.add_parser(name, help=recipe.about, description=recipe.about)
        if recipe.source:
            own.add_argument("source", type=Path, help=recipe.source)
        add_search_flags(own, data="", budget_ms=recipe.budget_ms, **recipe.flags)
        own.set_defaults(run=name, resume=True, source=Path())
    given = flags.parse_args()
    start(argparse.Namespace(**vars(given), data=RECIPES[given.recipe].data(given.source)))


if __name__ == "__main__":
    run_command(main)
