"""ADEChallengeData2016 (Zhou et al. 2017): 150 classes, 0 is void."""

from pathlib import Path

from compress.data.labels import read_classes
from compress.data.pairs import Listing, inner_folder, match_by_stem


def list_files(spec: str, root: Path, seed: int) -> Listing:
    """Lists `images/{training,validation}/NAME.jpg` with `annotations/{training,validation}/NAME.png`.

    Args:
        spec: The value of `--data`, for messages.
        root: The folder ADEChallengeData2016, or one that holds it.
        seed: Not used, the splits are fixed.

    Returns:
        The pairs of both splits and the classes.

    Raises:
        InputError: A folder is missing.
    """
    root = inner_folder(root, "images", "ADEChallengeData2016")
    train, val = (
        match_by_stem(root / "images" / s, root / "annotations" / s, spec) for s in ("training", "validation")
    )
    return Listing(read_classes(Path(__file__).with_name("ade20k.txt")), train, val)
