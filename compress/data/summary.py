"""The summary of a data set that the check has passed, as text of one screen."""

from collections import Counter

from compress.data.check import Findings
from compress.data.dataset import DataSet
from compress.data.memory import CROP_CACHE_BYTES, VALIDATION_CACHE_BYTES, training_bytes, validation_bytes
from compress.data.percentiles import FIRST_BANDS
from compress.data.pixels import BYTE
from compress.data.statistics import Size, SplitStatistics
from search_spaces.genotype import MAX_BANDS

MAX_CLASSES = 24  # lines; of more classes those with the most pixels are listed
MAX_STRETCH = 1.1  # of an image's width against its height, before it is said


def describe_data(data: DataSet, findings: Findings) -> str:
    """Describes a data set.

    Args:
        data: The data set.
        findings: What its check found.

    Returns:
        Lines of text.
    """
    train, val = findings.statistics["train"], findings.statistics["val"]
    lines = [
        f"{data.spec}: {len(data.classes)} classes, fingerprint {data.fingerprint}",
        f"{'':24}{'training':>18}{'validation':>18}",
        f"{'pairs':24}{len(data.train):>18,}{len(data.val):>18,}",
        f"{'image size':24}{_sizes(train):>18}{_sizes(val):>18}",
        f"{'labelled pixels':24}{_labelled(train):>18}{_labelled(val):>18}",
        *_class_lines(data, train, val),
        f"bands: {_bands(data)}",
    ]
    lines += list(data.notes)
    lines += [f"not used: {group}" for group in data.left_out] or ["not used: nothing"]
    lines += [str(findings.copies)] if findings.copies.files else ["copies: none"]
    warnings = len(findings.warnings)
    lines.append(f"no faults; {f'{warnings} warning' + 's' * (warnings > 1) if warnings else 'no warnings'}")
    return printable("\n".join(lines))


def describe_input_size(data: DataSet, input_size: Size) -> str:
    """Describes what a data set takes at an input size.

    Args:
        data: The data set.
        input_size: Height and width, in pixels.

    Returns:
        Lines of text.
    """
    height, width = input_size
    decoded, needed = training_bytes(data), validation_bytes(data, input_size)
    kept = "kept in memory" if decoded <= CROP_CACHE_BYTES else "decoded again for each crop"
    seen = "kept in memory" if needed <= VALIDATION_CACHE_BYTES else "read again in each pass"
    lines = [
        f"at {height}x{width}: the validation split takes {_mebibytes(needed)} and is {seen}",
        f"training images take {_mebibytes(decoded)} and are {kept}",
    ]
    sizes = [size for split in data.statistics.values() for size in split.sizes]
    larger = sum(high < height and wide < width for high, wide in sizes)
    if larger:
        lines.append(f"{larger:,} of {len(sizes):,} images are smaller and are enlarged")
    stretches = [(width / wide) / (height / high) for high, wide in sizes]
    stretched = sum(max(stretch, 1 / stretch) > MAX_STRETCH for stretch in stretches)
    if stretched:
        most = max(stretches, key=lambda stretch: max(stretch, 1 / stretch))
        how = f"{most:.2f} times as wide" if most > 1 else f"{1 / most:.2f} times as high"
        lines.append(f"{stretched:,} of {len(sizes):,} images have another shape; they become up to {how}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """Text that can be printed, whatever the names of files are.

    Args:
        text: Text with names of files, which need not be UTF-8.

    Returns:
        The text with a replacement character for each byte that is not UTF-8.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def _sizes(split: SplitStatistics) -> str:
    """Height x width of the images: the smallest and the largest where they differ."""
    areas = sorted(Counter(split.sizes), key=lambda size: size[0] * size[1])
    smallest, largest = ("x".join(map(str, size)) for size in (areas[0], areas[-1]))
    return smallest if len(areas) == 1 else f"{smallest} to {largest}"


def _labelled(split: SplitStatistics) -> str:
    """The share of pixels that are not void."""
    labelled = sum(split.counts)
    return f"{100 * labelled / (labelled + split.void):.1f} %"


def _class_lines(data: DataSet, train: SplitStatistics, val: SplitStatistics) -> list[str]:
    """Each class with its shares of the labelled pixels of both splits."""
    shares = [[100 * count / sum(split.counts) for count in split.counts] for split in (train, val)]
    listed = sorted(range(len(data.classes)), key=lambda i: -train.counts[i])[:MAX_CLASSES]
    lines = [f"  {data.classes[i][:21]:22}{shares[0][i]:>16.2f} %{shares[1][i]:>16.2f} %" for i in sorted(listed)]
    left = len(data.classes) - len(listed)
    if left:
        rest = [100 - sum(split[i] for i in listed) for split in shares]
        lines.append(f"  {f'{left} more classes':22}{rest[0]:>16.2f} %{rest[1]:>16.2f} %")
    return lines


def _bands(data: DataSet) -> str:
    """Which bands are used, and which of their values become the bytes 0 and 255."""
    pixels = data.pixels
    names = pixels.names or ("",) * len(pixels.bands)
    numbers = ", ".join(f"{band + 1} {name}".strip() for band, name in zip(pixels.bands, names, strict=True))
    if pixels.stored > len(FIRST_BANDS) == len(pixels.bands) and not pixels.names:
        numbers += f" of {pixels.stored} (bands.txt may name up to {MAX_BANDS})"
    if set(pixels.ranges) == {BYTE}:
        return f"{numbers} of {pixels.dtype}, as they are"
    ranges = ", ".join(f"{low:g} to {high:g}" for low, high in pixels.ranges)
    return f"{numbers} of {pixels.dtype}, stretched from {ranges}"
