"""Scores a network before any training, by a linear classifier on what its backbone has inherited.

A linear probe (Alain and Bengio 2016) tells how well the classes can be told apart by features as they are. A network
whose backbone starts from other weights than random ones has such features at once. The classifier is fitted by least
squares, which takes seconds, and its mIoU on validation images is the score. The head has no say in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from compress.data.dataset import Pair
from compress.data.resizing import at_scale
from compress.data.validation import read_validation
from compress.evaluation.metrics import confusion, mean_iou
from compress.stages.run import Run
from compress.training.class_weights import class_weights
from nas.inheritance.sweep import backbone_ops
from search_spaces.backbone import stage_outputs
from search_spaces.network import Network
from search_spaces.ops import INPUT

Batch = tuple[Tensor, Tensor]  # N,bands,h,w images in 0..1 and N,h,w masks

IMAGES = 24  # of each split, at most; they are whole, because classifiers of crops rank networks worse
BATCH = 4  # images at a time
SAMPLED = 65_536  # features that a classifier is fitted to
RIDGE = 1e-3  # of the mean square of the features
FINE, MIDDLE, LAST = 1, 2, -1  # the stages whose outputs are the features; the finest has the features of a decoder


@dataclass(frozen=True)
class Probe:
    """Fits linear classifiers to the features of networks, and scores them.

    Attributes:
        train: Training images with their masks, at the input size.
        validation: Validation images with their masks, at the input size.
        input_size: Height and width of the input, pixels.
        weights: A weight for each class.
        ignore: The index of void pixels in masks.
    """

    train: Sequence[Batch]
    validation: Sequence[Batch]
    input_size: tuple[int, int]
    weights: Tensor
    ignore: int

    def score(self, network: Network) -> float:
        """Scores a network.

        Args:
            network: The network, with the weights that its training starts from. It is put into eval mode.

        Returns:
            The mIoU (0..1) of a linear classifier of its features.
        """
        network.eval()
        classifier = self.classifier(network)
        classes = len(self.weights)
        counts = torch.zeros(classes, classes, dtype=torch.int64, device=classifier.device)
        for images, masks in self.validation:
            logits = torch.einsum("nchw,ck->nkhw", self.features(network, images), classifier)
            enlarged = F.interpolate(logits, masks.shape[1:], mode="bilinear", align_corners=False)
            counts += confusion(enlarged.argmax(1), masks, classes, self.ignore)
        return mean_iou(counts.cpu())

    @torch.no_grad()
    def classifier(self, network: Network) -> Tensor:
        """Fits a linear classifier by weighted least squares with a ridge.

        Args:
            network: The network, in eval mode.

        Returns:
            channels,classes weights. The last channel of the features is 1.
        """
        features, labels = self.sampled(network)
        weighted = features * self.weights[labels, None].double()
        squares = weighted.T @ features
        ridge = RIDGE * squares.diagonal().mean() * torch.eye(len(squares)).to(squares)
        products = weighted.T @ F.one_hot(labels, len(self.weights)).double()
        classifier: Tensor = torch.linalg.solve(squares + ridge, products)
        return classifier.float()

    def sampled(self, network: Network) -> Batch:
        """Samples the features of labelled pixels of the training images.

        Args:
            network: The network, in eval mode.

        Returns:
            P,channels features and P classes.
        """
        drawn = torch.Generator().manual_seed(0)
        parts = []
        for images, masks in self.train:
            features = self.features(network, images)
            labels = F.interpolate(masks[:, None].float(), features.shape[2:], mode="nearest-exact").flatten().long()
            known = torch.nonzero(labels != self.ignore)[:, 0]
            some = torch.randperm(len(known), generator=drawn)[: SAMPLED // len(self.train)].to(known.device)
            parts.append((features.permute(0, 2, 3, 1).flatten(0, 2)[known[some]].double(), labels[known[some]]))
        x, y = (torch.cat(some) for some in zip(*parts, strict=True))
        return x, y

    @torch.no_grad()
    def features(self, network: Network, images: Tensor) -> Tensor:
        """Computes the features that a classifier sees.

        Args:
            network: The network.
            images: N,bands,h,w images in 0..1, at the input size.

        Returns:
            N,channels,h',w' outputs of a fine, a middle and the last stage at the resolution of the fine one, and
            one channel of ones.
        """
        values: dict[str, Tensor] = {INPUT: at_scale(images, network.genotype.resolution, self.input_size)}
        for op in backbone_ops(network.graph):
            values[op.name] = network.run(op, values)
        outputs = [values[name] for name in stage_outputs(network.graph)]
        size = outputs[FINE].shape[2:]
        chosen = [
            F.interpolate(outputs[place], size, mode="bilinear", align_corners=False) for place in (FINE, MIDDLE, LAST)
        ]
        return torch.cat([*chosen, torch.ones_like(chosen[0][:, :1])], dim=1)


def open_probe(run: Run) -> Probe:
    """Reads the images on which the networks of a run are compared.

    Args:
        run: The run.

    Returns:
        The probe.

    Raises:
        InputError: A file of the data cannot be read.
    """
    weights = class_weights(run.config.class_weights, run.data.class_counts).to(run.device)
    train, validation = (read_images(run, pairs) for pairs in (run.data.train, run.data.val))
    return Probe(train, validation, run.config.input_size, weights, run.data.ignore)


def evenly_spread(pairs: Sequence[Pair], count: int) -> tuple[Pair, ...]:
    """Chooses pairs that are evenly spread over a split.

    Args:
        pairs: The pairs of the split.
        count: How many are chosen, at most.

    Returns:
        The pairs.
    """
    count = min(count, len(pairs))
    return tuple(pairs[i * len(pairs) // count] for i in range(count))


def read_images(run: Run, pairs: Sequence[Pair]) -> list[Batch]:
    """Reads some images of a split.

    Args:
        run: The run.
        pairs: The pairs of the split.

    Returns:
        Batches of N,bands,H,W images in 0..1 and N,H,W masks.

    Raises:
        InputError: A file of the data cannot be read.
    """
    chosen = read_validation(replace(run.data, val=evenly_spread(pairs, IMAGES)), run.config.input_size)
    return [
        (images.to(run.device, memory_format=torch.channels_last), masks.to(run.device))
        for images, masks in chosen.batches(run.config.input_size, BATCH)
    ]
