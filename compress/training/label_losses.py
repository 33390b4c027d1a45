"""What a network is trained on: losses of N,classes,h,w logits against N,H,W masks, as plain functions.

Logits are enlarged to the masks' size and void pixels count in none of them. A batch needs a pixel that is no void;
`label_loss` sees to that.
"""

from collections.abc import Callable, Mapping
from math import ceil, log

import numpy as np
import torch
from kornia.losses import dice_loss, focal_loss, lovasz_softmax_loss
from torch import Tensor
from torch.nn import functional as F

from compress.training.terms import Terms, boundary_pixels, match, weighted_sum

OHEM_SURE = 0.7  # probability of its class from which a pixel is easy
OHEM_SHARE = 1 / 16  # of the pixels counts at least
FOCAL_GAMMA = 2.0
BOUNDARY_WEIGHT = 5.0  # of a pixel near another class, against 1

LabelLoss = Callable[[Tensor, Tensor], Tensor]  # of (logits, masks)


def cross_entropy(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Mean over pixels, each weighted by its class."""
    return F.cross_entropy(match(logits, masks), masks, weights, ignore_index=ignore)


def ohem(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy of the hard pixels alone: those whose class has a probability below OHEM_SURE, and in any case the
    hardest OHEM_SHARE of all (online hard example mining, Shrivastava et al. 2016)."""
    losses = pixel_losses(logits, masks, ignore)
    labelled = masks != ignore
    of_labelled = losses.detach()[labelled]
    least = of_labelled.topk(ceil(OHEM_SHARE * len(of_labelled))).values[-1]
    hard = labelled & (losses >= least.clamp(max=-log(OHEM_SURE)))
    return weighted_mean(losses, pixel_weights(masks, ignore, weights) * hard)


def focal(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy times (1 - p) ** FOCAL_GAMMA, p the probability of the pixel's class (Lin et al. 2017); mean as in
    `cross_entropy`."""
    total = focal_loss(match(logits, masks), masks, None, FOCAL_GAMMA, "sum", weights, ignore)
    return total / pixel_weights(masks, ignore, weights).sum()


def boundary_weighted(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy in which pixels near another class count BOUNDARY_WEIGHT times (after U-Net's weight map,
    Ronneberger et al. 2015)."""
    near = 1 + (BOUNDARY_WEIGHT - 1) * boundary_pixels(masks, ignore)
    return weighted_mean(pixel_losses(logits, masks, ignore), pixel_weights(masks, ignore, weights) * near)


def dice(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """One less the Dice coefficient of each class that occurs, mean over these (Milletari et al. 2016). Over all pixels
    of the batch together: a class has few in a single crop."""
    return dice_loss(*labelled_pixels(logits, masks, ignore), average="macro")


def lovasz(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """Lovász-softmax, the convex extension of one less each class's IoU (Berman et al. 2018): mean over the classes
    that occur, over all pixels of the batch together."""
    logits, masks = labelled_pixels(logits, masks, ignore)
    classes = logits.shape[1]
    occur = (torch.bincount(masks.flatten(), minlength=classes) > 0).to(logits.dtype)
    return lovasz_softmax_loss(logits, masks, occur * classes / occur.sum())


def pixel_losses(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """N,H,W cross entropies, 0 for void."""
    return F.cross_entropy(match(logits, masks), masks, ignore_index=ignore, reduction="none")


def pixel_weights(masks: Tensor, ignore: int, weights: Tensor | None) -> Tensor:
    """N,H,W: the weight of each pixel's class (1 without weights), 0 for void."""
    labelled = masks != ignore
    return labelled.float() if weights is None else weights[masks.where(labelled, 0)] * labelled


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum()


def labelled_pixels(logits: Tensor, masks: Tensor, ignore: int) -> tuple[Tensor, Tensor]:
    """The P pixels that are no void as one image: 1,classes,1,P logits and 1,1,P classes."""
    labelled = masks != ignore
    chosen = match(logits, masks).movedim(1, -1)[labelled]  # P,classes
    return chosen.T[None, :, None], masks[labelled][None, None]


LABEL_TERMS: Terms = {  # of (logits, masks, ignore, class weights); the usual weight
    "ce": (cross_entropy, 1.0),
    "ohem": (ohem, 1.0),
    "focal": (focal, 1.0),
    "boundary": (boundary_weighted, 1.0),
    "dice": (lambda logits, masks, ignore, weights: dice(logits, masks, ignore), 1.0),
    "lovasz": (lambda logits, masks, ignore, weights: lovasz(logits, masks, ignore), 1.0),
}


def label_loss(terms: Mapping[str, float], ignore: int, weights: Tensor) -> LabelLoss:
    """The weighted sum of LABEL_TERMS with `weights` per class; zero for a batch of nothing but void, whose mean is no
    number."""

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        if bool((masks == ignore).all()):
            return logits.sum() * 0
        return weighted_sum(terms, LABEL_TERMS, logits, masks, ignore, weights.to(logits.device))

    return loss


def root_weights(counts: np.ndarray) -> np.ndarray:
    """One over the square root of each class's share of pixels: rare classes count in mIoU as much as common ones."""
    return np.asarray(1 / np.sqrt(counts))


def effective_weights(counts: np.ndarray) -> np.ndarray:
    """One over the effective number of samples, (1 - beta) / (1 - beta ** n) with beta = 1 - 1 / N (Cui et al. 2019).
    N is the mean class's number of pixels, so that neither the resolution nor the number of images matters: classes
    beyond it count alike, far rarer ones by one over their number."""
    decay = np.log1p(-1 / max(2.0, counts.mean()))
    return np.asarray(np.expm1(decay) / np.expm1(decay * counts))


CLASS_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "root": root_weights,
    "effective": effective_weights,
    "equal": np.ones_like,
}


def class_weights(name: str, counts: np.ndarray) -> Tensor:
    """Weights of classes with these numbers of pixels, scaled to a mean of 1 per pixel."""
    weights = CLASS_WEIGHTS[name](np.maximum(counts, 1).astype(float))
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)
