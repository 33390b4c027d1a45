"""python benchmarks/bands.py --work DIR [--steps 150] [--seeds 0 1]: what a fourth band that shows the classes gives.

The data are the land-cover tiles of the project. THE FOURTH BAND IS INVENTED: no satellite has measured it. It is made
from the masks. Each class has a brightness, the picture of these is blurred, and noise is added. So it knows what the
masks know, but neither where a class ends nor, from a single pixel, which class it is. It stands for a near-infrared
band, in which water is dark and plants are bright.

The same network starts from the same ImageNet weights and is trained with the same crops on four bands, and on the
first three of the same files. The table is that of benchmarks/bands.md: mIoU of the float network and of the int8 file,
as LiteRT runs it, over the validation split. Use one core (OMP_NUM_THREADS=1).
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import tifffile
import torch
from baseline import started
from inheritance import half_network
from PIL import Image
from planned import PlannedConfig, one_plan
from tqdm import tqdm

from compress.data.calibration import calibration_images
from compress.data.dataset import DataSet, open_data, read_pair
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import evaluate_tflite
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.run import Run
from compress.tflite.int8_file import int8_file
from compress.tflite.ranges import observe_ranges
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule

# the bytes of the invented band: water, forest, shrub, savanna, grass, crop, snow, barren; void is in between
BRIGHTNESS, VOID = (20, 170, 125, 140, 155, 185, 60, 95), 110
BLUR, NOISE = 3.0, 25.0  # pixels and bytes, each a standard deviation
NAMES = ("red", "green", "blue", "nir")
SIZE, BATCH, CROP, LR, WEIGHT_DECAY = (256, 256), 16, 128, 2e-3, 0.05


def invented_band(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The fourth band of a tile.

    Args:
        mask: H,W class indices, IGNORE for void.
        rng: Draws the noise.

    Returns:
        H,W bytes.
    """
    brightness = np.full(256, VOID, np.float32)
    brightness[: len(BRIGHTNESS)] = BRIGHTNESS
    blurred = cv2.GaussianBlur(brightness[mask], (0, 0), BLUR)
    return np.clip(blurred + rng.normal(0, NOISE, mask.shape), 0, 255).round().astype(np.uint8)


def write_data(data: DataSet, folder: Path) -> None:
    """Writes the tiles with four bands, and a second data set that uses three bands of the same files.

    Args:
        data: The land-cover data set.
        folder: `four` and `three` are made in it.
    """
    rng = np.random.default_rng(0)
    four, three = folder / "four", folder / "three"
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (four / split / kind).mkdir(parents=True)
        for pair in tqdm(getattr(data, split), desc=split, unit="tile", dynamic_ncols=True):
            image, mask = read_pair(pair, data)
            bands = np.dstack([image, invented_band(mask, rng)])
            path = four / split / "images" / f"{pair.image.stem}.tif"
            tifffile.imwrite(path, bands, photometric="rgb", extrasamples=["unspecified"], planarconfig="contig")
            Image.fromarray(mask).save(four / split / "masks" / f"{pair.image.stem}.png")
    three.mkdir()
    for root, count in ((four, 4), (three, 3)):
        lines = [f"{name} {' '.join(map(str, rgb))}\n" for name, rgb in zip(data.classes, data.colours, strict=True)]
        (root / "classes.txt").write_text("".join(lines))
        (root / "bands.txt").write_text("".join(f"{i + 1} {NAMES[i]}\n" for i in range(count)))
    for split in ("train", "val"):
        (three / split).symlink_to(Path("..") / "four" / split)


def trained(folder: Path, bands: str, seed: int, steps: int) -> tuple[float, float, float]:
    """Trains a network and runs its int8 file.

    Args:
        folder: The folder of `write_data`.
        bands: `three` or `four`.
        seed: Chooses the crops and the weights of the head.
        steps: Of the training.

    Returns:
        mIoU (0..1) of the float network and of the int8 file, and seconds of CPU time.
    """
    begun = time.process_time()
    plans = one_plan(TrainingPlan(steps, BATCH, CROP, LR, WEIGHT_DECAY))
    spec = f"folder:{folder / bands}"
    config = PlannedConfig(budget_ms=1e6, data=spec, input_size=SIZE, seed=seed, augment="aerial", plans=plans)
    run = Run(folder / f"{bands}-{seed}", config)
    network = started(run, half_network(len(run.data.classes), SIZE, bands=len(run.data.pixels.bands)))
    fit_network(run, network, Schedule(steps, BATCH, CROP, LR, WEIGHT_DECAY), run.path, f"{bands} {seed}", seed=2)
    miou = run.miou(network)
    model = int8_file(network, observe_ranges(network, calibration_images(run.data, SIZE, torch.device("cpu"))))
    in_int8 = mean_iou(evaluate_tflite(model, network, run.validation, "int8")[0])
    return miou, in_int8, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    asked = parser.parse_args()
    if not (asked.work / "three").exists():
        write_data(open_data("landcover"), asked.work)
    print("| bands | seed | mIoU (float) | mIoU (int8) | seconds of CPU |\n|---|---|---|---|---|")
    for seed in asked.seeds:
        for bands in ("three", "four"):
            miou, in_int8, seconds = trained(asked.work, bands, seed, asked.steps)
            print(f"| {bands} | {seed} | {miou:.3f} | {in_int8:.3f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    run_command(main)
