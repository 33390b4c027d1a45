"""Finds everything that is wrong with a data set, before anything is trained on it."""

import sys
from hashlib import blake2b

import numpy as np

from compress.data.dataset import DataSet, Pair, count_classes, data_error, map_pairs_or_errors
from search_spaces.errors import InputError

MIN_SIDE = 32  # pixels a side of an image


def check(data: DataSet) -> None:
    """Reads every file once, keeping none. Classes that the training masks lack are named on stderr.

    Raises DataError that lists all files that are wrong: missing or undecodable ones, bands or values that differ from
    the first image's, sizes that differ within a pair or are below MIN_SIDE, values and colours that are no class, and
    validation images that are training images too.
    """
    counts = np.zeros(len(data.classes), np.int64)
    faults: list[InputError] = []
    seen: dict[bytes, Pair] = {}
    pairs = (*data.train, *data.val)

    def facts(pair: Pair, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, bytes]:
        if min(mask.shape) < MIN_SIDE:
            size = f"{mask.shape[1]}x{mask.shape[0]} pixels"
            raise InputError(f"{pair.image}: {size} are too small; leave it out, {MIN_SIDE} a side is the least")
        return count_classes(mask, data), _content(pair, image)

    for i, found in enumerate(map_pairs_or_errors(pairs, data, facts, "check")):
        if isinstance(found, InputError):
            faults.append(found)
        elif i < len(data.train):
            counts += found[0]
            seen[found[1]] = pairs[i]
        elif found[1] in seen:
            twin = f"the same pixels as {seen[found[1]].image}, a training image; take it out of one split"
            faults.append(InputError(f"{pairs[i].image}: {twin}"))
    if faults:
        raise data_error(faults, data)
    known = data.remember_counts(lambda: counts)
    missing = [name for name, count in zip(data.classes, known, strict=True) if not count]
    if missing:
        print(f"warning: --data {data.spec}: no training mask has {', '.join(missing)}", file=sys.stderr)


def _content(pair: Pair, image: np.ndarray) -> bytes:
    """The same for the same pixels. Images of one colour, such as the empty slices of a scan, are alike by nature:
    they count as the same only when they are the same file."""
    if (image == image[0, 0]).all():
        return str(pair.image).encode()
    return blake2b(image.data, digest_size=16, person=repr(image.shape).encode()[:16]).digest()
