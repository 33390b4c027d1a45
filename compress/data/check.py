"""Finds everything that is wrong with a data set, before anything is trained on it."""

import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from compress.data.dataset import DataSet, Pair, results_or_errors
from compress.data.decoding import decode
from compress.data.faults import data_error
from compress.data.left_out import LeftOut
from compress.data.near_duplicates import look_alikes, perceptual_hash
from compress.data.statistics import SplitStatistics, content_digest, file_digest, mask_counts, split_statistics
from search_spaces.errors import InputError

MIN_SIDE = 32  # pixels a side of an image


@dataclass(frozen=True)
class Examined:
    """What the check keeps of a pair: size H,W, counts of the mask's values, digests, the image's perceptual hash, and
    whether a tag turns the image alone (`compress.data.decoding.Decoded`)."""

    size: tuple[int, int]
    counts: np.ndarray
    pixels: bytes
    files: tuple[str, str]
    look: int | None = None
    image_alone_turned: bool = False


@dataclass(frozen=True)
class Findings:
    """What the check of a data set without faults found.

    Attributes:
        statistics: Sizes and class counts of the splits `train` and `val`.
        copies: Images that have the pixels of another image of the same split.
        warnings: What may be wrong, a line each.
        turned: Images that a tag turns or mirrors while their masks have none, and sizes do not show which is right.
    """

    statistics: dict[str, SplitStatistics]
    copies: LeftOut
    warnings: tuple[str, ...]
    turned: tuple[Path, ...] = ()


def check(data: DataSet) -> Findings:
    """Reads every file once and keeps none. What may be wrong is printed on stderr.

    Args:
        data: The data set.

    Returns:
        What was found. Sizes, class counts and the digest of the contents are kept under runs/data.

    Raises:
        DataError: Files are wrong; all are listed. They are missing or cannot be decoded, their bands or values differ
            from the first image's, sizes differ within a pair or are below MIN_SIDE, values or colours are no class, or
            a validation image is a training image too.
        InputError: All masks of a split are void.
    """
    for note in data.notes:
        print(f"note: --data {data.spec}: {note}", file=sys.stderr)
    pairs = (*data.train, *data.val)
    examined: list[Examined] = []
    faults: list[InputError] = []
    copies: list[Path] = []
    seen: dict[bytes, int] = {}
    for i, found in enumerate(results_or_errors(pairs, lambda pair: examine(pair, data), "check")):
        if isinstance(found, InputError):
            faults.append(found)
            continue
        examined.append(found)
        twin = seen.setdefault(found.pixels, i)
        if twin < len(data.train) <= i:
            same = f"the same pixels as {pairs[twin].image}, a training image; take it out of one split"
            faults.append(InputError(f"{pairs[i].image}: {same}"))
        elif twin < i:
            copies.append(pairs[i].image)
    if faults:
        raise data_error(faults, data.spec)
    statistics = _kept_statistics(data, examined)
    _refuse_void(data, statistics)
    copied = LeftOut("images that are copies of others in their split", tuple(copies))
    turned = tuple(pair.image for pair, one in zip(pairs, examined, strict=True) if one.image_alone_turned)
    lines = (*_warnings(data, statistics, copied), *_alike(data, examined), *_turned(data, turned))
    warnings = tuple(f"--data {data.spec}: {line}" for line in lines)
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    return Findings(statistics, copied, warnings, turned)


def examine(pair: Pair, data: DataSet) -> Examined:
    """Reads a pair for the check.

    Args:
        pair: The files.
        data: The data set, which says how they are read.

    Returns:
        What the check keeps of them.

    Raises:
        InputError: The pair is wrong.
    """
    decoded = decode(pair, data.labels, data.pixels)
    height, width = decoded.mask.shape
    if min(height, width) < MIN_SIDE:
        size = f"{width}x{height} pixels"
        raise InputError(f"{pair.image}: {size} are too small; leave it out, {MIN_SIDE} a side is the least")
    # a scene has many tiles and is digested once, after them
    files = (file_digest(pair.image), file_digest(pair.mask)) if pair.window is None else ("", "")
    pixels = _pixel_digest(pair, decoded.stored)
    look = perceptual_hash(decoded.image)
    return Examined((height, width), mask_counts(decoded.mask), pixels, files, look, decoded.image_alone_turned)


def _pixel_digest(pair: Pair, stored: np.ndarray) -> bytes:
    """The same for the same stored values. Images of one colour, such as the empty slices of a scan, are alike by
    nature: they count as the same only when they are the same file."""
    values = np.ascontiguousarray(np.ma.getdata(stored))
    if (values[0] == values[0, 0]).all() and (values == values[0, 0]).all():
        return f"{pair.image} {pair.window}".encode("utf-8", "surrogateescape")
    digest = sha256(values.data)
    digest.update(f"{values.shape} {values.dtype}".encode())
    return digest.digest()[:16]


def _kept_statistics(data: DataSet, examined: list[Examined]) -> dict[str, SplitStatistics]:
    """The statistics of both splits; they and the digest of the contents are kept for later."""
    count = len(data.train)

    def statistics() -> dict[str, SplitStatistics]:
        splits = {"train": examined[:count], "val": examined[count:]}
        return {
            split: split_statistics(((one.size, one.counts) for one in found), len(data.classes), data.ignore)
            for split, found in splits.items()
        }

    if data.has_scenes:
        _ = data.content
    else:
        data.keep_content(lambda: content_digest(digest for one in examined for digest in one.files))
    return data.keep_statistics(statistics)


def _refuse_void(data: DataSet, statistics: dict[str, SplitStatistics]) -> None:
    """No loss and no mIoU exist over nothing but void."""
    for split, use in (("train", "nothing can be learnt from it"), ("val", "no mIoU can be computed over it")):
        if not any(statistics[split].counts):
            remedy = "give masks with classes, or move pairs of the other split into it"
            raise InputError(f"--data {data.spec}: every pixel of the {split} masks is void, so {use}; {remedy}")


def _alike(data: DataSet, examined: list[Examined]) -> list[str]:
    """Says that validation images look like training images."""
    looks, count = [one.look for one in examined], len(data.train)
    found = look_alikes(looks[count:], looks[:count])
    if not found:
        return []
    place, twin = found[0]
    such = f"such as {data.val[place].image} and {data.train[twin].image}"
    remedy = "if they are frames of one video or parts of one scene, keep these in one split (groups.txt, docs/data.md)"
    verb = "look" if len(found) > 1 else "looks"
    return [f"{len(found):,} of {len(data.val):,} validation images {verb} like a training image, {such}; {remedy}"]


def _turned(data: DataSet, turned: tuple[Path, ...]) -> list[str]:
    """Says that images are turned or mirrored by a tag that their masks lack."""
    if not turned:
        return []
    count = f"{len(turned):,} of {len(data.train) + len(data.val):,}"
    what = f"an orientation tag turns or mirrors {count} images, but not their masks, such as {turned[0]}"
    return [f"{what}; look at them with python -m compress.check {data.spec} --preview preview.png"]


def _warnings(data: DataSet, statistics: dict[str, SplitStatistics], copies: LeftOut) -> list[str]:
    """What may be wrong with a data set that has no faults."""
    lines = []
    trained, validated = statistics["train"].counts, statistics["val"].counts
    missing = [name for name, count in zip(data.classes, trained, strict=True) if not count]
    if missing:
        lines.append(f"no training mask has {', '.join(missing)}")
    unseen = [
        name for name, *counts in zip(data.classes, trained, validated, strict=True) if counts[0] and not counts[1]
    ]
    if unseen:
        lines.append(
            f"no validation mask has {', '.join(unseen)}; mIoU is the mean over the classes that the masks or the "
            "predictions have, so one pixel that is wrongly predicted as such a class adds an IoU of 0 to the mean"
        )
    if copies.files:
        lines.append(str(copies))
    if data.left_out:
        count = sum(len(group.files) for group in data.left_out)
        lines.append(f"{count} file{'s are' if count > 1 else ' is'} not used: {'; '.join(map(str, data.left_out))}")
    return lines
