"""The accuracy of a torch network on a validation split."""

import torch
from torch import Tensor

from compress.batches import Validation
from compress.metrics import confusion
from search_spaces.network import Network


@torch.inference_mode()
def evaluate(network: Network, validation: Validation, device: torch.device) -> Tensor:
    """Confusion counts (truth, predicted) over the split at the input size; the network in eval mode."""
    network.eval()
    classes = network.genotype.classes
    total = torch.zeros(classes, classes, dtype=torch.long, device=device)
    for images, masks in validation.batches(network.genotype.resolution):
        images = images.to(device, memory_format=torch.channels_last)
        predicted = network(images).argmax(1)
        total += confusion(predicted, masks.to(device), classes, validation.ignore)
    return total.cpu()
