"""Images and masks of the user's own, in any of three layouts (docs/data.md)."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from compress.data.classes_file import read_classes
from compress.data.found_classes import find_labels, require_one_palette
from compress.data.left_out import LeftOut, merged
from compress.data.pairs import Listing, Pair, is_volume, match_by_stem, read_list, same_name, stem, unlisted
from compress.data.volumes import slices_of
from search_spaces.errors import InputError

VAL_SHARE = 0.2  # of the images, where nothing says which are for validation
SLICE_BLOCKS = 10  # of slices that lie together, which a single volume is split by

Pairs = tuple[Pair, ...]


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists a data set in one of three layouts.

    The splits are the folders `DIR/{train,val}/{images,masks}`; or train.txt and val.txt list the names of files in
    `DIR/{images,masks}`; or without these the seed draws the split. Volumes are split as wholes, a single one by blocks
    of slices.

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
    if (root / "train").is_dir() or (root / "val").is_dir():
        train, val, left_out = _split_folders(spec, root)
    elif (root / "train.txt").exists() or (root / "val.txt").exists():
        train, val, left_out = _split_lists(spec, root)
    else:
        train, val, left_out = _split_by_seed(spec, root, seed)
    classes, bands = root / "classes.txt", root / "bands.txt"
    labels = read_classes(classes) if classes.exists() else find_labels([*train, *val], classes)
    require_one_palette([*train, *val], labels)
    return Listing(labels, train, val, bands if bands.exists() else None, merged(left_out))


def _split_folders(spec: str, root: Path) -> tuple[Pairs, Pairs, Iterable[LeftOut]]:
    train, val = (match_by_stem(root / split / "images", root / split / "masks", spec) for split in ("train", "val"))
    return _sliced(train.pairs, spec), _sliced(val.pairs, spec), (*train.left_out, *val.left_out)


def _split_lists(spec: str, root: Path) -> tuple[Pairs, Pairs, Iterable[LeftOut]]:
    found = match_by_stem(root / "images", root / "masks", spec)
    train, val = (_listed(root / f"{split}.txt", found.pairs, spec) for split in ("train", "val"))
    return _sliced(train, spec), _sliced(val, spec), (*found.left_out, *unlisted(found.pairs, train, val))


def _split_by_seed(spec: str, root: Path, seed: int) -> tuple[Pairs, Pairs, Iterable[LeftOut]]:
    found = match_by_stem(root / "images", root / "masks", spec)
    if len(found.pairs) == 1:
        (pair,) = found.pairs
        if not is_volume(pair.image):
            only = f"{pair.image} is the only image; give at least two, one for training and one for validation"
            raise InputError(f"--data {spec}: {only}")
        return *_split_slices(_sliced(found.pairs, spec), seed), found.left_out
    names = {pair: same_name(stem(pair.image)) for pair in found.pairs}
    held_out = draw_validation([*names.values()], seed)
    train = [pair for pair, name in names.items() if name not in held_out]
    val = [pair for pair, name in names.items() if name in held_out]
    return _sliced(train, spec), _sliced(val, spec), found.left_out


def draw_validation(names: Sequence[str], seed: int) -> set[str]:
    """Draws VAL_SHARE of the names, at least one, for validation.

    Each name has a rank of its own, so the order of the names does not matter, and one more file moves hardly any.

    Args:
        names: The names of all images without their endings.
        seed: The seed.

    Returns:
        The names that were drawn.
    """
    ranked = sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest())
    return set(ranked[: max(1, round(VAL_SHARE * len(names)))])


def _split_slices(slices: Pairs, seed: int) -> tuple[Pairs, Pairs]:
    """Neighbouring slices are much alike, so whole blocks are held out."""
    count = min(SLICE_BLOCKS, len(slices))
    held_out = draw_validation([str(block) for block in range(count)], seed)
    blocks = [str(i * count // len(slices)) for i in range(len(slices))]
    train, val = (
        tuple(pair for pair, block in zip(slices, blocks, strict=True) if (block in held_out) == out)
        for out in (False, True)
    )
    return train, val


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
