"""A network takes leading slices of a donor's weights (OFA, Cai et al. 2020; BigNAS, Yu et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nas.inheritance.kernels import fit_kernel
from nas.inheritance.sweep import backbone_ops, layer_of
from search_spaces.errors import InputError
from search_spaces.network import ConvBNAct, Network
from search_spaces.ops import Op

OPEN_GATE = 3.0  # the bias before the sigmoid of a gate that the donor lacks: it starts at 0.95
QUIET_GATE = 0.1  # factor of the weights of such a gate


@dataclass(frozen=True)
class InheritedShare:
    """How much of a backbone comes from a donor.

    Attributes:
        taken: The number of weights that the donor gave.
        total: The number of weights of the convolutions of the backbone.
    """

    taken: int
    total: int

    @property
    def fraction(self) -> float:
        """The part of the weights that the donor gave (0..1)."""
        return self.taken / self.total


@torch.no_grad()
def inherit(target: Network, donor: Network, shared: bool = False) -> InheritedShare:
    """Copies leading slices of a donor's backbone into a network, in place. The donor should be `ordered`.

    What the donor lacks stays random, without a say in what it gives: weights from further channels are zero, further
    residual blocks have a BN scale of zero and so start as the identity, further squeeze-and-excitation gates are open.
    The head stays as it is.

    Args:
        target: The network. Its backbone has the donor's stages, or the first of them.
        donor: The donor.
        shared: Whether the weights are those of a supernet, whose subnets take the centre of each kernel. The centre
            is then always the donor's.

    Returns:
        How much was copied.

    Raises:
        InputError: The backbones are of different kinds: five stages with an expansion in every block, and seven.
    """
    _require_one_kind(target, donor)
    given = {op.name for op in backbone_ops(donor.graph) if op.has_weights}
    taken = total = 0
    for op in backbone_ops(target.graph):
        if not op.has_weights:
            continue
        layer = layer_of(target, op.name)
        total += layer.conv.weight.numel()
        if op.name in given:
            taken += _take_slices(op, layer, layer_of(donor, op.name))
        else:
            _start_silent(op, layer)
    return InheritedShare(taken, total)


def _require_one_kind(target: Network, donor: Network) -> None:
    first = "stage1.0.expand"
    expands = [any(op.name == first for op in network.graph) for network in (target, donor)]
    if expands[0] != expands[1]:
        raise InputError(
            f"genotype: a backbone of {len(target.genotype.stages)} stages whose first block "
            f"{'has an' if expands[0] else 'has no'} expansion cannot start from these weights; take --weights none"
        )


def _take_slices(op: Op, layer: ConvBNAct, given: ConvBNAct) -> int:
    weight = fit_kernel(given.conv.weight, op.kernel)
    own = layer.conv.weight
    rows, columns = (min(mine, theirs) for mine, theirs in zip(own.shape[:2], weight.shape[:2], strict=True))
    own[:rows] = 0
    own[:rows, :columns] = weight[:rows, :columns]
    theirs = given.state_dict()
    for name, tensor in layer.state_dict().items():
        if name != "conv.weight" and name in theirs and tensor.dim() == 1:
            tensor[:rows] = theirs[name][:rows]
    return rows * columns * min(op.kernel, given.conv.weight.shape[-1]) ** 2


def _start_silent(op: Op, layer: ConvBNAct) -> None:
    if op.name.endswith(".project") and not op.name.endswith(".0.project"):
        _zero(layer.bn.get_parameter("weight"), layer.bn.get_parameter("bias"))
    elif op.name.endswith(".excite"):
        assert layer.conv.bias is not None
        layer.conv.weight.mul_(QUIET_GATE)
        layer.conv.bias.fill_(OPEN_GATE)


def _zero(*tensors: Tensor) -> None:
    for tensor in tensors:
        tensor.zero_()
