"""Images and masks of the user's own, in any of three layouts (docs/data.md)."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from compress.data.cache import cached_result
from compress.data.formats import read_values
from compress.data.labels import IGNORE, Labels, numbered, read_classes
from compress.data.pairs import Listing, Pair, is_volume, match_by_stem, read_list, stem
from compress.data.threads import map_in_threads
from compress.data.volumes import slices_of
from search_spaces.errors import InputError

VAL_SHARE = 0.2  # of the images, where nothing says which are for validation
SLICE_BLOCKS = 10  # of slices that lie together, which a single volume is split by

Pairs = tuple[Pair, ...]


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """`DIR/{train,val}/{images,masks}`; or `DIR/{images,masks}` with train.txt and val.txt, which list stems; or
    without these, then the seed draws the split. Volumes are split as wholes, a single one by blocks of slices."""
    if (root / "train").is_dir() or (root / "val").is_dir():
        train, val = (
            _cut(match_by_stem(root / s / "images", root / s / "masks", spec), spec) for s in ("train", "val")
        )
    else:
        found = match_by_stem(root / "images", root / "masks", spec)
        if (root / "train.txt").exists() or (root / "val.txt").exists():
            train, val = (_cut(_listed(root / f"{split}.txt", found, spec), spec) for split in ("train", "val"))
        elif len(found) == 1 and is_volume(found[0].image):
            train, val = _split_slices(_cut(found, spec), seed)
        else:
            held_out = draw_validation([stem(pair.image) for pair in found], seed)
            train = _cut([pair for pair in found if stem(pair.image) not in held_out], spec)
            val = _cut([pair for pair in found if stem(pair.image) in held_out], spec)
    classes, bands = root / "classes.txt", root / "bands.txt"
    labels = read_classes(classes) if classes.exists() else find_labels([*train, *val], classes)
    return Listing(labels, train, val, bands if bands.exists() else None)


def draw_validation(names: Sequence[str], seed: int) -> set[str]:
    """The names of VAL_SHARE held out by the seed. Each name has its own rank, so order does not matter, and another
    file moves hardly any."""
    ranked = sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode()).digest())
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
    pair_of = {stem(pair.image): pair for pair in found}
    images, masks = path.parent / "images", path.parent / "masks"
    names = [stem(Path(line)) for line in read_list(path, spec)]
    return tuple(pair_of.get(name, Pair(images / f"{name}.png", masks / f"{name}.png")) for name in names)


def _cut(pairs: Sequence[Pair], spec: str) -> Pairs:
    """Volumes as their slices, images as they are."""
    volumes = [pair for pair in pairs if is_volume(pair.image)]
    slices = dict(zip(volumes, slices_of(volumes, spec), strict=True))
    return tuple(one for pair in pairs for one in slices.get(pair, (pair,)))


def find_labels(pairs: Sequence[Pair], classes: Path) -> Labels:
    """Classes 0 to the largest value in the masks. Raises InputError when they need a classes.txt."""
    masks = [pair.mask for pair in pairs]
    values = cached_result(
        "values", None, masks, lambda: sorted(set().union(*map_in_threads(_values, masks, "classes")))
    )
    found = [value for value in values if value != IGNORE]
    if not found:
        raise InputError(f"{classes} is missing, and no mask has class indices; write it, such as 'road 128 64 128'")
    if found == [0] and IGNORE in values:
        raise InputError(
            f"{classes} is missing, and masks hold 0 and 255; write 'background 0 0 0', 'object 255 255 255'"
        )
    if len(found) < 2 or min(found) < 0 or max(found) > IGNORE:
        raise InputError(f"{classes} is missing, and masks hold {min(found)} to {max(found)}; use 0 to 1, up to 254")
    return numbered(max(found) + 1)


def _values(mask: Path) -> list[int]:
    """The values of a mask that can be read and holds whole numbers; the check names every other."""
    try:
        values = read_values(mask)
    except InputError:
        return []
    distinct = np.unique(values) if values.ndim == 2 else np.empty(0)
    return [int(value) for value in distinct] if (distinct == np.floor(distinct)).all() else []
