"""The accuracy of a torch network on a validation split."""

import torch
from torch import Tensor

from compress.data.validation import Validation
from compress.evaluation.metrics import confusion
from search_spaces.network import Network


@torch.inference_mode()
def evaluate_network(network: Network, validation: Validation, device: torch.device) -> Tensor:
    """Runs a network over the split at the input size.

    Args:
        network: The network. It is left in eval mode.
        validation: The split.
        device: The device that the network is on.

    Returns:
        Pixel counts classes,classes: truth in the rows, prediction in the columns.
    """
    network.eval()
    classes = network.genotype.classes
    total = torch.zeros(classes, classes, dtype=torch.long, device=device)
    for images, masks in validation.batches(network.genotype.resolution):
        images = images.to(device, memory_format=torch.channels_last)
        predicted = network(images).argmax(1)
        total += confusion(predicted, masks.to(device), classes, validation.ignore)
    return total.cpu()
