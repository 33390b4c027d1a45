"""python benchmarks/winners.py WORK [WORK ...]: how well does what a search sees of its winners say how they end?

WORK is a folder of `benchmarks/benefit.py` with winners trained from scratch. Prints Kendall's tau of their refined
scores, and of the rewards of these at one budget, with the trained mIoU, and a least-squares fit of its logarithm.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau
from trainings import TRAINED

from compress.files.genotypes import read_genotype
from compress.files.records import read_json
from compress.stages.cli import run_command
from compress.stages.run import SEARCH
from nas.score import reward
from search_spaces.errors import InputError

FITTED = ("refined score, a power", "latency, a power", "image side, a power", "image pooling, a factor")


def winners(work: Path) -> dict[tuple[str, str], tuple[float, ...]]:
    """By genotype and seed: trained mIoU, refined mIoU, ms, height in pixels, whether it pools the image."""
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for place in sorted(work.glob(f"seed-*/{SEARCH}-*/genotype.json")):
        folder = place.parent
        trained = folder.with_name(folder.name.removeprefix(f"{SEARCH}-")) / TRAINED
        genotype = read_genotype(place, "run benefit.py --prepare")
        if not trained.is_file() or genotype.space != "deeplabv3plus":
            continue
        finalists = read_json(folder / SEARCH / "finalists.json", "run benefit.py --prepare")
        (own,) = (one for one in finalists if one["id"] == genotype.id)
        found[genotype.id, place.parts[-3]] = (
            read_json(trained, "run benefit.py")["miou"],
            own["refined_miou"],
            own["latency_ms"],
            genotype.resolution[0],
            genotype.image_pooling,
        )
    return found


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("work", type=Path, nargs="+", metavar="WORK")
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for work in flags.parse_args().work:
        found |= winners(work)
    if len(found) <= len(FITTED) + 1:
        raise InputError(f"{len(found)} trained winners: the fit needs more; train more with benefit.py")
    trained, refined, ms, height, pools = np.array(list(found.values())).T
    rewards = [reward(*one, budget_ms=ms.max()) for one in zip(refined, ms, strict=True)]
    print(f"{len(found)} networks, mIoU {trained.min():.3f} to {trained.max():.3f}\n")
    print(f"tau of refined scores {kendalltau(refined, trained).statistic:.3f}")
    print(f"tau of their rewards {kendalltau(rewards, trained).statistic:.3f}")
    terms = np.c_[np.log(refined), np.log(ms), np.log(height), pools, np.ones(len(found))]
    fitted, (residual,), *_ = np.linalg.lstsq(terms, np.log(trained))
    errors = np.sqrt(residual / (len(found) - terms.shape[1]) * np.diag(np.linalg.inv(terms.T @ terms)))
    for name, value, error in zip(FITTED, fitted, errors, strict=False):
        value, error = (np.exp(value), np.exp(value) * error) if name.endswith("factor") else (value, error)
        print(f"{name}: {value:.3f} ± {error:.3f}")


if __name__ == "__main__":
    run_command(main)
