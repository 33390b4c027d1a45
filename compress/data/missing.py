"""Says what a folder holds instead of the images or masks that were expected there."""

from collections.abc import Mapping
from pathlib import Path

from compress.data.left_out import is_hidden

SPLIT_LAYOUT = "a data set with splits has the folders train/images, train/masks, val/images and val/masks"


def explain_no_images(images: Path) -> str:
    """Why a folder has no images.

    Args:
        images: The folder.

    Returns:
        A message that says what the folder holds and what to do.
    """
    folders, _ = _contents(images)
    remedy = SPLIT_LAYOUT if folders else "put the images into it, or give another folder"
    return f"{images} has no images; it holds {_described(images)}; {remedy}"


def explain_no_masks(images: Mapping[str, Path], masks: Path, endings: tuple[str, ...]) -> str:
    """Why no image has a mask.

    Args:
        images: The images under their names without ending.
        masks: The folder of the masks.
        endings: The endings that masks may have.

    Returns:
        A message that says what the folder holds and what to do.
    """
    folders, files = _contents(masks)
    image_name, image = next(iter(images.items()))
    wanted = f"{image_name}{endings[0]}"
    remedy = f"the mask of {image.name} is {wanted}: its name but for the ending, which is {', '.join(endings)}"
    renamed = next((file for file in files if file.stem != image_name and image_name in file.stem), None)
    if any(file.suffix.lower() in (".jpg", ".jpeg") and file.stem in images for file in files):
        remedy = "JPEG changes the values of masks; save them as PNG, from their source"
    elif renamed is not None and renamed.suffix.lower() in endings:
        remedy = f"a mask has the name of its image; rename {renamed.name} to {image_name}{renamed.suffix}, and so on"
    elif any(file.suffix.lower() == ".json" for file in files):
        remedy = (
            f"polygons are read as labelme:DIR or coco:FILE (docs/data.md); or draw them into masks, such as {wanted}"
        )
    elif folders and not files:
        remedy = SPLIT_LAYOUT
    return f"none of the {len(images)} images of {image.parent} has a mask; {masks} holds {_described(masks)}; {remedy}"


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sub-folders and the files of a folder."""
    entries = [path for path in sorted(folder.iterdir()) if not is_hidden(path)]
    return [path for path in entries if path.is_dir()], [path for path in entries if not path.is_dir()]


def _described(folder: Path) -> str:
    folders, files = _contents(folder)
    parts = [
        f"{len(found)} {noun}{'s' * (len(found) > 1)}, such as {found[0].name}"
        for noun, found in (("sub-folder", folders), ("file", files))
        if found
    ]
    return " and ".join(parts) or "nothing"
