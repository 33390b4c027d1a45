"""Images and masks of the user's own, in any of several layouts (docs/data.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.formats import IMAGE_ENDINGS
from compress.data.found_classes import find_labels, require_one_palette
from compress.data.left_out import LeftOut, is_hidden, merged
from compress.data.matching import Matched, masks_beside, match_beside, match_by_stem, readable
from compress.data.pairs import Listing, Pair, is_volume, read_list, same_name, stem, unlisted
from compress.data.recognition import describe_folder, layout_module, recognised
from compress.data.scene_files import scene_size
from compress.data.splits import Drawn, Pairs, draw_groups, split_by_seed, split_of
from compress.data.volumes import slices_of
from compress.data.windows import Size, Window
from search_spaces.errors import InputError

VAL_FOLDERS = ("val", "valid", "validation")  # names of the folder of the validation split
SLICE_BLOCKS = 10  # of slices that lie together, which a single volume is split by; or strips of a single scene
MIN_STRIP = 1024  # pixels


def recognise(root: Path) -> str:
    """Says what shows that a folder has this layout.

    Args:
        root: The folder.

    Returns:
        What shows it; nothing for another layout.
    """
    places = (root, *(root / split for split in ("train", *VAL_FOLDERS)))
    return "images and masks" if any((at / "images").is_dir() and (at / "masks").is_dir() for at in places) else ""


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists a data set in one of these layouts, or in another one that is recognised.

    The splits are the folders `DIR/{train,val}/{images,masks}`; or train.txt and val.txt list the names of files in
    `DIR/{images,masks}`; or without these the seed draws the split. `valid` stands for `val` too. Images and masks may
    also lie side by side. Volumes are split as wholes, a single one by blocks of slices,
    and a single scene by strips.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder DIR.
        seed: Draws the split of a data set that has none.

    Returns:
        The pairs of both splits, and the labels: of classes.txt, or found in the masks.

    Raises:
        InputError: A folder or a list is missing, no mask is found, a name is there twice, classes.txt is missing or
            wrong.
        DataError: Volumes cannot be read.
    """
    if not recognise(root):
        layout, shown = recognised(root)
        if layout:
            listing = layout_module(layout).list_files(spec, root, seed)
            return replace(listing, notes=(f"read as {layout}:{root}, because of {shown}", *listing.notes))
    if any((root / split).is_dir() for split in ("train", *VAL_FOLDERS)):
        splits, left_out = _split_folders(spec, root)
    elif (root / "train.txt").exists() or (root / "val.txt").exists():
        splits, left_out = _split_lists(spec, root)
    else:
        splits, left_out = _split_drawn(spec, root, seed)
    classes, bands = root / "classes.txt", root / "bands.txt"
    every = [*splits.train, *splits.val]
    labels = read_classes(classes) if classes.exists() else find_labels(every, classes)
    require_one_palette(every, labels)
    bands_file = bands if bands.exists() else None
    return Listing(labels, splits.train, splits.val, bands_file, merged(left_out), splits.notes)


def _matched(folder: Path, root: Path, spec: str, nested: bool = True) -> Matched:
    """The pairs of a folder: in images and masks, in sub-folders of both where `nested`, or side by side."""
    images, masks = folder / "images", folder / "masks"
    if not images.is_dir() and masks_beside(folder):
        return match_beside(folder, spec)
    missing = next((path for path in (images, masks) if not path.is_dir()), None)
    if missing is not None:
        raise InputError(f"--data {spec}: there is no folder {missing}; {describe_folder(root)}")
    inner = _groups_inside(images) if nested else []
    parts = [match_by_stem(images / name, masks / name, spec) for name in inner] or [match_by_stem(images, masks, spec)]
    left_out = merged(group for part in parts for group in part.left_out)
    return Matched(tuple(pair for part in parts for pair in part.pairs), left_out)


def _groups_inside(images: Path) -> list[str]:
    """The sub-folders of a folder that has no images of its own, unless they are splits."""
    if readable(images, IMAGE_ENDINGS):
        return []
    names = [path.name for path in sorted(images.iterdir()) if path.is_dir() and not is_hidden(path)]
    return [] if any(split_of(name) for name in names) else names


def _split_folders(spec: str, root: Path) -> tuple[Drawn, Iterable[LeftOut]]:
    there = [root / name for name in VAL_FOLDERS if (root / name).is_dir()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise InputError(f"--data {spec}: {root} has {names}, and both are for validation; keep one")
    train, val = (_matched(folder, root, spec) for folder in (root / "train", there[0] if there else root / "val"))
    return Drawn(_sliced(train.pairs, spec), _sliced(val.pairs, spec)), (*train.left_out, *val.left_out)


def _split_lists(spec: str, root: Path) -> tuple[Drawn, Iterable[LeftOut]]:
    found = _matched(root, root, spec, nested=False)
    train, val = (_listed(root / f"{split}.txt", found.pairs, spec) for split in ("train", "val"))
    return Drawn(_sliced(train, spec), _sliced(val, spec)), (*found.left_out, *unlisted(found.pairs, train, val))


def _split_drawn(spec: str, root: Path, seed: int) -> tuple[Drawn, Iterable[LeftOut]]:
    found = _matched(root, root, spec)
    if len(found.pairs) == 1 and is_volume(found.pairs[0].image):
        return Drawn(*_split_slices(_sliced(found.pairs, spec), seed)), found.left_out
    if len(found.pairs) == 1 and (size := scene_size(found.pairs[0].image)):
        return _split_strips(found.pairs[0], size, seed), found.left_out
    drawn = split_by_seed(found.pairs, root, seed, spec)
    return replace(drawn, train=_sliced(drawn.train, spec), val=_sliced(drawn.val, spec)), found.left_out


def _split_slices(slices: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """Neighbouring slices are much alike, so whole blocks are held out."""
    count = min(SLICE_BLOCKS, len(slices))
    held_out = draw_groups([str(block) for block in range(count)], seed)
    blocks = [str(i * count // len(slices)) for i in range(len(slices))]
    train, val = (
        tuple(pair for pair, block in zip(slices, blocks, strict=True) if (block in held_out) == out)
        for out in (False, True)
    )
    return train, val


def _split_strips(pair: Pair, size: Size, seed: int) -> Drawn:
    """A single scene is cut into strips across its longer side, and whole strips are held out."""
    (height, width), along_rows = size, size[0] >= size[1]
    count = max(2, min(SLICE_BLOCKS, max(size) // MIN_STRIP))
    ends = [i * max(size) // count for i in range(count + 1)]
    strips = [
        Window(begin, 0, end - begin, width) if along_rows else Window(0, begin, height, end - begin)
        for begin, end in pairwise(ends)
    ]
    held_out = draw_groups([str(number) for number in range(count)], seed)
    train, val = (
        tuple(replace(pair, window=strip) for i, strip in enumerate(strips) if (str(i) in held_out) == out)
        for out in (False, True)
    )
    note = f"{pair.image.name} is the only image: of its {count} strips {len(val)} are for validation"
    return Drawn(train, val, (note,))


def _listed(path: Path, found: Pairs, spec: str) -> Pairs:
    """The pairs a list names, by stem or file name; those that are not there are left for the check to name."""
    pair_of = {same_name(stem(pair.image)): pair for pair in found}
    images, masks = path.parent / "images", path.parent / "masks"
    names = [same_name(stem(Path(line))) for line in read_list(path, spec)]
    if not names:
        raise InputError(f"--data {spec}: {path} names no image; write the name of an image into each line")
    return tuple(pair_of.get(name, Pair(images / f"{name}.png", masks / f"{name}.png")) for name in names)


def _sliced(pairs: Sequence[Pair], spec: str) -> Pairs:
    """Volumes as their slices, images as they are."""
    volumes = [pair for pair in pairs if is_volume(pair.image)]
    slices = dict(zip(volumes, slices_of(volumes, spec), strict=True))
    return tuple(one for pair in pairs for one in slices.get(pair, (pair,)))
