"""How much of a data set is kept in memory."""

from compress.data.dataset import DataSet

CROP_CACHE_BYTES = 2**30  # a larger training split is decoded again for each crop
VALIDATION_CACHE_BYTES = 2**31  # a larger validation split is read again in each pass


def training_bytes(data: DataSet) -> int:
    """The memory that the decoded training split takes.

    Args:
        data: The data set. The sizes of its images are those that the check has read.

    Returns:
        Bytes: one for each channel of a pixel of an image and one for each pixel of a mask.
    """
    return sum(_pixel_bytes(data) * height * width for height, width in data.statistics["train"].sizes)


def validation_bytes(data: DataSet, input_size: tuple[int, int]) -> int:
    """The memory that the validation split takes at the input size.

    Args:
        data: The data set.
        input_size: Height and width, in pixels.

    Returns:
        Bytes: one for each channel of a pixel of an image and one for each pixel of a mask.
    """
    return _pixel_bytes(data) * len(data.val) * input_size[0] * input_size[1]


def _pixel_bytes(data: DataSet) -> int:
    """Bytes of a pixel of an image and of its mask."""
    return len(data.pixels.bands) + 1
