"""Scores a network before any training, by a linear classifier on what its backbone has inherited.

A linear probe (Alain and Bengio 2016) tells how well the classes can be told apart by features as they are. A network
whose backbone starts from other weights than random ones has such features at once. The classifier is fitted by least
squares, which takes seconds, and its mIoU on validation images is the score. The head has no say in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from compress.data.spread import evenly_spread
from compress.data.validation import Validation, read_validation
from compress.evaluation.metrics import confusion, mean_iou
from compress.stages.run import Run
from compress.training.class_weights import class_weights
from compress.training.memory import kept_memory
from nas.inheritance.sweep import backbone_ops
from search_spaces.backbone import stage_outputs
from search_spaces.errors import InputError
from search_spaces.network import Network, fold_batch_norm
from search_spaces.ops import INPUT

IMAGES = 24  # of each split, at most; they are whole, because classifiers of crops rank networks worse
BATCH_PIXELS = 2**20  # of the images that are run at a time
SAMPLED = 2_730  # pixels of each image that a classifier is fitted to
RIDGE = 1e-3  # of the mean square of the features
FINE, MIDDLE, LAST = 1, 2, -1  # the stages whose outputs are the features; the finest has the features of a decoder


@dataclass(frozen=True)
class Probe:
    """Fits linear classifiers to the features of networks, and scores them.

    Attributes:
        train: Training images with their masks.
        validation: Validation images with their masks.
        weights: A weight for each class, on the device that networks are run on.
    """

    train: Validation
    validation: Validation
    weights: Tensor

    @kept_memory()
    def score(self, network: Network) -> float:
        """Scores a network.

        Args:
            network: The network, with the weights that its training starts from, on any device. It is left as it is.

        Returns:
            The mIoU (0..1) of a linear classifier of its features.
        """
        network = fold_batch_norm(network).to(self.weights.device)
        classifier = self.classifier(network)
        classes = len(self.weights)
        counts = torch.zeros(classes, classes, dtype=torch.int64, device=classifier.device)
        for images, masks in self.batches(self.validation, network):
            logits = torch.einsum("nchw,ck->nkhw", self.features(network, images), classifier)
            enlarged = F.interpolate(logits, masks.shape[1:], mode="bilinear", align_corners=False)
            counts += confusion(enlarged.argmax(1), masks, classes, self.validation.ignore)
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

    def batches(self, split: Validation, network: Network) -> Iterator[tuple[Tensor, Tensor]]:
        """Reads images as a network sees them.

        Args:
            split: The images.
            network: The network.

        Yields:
            N,bands,h,w images in 0..1 at the network's resolution, and N,H,W masks at the input size.
        """
        height, width = split.masks[0].shape[-2:]
        size = max(1, BATCH_PIXELS // (height * width))
        for images, masks in split.batches(network.genotype.resolution, size):
            yield images.to(self.weights.device, memory_format=torch.channels_last), masks.to(self.weights.device)

    def sampled(self, network: Network) -> tuple[Tensor, Tensor]:
        """Samples the features of labelled pixels of the training images.

        Args:
            network: The network, in eval mode.

        Returns:
            P,channels features and P classes.
        """
        drawn = torch.Generator().manual_seed(0)
        parts = []
        for images, masks in self.batches(self.train, network):
            features = self.features(network, images)
            labels = F.interpolate(masks[:, None].float(), features.shape[2:], mode="nearest-exact").flatten().long()
            known = torch.nonzero(labels != self.train.ignore)[:, 0]
            some = torch.randperm(len(known), generator=drawn)[: SAMPLED * len(images)].to(known.device)
            parts.append((features.permute(0, 2, 3, 1).flatten(0, 2)[known[some]].double(), labels[known[some]]))
        x, y = (torch.cat(some) for some in zip(*parts, strict=True))
        return x, y

    @torch.no_grad()
    def features(self, network: Network, images: Tensor) -> Tensor:
        """Computes the features that a classifier sees.

        Args:
            network: The network.
            images: N,bands,h,w images in 0..1, at the network's resolution.

        Returns:
            N,channels,h',w' outputs of a fine, a middle and the last stage at the resolution of the fine one, and
            one channel of ones.
        """
        values = {INPUT: images}
        for op in backbone_ops(network.graph):
            values[op.name] = network.run(op, values)
        outputs = [values[name] for name in stage_outputs(network.graph)]
        size = outputs[FINE].shape[2:]
        chosen = [
            F.interpolate(outputs[place], size, mode="bilinear", align_corners=False) for place in (FINE, MIDDLE, LAST)
        ]
        return torch.cat([*chosen, torch.ones_like(chosen[0][:, :1])], dim=1)


def open_probe(run: Run) -> Probe:
    """Chooses the images on which the networks of a run are compared.

    Args:
        run: The run.

    Returns:
        The probe.

    Raises:
        InputError: A file of the data cannot be read, or no chosen image of a split has a labelled pixel.
    """
    data, size = run.data, run.config.input_size
    few = (replace(data, val=evenly_spread(pairs, IMAGES)) for pairs in (data.train, data.val))
    train, validation = (read_validation(some, size) for some in few)
    for name, split in (("training", train), ("validation", validation)):
        if all(bool((mask == split.ignore).all()) for mask in split.masks):
            raise InputError(
                f"--strategy probe: no pixel of {len(split)} {name} images has a label; label more, or give "
                "--strategy supernet"
            )
    return Probe(train, validation, class_weights(run.config.class_weights, data.class_counts).to(run.device))
