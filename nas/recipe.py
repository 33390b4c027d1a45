"""python -m nas.recipe medical: an application, from its data to its int8 model, in one command.

A recipe makes or takes its data and goes on as `nas.search` with the flags that suit it. Flags given beside it count
instead of its own. The same command goes on after a kill.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compress.files.atomic import RUNS, digest, make_folder
from compress.stages.cli import GOES_ON, Command, run_command
from compress.stages.flag_values import expand_path
from nas.search import add_search_flags, start
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """An application.

    Attributes:
        about: What it is, for `--help`.
        data: Gives the `--data` value for the path that the user gives; it makes the data where they must be made.
        budget_ms: The latency budget in ms.
        source: What the path is, for `--help`; empty where none is needed.
        flags: Defaults that replace those of `nas.search`, by name.
    """

    about: str
    data: Callable[[Path], str]
    budget_ms: float
    source: str = ""
    flags: Mapping[str, object] = field(default_factory=dict)


def road_data(folder: Path) -> str:
    """The data of road scenes.

    Args:
        folder: CamVid's folder.

    Returns:
        The `--data` value.
    """
    return f"camvid:{folder}"


def landuse_data(_: Path) -> str:
    """The land cover that is shipped with the project.

    Returns:
        The `--data` value.
    """
    return "landcover"


def brain_data(_: Path) -> str:
    """Slices of a brain, made from the volumes of the package nilearn.

    Returns:
        The `--data` value.

    Raises:
        InputError: The package or a volume is missing.
    """
    from compress.data.makers import medical

    volumes = medical.find_volumes()
    return make_data("medical", volumes, lambda folder: medical.write(volumes, folder))


def people_data(video: Path) -> str:
    """Frames of a surveillance video, with masks of who walks by.

    Args:
        video: The video's file.

    Returns:
        The `--data` value.

    Raises:
        InputError: The video is missing or too short.
    """
    from compress.data.makers import people

    if not video.is_file():
        raise InputError(f"{video}: there is no such video; {people.REMEDY}")
    return make_data("people", (video,), lambda folder: people.write(video, folder))


def make_data(name: str, sources: tuple[Path, ...], write: Callable[[Path], None]) -> str:
    """Makes a data set under runs/data, unless it was made from files of this content before.

    Args:
        name: The recipe's name.
        sources: The files that the data set is made from.
        write: Fills a folder.

    Returns:
        The `--data` value of the folder.
    """
    folder = RUNS / "data" / f"{name}-{digest(*sources)}"
    make_folder(folder, write)
    return f"folder:{folder}"


RECIPES = {
    "road": Recipe(
        "road scenes: CamVid",
        road_data,
        30,
        "the folder of CamVid in SegNet's copy",
        # the published figures of small networks are of at most a million parameters
        {
            "preset": "standard",
            "input_size": "360x480",
            "augment": "road",
            "loss": "ce,dice=0.5",
            "max_size_kib": 1000.0,
        },
    ),
    "landuse": Recipe("land use: the land cover shipped with the project", landuse_data, 30),
    "medical": Recipe(
        "tissues of the brain: the MNI152 template of nilearn",
        brain_data,
        15,
        flags={"input_size": "384x320", "augment": "medical", "loss": "ce,dice=0.5"},
    ),
    "people": Recipe(
        "people in surveillance video: vtest.avi of OpenCV's samples",
        people_data,
        15,
        "vtest.avi, as Debian's opencv-doc has it",
        {"input_size": "384x512", "loss": "ce,dice=0.5"},
    ),
}


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the recipes, each with the flags of `nas.search`.

    Args:
        arguments: The command's parser.
    """
    chosen = arguments.add_subparsers(dest="recipe", required=True, metavar="|".join(RECIPES))
    for name, recipe in RECIPES.items():
        own = chosen.add_parser(name, help=recipe.about, description=recipe.about)
        if recipe.source:
            own.add_argument("source", type=expand_path, help=recipe.source)
        add_search_flags(own, data="", budget_ms=recipe.budget_ms, run=name, **recipe.flags)
        own.set_defaults(resume=True, source=Path())


def run(given: argparse.Namespace) -> None:
    """Makes the recipe's data where they are not there yet, and searches.

    Args:
        given: The flags.
    """
    data = RECIPES[given.recipe].data(given.source)
    start(argparse.Namespace(**{**vars(given), "data": data}))


COMMAND = Command("nas.recipe", __doc__, add_arguments, run, GOES_ON)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
