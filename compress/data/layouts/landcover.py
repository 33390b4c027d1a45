"""The land-cover data set that is shipped with the project (compress/data/landcover/README.md)."""

import json
from pathlib import Path

from compress.data.labels import IGNORE, Labels
from compress.data.pairs import Listing, Pair

LANDCOVER = Path(__file__).parent.parent / "landcover"


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    return ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists the tiles that `splits.json` names.

    Args:
        spec: The value of `--data`; not used.
        root: Not used, the files are part of the project.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the eight classes.
    """
    splits = json.loads((LANDCOVER / "splits.json").read_text())
    names = tuple(splits["classes"])
    colours = tuple((red, green, blue) for red, green, blue in splits["colours"])
    train, val = (
        tuple(
            Pair(LANDCOVER / "images" / f"{tile}.jpg", LANDCOVER / "masks" / f"{tile}.png")
            for tile in splits["splits"][split]
        )
        for split in ("train", "val")
    )
    return Listing(Labels(names, colours, tuple(range(len(names))), (IGNORE,)), train, val)
