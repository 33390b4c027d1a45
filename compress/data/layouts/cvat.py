"""CVAT's export "Segmentation mask 1.1": masks of colours, classes in `labelmap.txt`."""

from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.left_out import LeftOut
from compress.data.pairs import Listing, Pair, read_list
from compress.data.splits import Drawn, split_by_seed
from compress.data.trees import images_by_path, path_name
from search_spaces.errors import InputError

LISTS, MASKS, IMAGES = "ImageSets/Segmentation", "SegmentationClass", ("JPEGImages", "images")
VAL_LISTS = ("val", "valid", "validation")


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    found = (root / "labelmap.txt").is_file() and (root / MASKS).is_dir()
    return f"labelmap.txt and {MASKS}, CVAT's segmentation masks" if found else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists the images of JPEGImages with their masks in SegmentationClass.

    `ImageSets/Segmentation/train.txt` and `val.txt` name the images of the splits. Where there are other lists, such as
    `default.txt`, all images that they name are one set, whose validation split is drawn.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder that holds labelmap.txt.
        seed: Draws the validation split where no list names it.

    Returns:
        The pairs of both splits, and the classes of labelmap.txt.

    Raises:
        InputError: The images or labelmap.txt are missing, or a list names no image.
    """
    labels = read_classes(root / "labelmap.txt")
    folder = next((root / name for name in IMAGES if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(
            f"--data {spec}: {root} has masks but no folder {IMAGES[0]} with the images; export it again with "
            "'Save images', or put the images there"
        )
    image_of, lists = images_by_path(folder), {path.stem: path for path in sorted((root / LISTS).glob("*.txt"))}

    def pairs(*paths: Path) -> tuple[Pair, ...]:
        names = dict.fromkeys(path_name(line) for path in paths for line in read_list(path, spec))
        if not names:
            listed = ", ".join(map(str, paths)) or root / LISTS
            raise InputError(f"--data {spec}: {listed} names no image; export the masks again")
        return tuple(Pair(image_of.get(name, folder / f"{name}.jpg"), root / MASKS / f"{name}.png") for name in names)

    val_list = next((lists[name] for name in VAL_LISTS if name in lists), None)
    if val_list is not None and "train" in lists:
        splits = Drawn(pairs(lists["train"]), pairs(val_list))
    else:
        splits = split_by_seed(pairs(*(lists[name] for name in lists if name != "test")), root, seed, spec)
    used = {pair.image for pair in (*splits.train, *splits.val)}
    unused = tuple(image for image in image_of.values() if image not in used)
    left_out = (LeftOut("images that no list names", unused),) if unused else ()
    return Listing(labels, splits.train, splits.val, left_out=left_out, notes=splits.notes)
