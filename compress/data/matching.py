"""Finds the mask of every image of a folder by its name."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compress.data.formats import IMAGE_ENDINGS, MASK_ENDINGS, VOLUME_ENDINGS
from compress.data.left_out import LeftOut, is_hidden, left_out_of
from compress.data.missing import explain_no_images, explain_no_masks
from compress.data.pairs import Pair, require_folder, same_name, stem
from search_spaces.errors import InputError

MASK_SUFFIXES = ("_mask", "_label", "_gt")  # of a mask's name after its image's, in small letters
JPEG_ENDINGS = (".jpg", ".jpeg", ".JPG", ".JPEG")
OWN_FILES = (
    "classes.txt",
    "bands.txt",
    "groups.txt",
    "train.txt",
    "val.txt",
    "_classes.csv",
)  # beside images, and read


@dataclass(frozen=True)
class Matched:
    """The images of a folder with their masks.

    Attributes:
        pairs: The pairs, in the order of the images' names.
        left_out: The files of both folders that are in no pair.
    """

    pairs: tuple[Pair, ...]
    left_out: tuple[LeftOut, ...]


def match_by_stem(images: Path, masks: Path, spec: str) -> Matched:
    """Finds the mask of every image of a folder: the one with the same name but for the ending.

    A mask may also have the name of its image and one of MASK_SUFFIXES, such as `17_mask.png`.

    Args:
        images: The folder of the images.
        masks: The folder of the masks.
        spec: The value of `--data`, for messages.

    Returns:
        A pair for each image. A mask that is missing is listed under the name that it should have.

    Raises:
        InputError: A folder is missing, a name is there twice, or no image or no mask is found.
    """
    for folder in (images, masks):
        require_folder(folder, spec)
    image_of = by_stem(images, IMAGE_ENDINGS, spec)
    if not image_of:
        raise InputError(f"--data {spec}: {explain_no_images(images)}")
    exact = by_stem(masks, MASK_ENDINGS, spec)
    suffixed = [mask for name, mask in exact.items() if name not in image_of and without_suffix(name) not in exact]
    mask_of = {**_unique(suffixed, lambda path: without_suffix(same_name(stem(path))), masks, spec), **exact}
    if not image_of.keys() & mask_of.keys():
        raise InputError(f"--data {spec}: {explain_no_masks(image_of, masks, MASK_ENDINGS)}")
    return matched(image_of, mask_of, spec)


def match_beside(folder: Path, spec: str) -> Matched:
    """Finds the mask of every image of a folder that holds images and masks side by side.

    Args:
        folder: The folder.
        spec: The value of `--data`, for messages.

    Returns:
        A pair for each image, as `match_by_stem` returns them.

    Raises:
        InputError: A name is there twice.
    """
    masks = masks_beside(folder)
    images = [path for path in readable(folder, IMAGE_ENDINGS) if path not in masks]
    image_of = _unique(images, lambda path: same_name(stem(path)), folder, spec)
    mask_of = _unique(masks, lambda path: without_suffix(same_name(stem(path))), folder, spec)
    return matched(image_of, mask_of, spec)


def masks_beside(folder: Path) -> list[Path]:
    """Lists the masks of a folder that holds images and masks side by side.

    Args:
        folder: The folder.

    Returns:
        The files whose names end with one of MASK_SUFFIXES. Where none of them has its image beside it, the files that
        have a JPEG of the same name beside them.
    """
    if not folder.is_dir():
        return []
    images = {same_name(stem(path)) for path in readable(folder, IMAGE_ENDINGS)}
    masks = readable(folder, MASK_ENDINGS)
    base_of = {mask: without_suffix(same_name(stem(mask))) for mask in masks}
    suffixed = [mask for mask in masks if base_of[mask] != same_name(stem(mask))]
    if any(base_of[mask] in images for mask in suffixed):
        return suffixed
    return [mask for mask in masks if any(mask.with_suffix(ending).exists() for ending in JPEG_ENDINGS)]


def matched(image_of: Mapping[str, Path], mask_of: Mapping[str, Path], spec: str) -> Matched:
    """Puts images and masks of the same names together.

    Args:
        image_of: The images of one folder under their names.
        mask_of: The masks of one folder under the names of their images. One of them at least is the mask of an image.
        spec: The value of `--data`, for messages.

    Returns:
        A pair for each image, as `match_by_stem` returns them.
    """
    name, model = next((name, mask_of[name]) for name in image_of if name in mask_of)
    images, masks, own = image_of[name].parent, model.parent, stem(model)
    ending = model.name[len(own if same_name(own) == name else without_suffix(own)) :]  # of a mask that is missing
    pairs = tuple(Pair(image, mask_of.get(name, masks / f"{stem(image)}{ending}")) for name, image in image_of.items())
    used = {file for pair in pairs for file in (pair.image, pair.mask)}
    if images == masks:
        used |= {images / name for name in OWN_FILES}
        left_out = left_out_of(masks, IMAGE_ENDINGS + VOLUME_ENDINGS, used, "masks without an image")
    else:
        left_out = [
            *left_out_of(images, IMAGE_ENDINGS + VOLUME_ENDINGS, used, "images"),
            *left_out_of(masks, MASK_ENDINGS + VOLUME_ENDINGS, used, "masks without an image"),
        ]
    return Matched(pairs, tuple(left_out))


def without_suffix(name: str) -> str:
    """The name of the image of a mask.

    Args:
        name: The name of a mask without its ending.

    Returns:
        The name without one of MASK_SUFFIXES; the whole name when it ends with none of them.
    """
    return next((name[: -len(suffix)] for suffix in MASK_SUFFIXES if name.lower().endswith(suffix)), name)


def readable(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Lists the files of a folder by their endings.

    Args:
        folder: The folder. Its sub-folders are not looked into.
        endings: The endings of the images; those of volumes are added.

    Returns:
        The files in order of their names, without hidden ones.
    """
    wanted = (*endings, *VOLUME_ENDINGS)
    return [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(wanted) and not is_hidden(path)]


def _unique(files: Iterable[Path], name_of: Callable[[Path], str], folder: Path, spec: str) -> dict[str, Path]:
    """The files under their names, in the same order. Raises InputError when two files have the same name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        found[name_of(path)].append(path)
    twice = [paths for paths in found.values() if len(paths) > 1]
    if twice:
        names = " and ".join(path.name for path in twice[0])
        count = f"{len(twice)} names are there twice" if len(twice) > 1 else "a name is there twice"
        raise InputError(f"--data {spec}: {folder}: {count}, such as {names}; keep one file of each name")
    return {name: paths[0] for name, paths in found.items()}


def by_stem(folder: Path, endings: tuple[str, ...], spec: str) -> dict[str, Path]:
    """Lists the images or volumes of a folder.

    Args:
        folder: The folder. Its sub-folders are not looked into.
        endings: The endings of the images; those of volumes are added.
        spec: The value of `--data`, for the message.

    Returns:
        The files under their `same_name`, in order of their names.

    Raises:
        InputError: Two files differ in nothing but the ending.
    """
    return _unique(readable(folder, endings), lambda path: same_name(stem(path)), folder, spec)
