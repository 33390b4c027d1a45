"""Starts a network or a supernet from a donor: a network with known weights, such as one trained on ImageNet.

prepared = prepare_donor(donor, images)      # once in a search
start_supernet(supernet.shared, prepared)
start_network(network, prepared)             # each finalist and the winner
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from nas.inheritance.images import image_windows
from nas.inheritance.ordering import ordered
from nas.inheritance.refit import refit, sampled_outputs
from nas.inheritance.slices import InheritedShare, inherit
from nas.inheritance.sweep import calibrate
from search_spaces.genotype import CHANNEL_STEP
from search_spaces.network import Network, is_backbone_weight

View = tuple[tuple[int, int], int]  # resolution in pixels, output stride


@dataclass(frozen=True)
class PreparedDonor:
    """A donor whose leading channels matter most on the user's images.

    What it computes for a resolution and an output stride is kept, because many networks share both.

    Attributes:
        network: The donor's backbone, ordered, with a small head that means nothing.
        images: N,bands,H,W images in 0..1 of the user's.
    """

    network: Network
    images: tuple[Tensor, ...]
    _copies: dict[View, Network] = field(default_factory=dict, repr=False)
    _outputs: dict[View, dict[str, Tensor]] = field(default_factory=dict, repr=False)

    def at(self, like: Network) -> Network:
        """Makes the donor see the images as another network does.

        Args:
            like: The network.

        Returns:
            A copy at its resolution and output stride, with BN statistics of the images at that resolution. It is the
            same one each time, so it must not be changed.
        """
        view = like.genotype.resolution, like.genotype.output_stride
        if view not in self._copies:
            copy = backbone_copy(self.network, *view)
            calibrate(copy, image_windows(self.images, view[0]))
            self._copies[view] = copy
        return self._copies[view]

    def outputs(self, like: Network) -> dict[str, Tensor]:
        """Gives what the donor's blocks make of the images.

        Args:
            like: The network at whose resolution and output stride the donor sees them.

        Returns:
            P,C sampled pixels of the output of each block, by the output's name.
        """
        view = like.genotype.resolution, like.genotype.output_stride
        if view not in self._outputs:
            self._outputs[view] = sampled_outputs(self.at(like), image_windows(self.images, view[0]))
        return self._outputs[view]


def backbone_copy(donor: Network, resolution: tuple[int, int], output_stride: int) -> Network:
    """Copies the backbone of a network.

    The head is thrown away: that of the network it starts is new, and without it all residual streams can be turned.

    Args:
        donor: The network.
        resolution: The height and width in pixels at which the copy runs.
        output_stride: Its output stride. Past it, stride becomes atrous rate.

    Returns:
        A network of the space `deeplabv3` with the same backbone and the smallest head.
    """
    genotype = replace(
        donor.genotype,
        space="deeplabv3",
        resolution=resolution,
        output_stride=output_stride,
        aspp_1x1=True,
        aspp_rates=(),
        image_pooling=False,
        aspp_widths=(CHANNEL_STEP,),
        aspp_out=CHANNEL_STEP,
        low_level=0,
        decoder=(),
        separable=True,
    )
    copy = Network(genotype)
    state = {name: value for name, value in donor.state_dict().items() if is_backbone_weight(name)}
    copy.load_state_dict(state, strict=False)
    return copy.eval()


def prepare_donor(donor: Network, images: Sequence[Tensor]) -> PreparedDonor:
    """Fits the BN statistics of a donor to the user's images and orders its channels.

    Args:
        donor: The donor, which is left as it is.
        images: N,bands,H,W whole images in 0..1 of the user's, at the input size. 32 are enough.

    Returns:
        The donor, from which any number of networks may start.
    """
    height, width = images[0].shape[-2:]
    network = backbone_copy(donor, (height, width), donor.genotype.output_stride)
    windows = image_windows(images, (height, width))
    calibrate(network, windows)
    return PreparedDonor(ordered(network, windows), tuple(images))


def start_network(target: Network, prepared: PreparedDonor) -> InheritedShare:
    """Starts the backbone of a network from a donor: leading slices, then projections fitted to the donor's values.

    Args:
        target: The network, which is changed in place. Its mode stays as it is.
        prepared: The donor.

    Returns:
        How much of the backbone comes from the donor.

    Raises:
        InputError: The network has another kind of backbone.
    """
    was_training, device = target.training, next(target.parameters()).device
    donor = prepared.at(target)
    share = inherit(target.cpu(), donor)
    batches = image_windows(prepared.images, target.genotype.resolution)
    refit(target, donor.genotype.stages, prepared.outputs(target), batches)
    target.to(device).train(was_training)
    return share


def start_supernet(shared: Network, prepared: PreparedDonor) -> InheritedShare:
    """Starts the shared weights of a supernet from a donor, so that all its subnets are slices of the donor.

    Args:
        shared: The shared weights (`nas.supernet.Supernet.shared`), which are changed in place.
        prepared: The donor.

    Returns:
        How much of the backbone of the largest network comes from the donor.

    Raises:
        InputError: The networks have another kind of backbone.
    """
    return inherit(shared, prepared.at(shared), shared=True)
