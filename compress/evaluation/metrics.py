"""Mean intersection over union, from one confusion matrix over the whole split."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_confusion_matrix


def confusion(predicted: Tensor, truth: Tensor, classes: int, ignore: int) -> Tensor:
    """Counts (truth, predicted) over N,h,w predictions and N,H,W truth. A smaller class map is enlarged to the
    truth's size by nearest neighbour, as an app would show it, so a coarse head pays for its blocks."""
    if predicted.shape != truth.shape:
        enlarged = F.interpolate(predicted[:, None].float(), truth.shape[1:], mode="nearest-exact")
        predicted = enlarged[:, 0].to(truth.dtype)
    # Void counts as one class more, and labels were checked when the data set was opened: torchmetrics' ignore_index
    # and checks would take several times as long as its counts, and longer than LiteRT takes for the image.
    truth = truth.where(truth != ignore, classes)
    return multiclass_confusion_matrix(predicted, truth, classes + 1, validate_args=False)[:classes, :classes]


def iou_per_class(counts: Tensor) -> Tensor:
    """Intersection over union of each class (0..1); NaN for a class in neither truth nor prediction."""
    intersection = counts.diagonal().double()
    return intersection / (counts.sum(0) + counts.sum(1) - intersection)


def mean_iou(counts: Tensor) -> float:
    """mIoU (0..1) over the classes that occur."""
    return float(torch.nanmean(iou_per_class(counts)))
