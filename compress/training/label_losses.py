"""Losses of N,classes,h,w logits against N,H,W masks, as plain functions.

Logits are enlarged to the masks' size. Void pixels count in none of the losses. A batch must have a pixel that is not
void; `label_loss` checks that.
"""

from collections.abc import Callable, Mapping
from math import ceil, log

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
    """Cross entropy: the mean over pixels, each weighted by its class.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.
        weights: The weight of each class; None for equal weights.

    Returns:
        The loss.
    """
    return F.cross_entropy(match(logits, masks), masks, weights, ignore_index=ignore)


def ohem(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy of the hard pixels alone (online hard example mining, Shrivastava et al. 2016).

    A pixel is hard if its class has a probability below OHEM_SURE. The hardest OHEM_SHARE of all pixels always count.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.
        weights: The weight of each class; None for equal weights.

    Returns:
        The loss.
    """
    losses = pixel_losses(logits, masks, ignore)
    labelled = masks != ignore
    of_labelled = losses.detach()[labelled]
    least = of_labelled.topk(ceil(OHEM_SHARE * len(of_labelled))).values[-1]
    hard = labelled & (losses >= least.clamp(max=-log(OHEM_SURE)))
    return weighted_mean(losses, pixel_weights(masks, ignore, weights) * hard)


def focal(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy times (1 - p) ** FOCAL_GAMMA, with p the probability of the pixel's class (Lin et al. 2017).

    The mean is that of `cross_entropy`.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.
        weights: The weight of each class; None for equal weights.

    Returns:
        The loss.
    """
    total = focal_loss(match(logits, masks), masks, None, FOCAL_GAMMA, "sum", weights, ignore)
    return total / pixel_weights(masks, ignore, weights).sum()


def boundary_weighted(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Cross entropy in which pixels near another class count BOUNDARY_WEIGHT times.

    This follows the weight map of U-Net (Ronneberger et al. 2015).

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.
        weights: The weight of each class; None for equal weights.

    Returns:
        The loss.
    """
    near = 1 + (BOUNDARY_WEIGHT - 1) * boundary_pixels(masks, ignore)
    return weighted_mean(pixel_losses(logits, masks, ignore), pixel_weights(masks, ignore, weights) * near)


def dice(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """One minus the Dice coefficient, mean over the classes that occur (Milletari et al. 2016).

    The coefficient is taken over all pixels of the batch together, because a class has few pixels in a single crop.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.

    Returns:
        The loss.
    """
    return dice_loss(*labelled_pixels(logits, masks, ignore), average="macro")


def lovasz(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """Lovász-softmax, the convex extension of one minus the IoU (Berman et al. 2018).

    It is the mean over the classes that occur; the pixels of the batch are taken together.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.

    Returns:
        The loss.
    """
    logits, masks = labelled_pixels(logits, masks, ignore)
    classes = logits.shape[1]
    occur = (torch.bincount(masks.flatten(), minlength=classes) > 0).to(logits.dtype)
    return lovasz_softmax_loss(logits, masks, occur * classes / occur.sum())


def pixel_losses(logits: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """Cross entropy of each pixel.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.

    Returns:
        N,H,W losses; 0 for void pixels.
    """
    return F.cross_entropy(match(logits, masks), masks, ignore_index=ignore, reduction="none")


def pixel_weights(masks: Tensor, ignore: int, weights: Tensor | None) -> Tensor:
    """The weight of each pixel's class.

    Args:
        masks: N,H,W classes.
        ignore: The value of void pixels.
        weights: The weight of each class; None for 1.

    Returns:
        N,H,W weights; 0 for void pixels.
    """
    labelled = masks != ignore
    return labelled.float() if weights is None else weights[masks.where(labelled, 0)] * labelled


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the losses of pixels.

    Args:
        losses: N,H,W.
        weights: N,H,W; their sum is not 0.

    Returns:
        The mean.
    """
    return (losses * weights).sum() / weights.sum()


def labelled_pixels(logits: Tensor, masks: Tensor, ignore: int) -> tuple[Tensor, Tensor]:
    """Joins the P pixels that are not void into one image.

    Args:
        logits: N,classes,h,w.
        masks: N,H,W classes.
        ignore: The value of void pixels.

    Returns:
        1,classes,1,P logits and 1,1,P classes.
    """
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
    """Builds the loss that `--loss` asks for.

    It is 0 for a batch of void pixels alone, whose mean would not be a number.

    Args:
        terms: The weight of each loss, by its name in LABEL_TERMS.
        ignore: The value of void pixels.
        weights: The weight of each class.

    Returns:
        The loss, of (logits, masks).
    """

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        if bool((masks == ignore).all()):
            return logits.sum() * 0
        return weighted_sum(terms, LABEL_TERMS, logits, masks, ignore, weights.to(logits.device))

    return loss
