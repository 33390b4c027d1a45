"""Mean intersection over union, from one matrix of pixel counts over the whole split."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_confusion_matrix


def confusion(predicted: Tensor, truth: Tensor, classes: int, ignore: int) -> Tensor:
    """Counts the pixels of each pair of true and predicted class.

    A class map that is smaller than the truth is enlarged by nearest neighbour, as an app would show it. So a coarse
    head pays for its blocks.

    Args:
        predicted: Class indices N,h,w.
        truth: Class indices N,H,W.
        classes: The number of classes.
        ignore: The index of void pixels in the truth. They are not counted.

    Returns:
        Pixel counts classes,classes: truth in the rows, prediction in the columns.
    """
    if predicted.shape != truth.shape:
        enlarged = F.interpolate(predicted[:, None].float(), truth.shape[1:], mode="nearest-exact")
        predicted = enlarged[:, 0].to(truth.dtype)
    # Void counts as one class more, and labels were checked when the data set was opened: torchmetrics' ignore_index
    # and checks would take several times as long as its counts, and longer than LiteRT takes for the image.
    truth = truth.where(truth != ignore, classes)
    return multiclass_confusion_matrix(predicted, truth, classes + 1, validate_args=False)[:classes, :classes]


def iou_per_class(counts: Tensor) -> Tensor:
    """Intersection over union of each class.

    Args:
        counts: Pixel counts classes,classes (truth, predicted).

    Returns:
        One number in 0..1 for each class; NaN for a class that is neither in the truth nor in the prediction.
    """
    intersection = counts.diagonal().double()
    return intersection / (counts.sum(0) + counts.sum(1) - intersection)


def share_per_class(counts: Tensor) -> Tensor:
    """Share of the labelled pixels that belong to each class.

    Args:
        counts: Pixel counts classes,classes (truth, predicted).

    Returns:
        One number in 0..1 for each class. They sum to 1; all are 0 when no pixel has a label.
    """
    labelled = counts.sum(1).double()
    return labelled / labelled.sum().clamp(min=1)


def mean_iou(counts: Tensor) -> float:
    """Mean intersection over union.

    The mean is over the classes that occur in the truth, in the prediction or in both. A class that is absent from
    both is left out. A class that is absent from the truth but predicted somewhere counts with IoU 0: one stray pixel
    of it lowers the mean. So a split should hold every class.

    Args:
        counts: Pixel counts classes,classes (truth, predicted), over the whole split.

    Returns:
        mIoU in 0..1; NaN when no class occurs at all.
    """
    return float(torch.nanmean(iou_per_class(counts)))
