"""Distillation between layers of a student and a teacher: nni's layerwise distillers as terms of `--loss`.

- `dynamic` is nni's DynamicLayerwiseDistiller. Each layer of the student learns from that layer of the teacher, of the
  same place, size and width, which is nearest to it at that step.
- `adaptive` is nni's Adaptive1dLayerwiseDistiller. Each layer learns from the last layer of the same place through a
  linear map of its channels. The map is trained too, so the widths may differ.

nni records the layers and computes the loss, the mean square of differences. Its own `compress`, which is a training
loop, is not called: `compress.training.loop` trains, and keeps the linear maps in its checkpoint.

Two private parts of nni are used, tried with nni 3.0: the method `_register_trans_linear` of the adaptive distiller,
which only `compress` would call, and the dictionary `trans_linears` that it fills. `tests/test_layer_distillation.py`
fails when they change.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.distillation.losses import LAYER_DISTILLERS
from compress.files.native_output import output_to
from compress.training.terms import match
from search_spaces.errors import InputError
from search_spaces.network import Network
from search_spaces.ops import CLASSIFIER, Graph, Op

PLACES = ("backbone", "aspp", "decoder")


class TappedNetwork(Network):
    """A network that passes some of its values to `taps`, modules that nni watches.

    A tap gets a value as N,h,w,C. With a `student` the value is first resized to the student's of the same place.

    Attributes:
        tapped: The name of the value that each tap gets.
        taps: The modules, which change nothing.
    """

    def __init__(
        self, network: Network, values: Mapping[str, Sequence[str]], student: "TappedNetwork | None" = None
    ) -> None:
        """Taps a network, with which it shares its layers.

        Args:
            network: The network.
            values: The names of the values of each place.
            student: The network whose values give the height and width.
        """
        super().__init__(network.genotype)
        self.layers = network.layers
        self.tapped = {f"{place}_{i}": name for place, names in values.items() for i, name in enumerate(names)}
        self.taps = nn.ModuleDict({tap: nn.Identity() for tap in self.tapped})
        self._student = [student] if student else []  # in a list: its layers are not layers of this network
        self._last: dict[str, Tensor] = {}

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Runs every op before the argmax, and passes values to the taps.

        Args:
            x: N,bands,H,W images in 0..1.

        Returns:
            The N,C,h,w output of each op, by name.
        """
        values = super().values(x)
        for tap, name in self.tapped.items():
            value = values[name].float()
            self._last[tap] = value.detach()
            for student in self._student:
                value = match(value, student._last[f"{tap.rpartition('_')[0]}_0"])
            self.taps[tap](value.permute(0, 2, 3, 1))
        return values


class LayerDistillation:
    """nni's loss between layers of a student and a teacher.

    Attributes:
        student: The student; its forward pass comes first.
        teacher: The teacher; its forward pass comes second.
        linears: The linear maps, which are trained with the student.
    """

    def __init__(
        self, kind: str, weight: float, places: Sequence[str], student: Network, teacher: Network, log: Path
    ) -> None:
        """Connects the layers.

        Args:
            kind: A key of LAYER_DISTILLERS.
            weight: Multiplies the loss.
            places: The places to compare, of PLACES.
            student: The student.
            teacher: The teacher.
            log: The file for what nni prints.

        Raises:
            InputError: nni is not installed, a network lacks a place, or the teacher has no layer that fits.
        """
        distillers = _import_nni(kind, log)
        ends = {place: (last_op(student.graph, place), last_op(teacher.graph, place)) for place in places}
        links = {
            place: same_width(teacher.graph, theirs, own, place) if kind == "dynamic" else [theirs.name]
            for place, (own, theirs) in ends.items()
        }
        self.student = TappedNetwork(student, {place: [own.name] for place, (own, _) in ends.items()})
        self.teacher = TappedNetwork(teacher, links, self.student)
        config = [
            {
                "op_names": [f"taps.{place}_0"],
                "target_names": ["_output_"],
                "lambda": weight,
                "link": [f"taps.{place}_{i}" for i in range(len(names))],
                "apply_method": "mse",
            }
            for place, names in links.items()
        ]
        distiller = getattr(distillers, LAYER_DISTILLERS[kind][0])
        self._distiller = distiller(self.student, config, None, self.teacher, lambda images, model: model(images))
        self.linears = nn.ModuleList(self._linear_maps() if kind == "adaptive" else [])

    def _linear_maps(self) -> list[nn.Module]:
        """The maps between layers of different widths; a blank image tells nni the widths."""
        self.student.eval()  # batch norm must learn nothing from a blank image
        self._distiller.track_forward(torch.zeros(1, self.student.genotype.bands, *self.student.genotype.resolution))
        self._distiller._register_trans_linear()
        maps = (linear for linears in self._distiller.trans_linears.values() for linear in linears.values())
        return [linear for linear in maps if linear is not None]

    def loss(self) -> Tensor:
        """The loss of the layers in the last forward passes.

        Returns:
            The loss.
        """
        loss: Tensor = self._distiller.compute_distill_loss()
        return loss


def _import_nni(kind: str, log: Path) -> Any:
    """nni's distillers; what they print on import goes to the log."""
    try:
        with output_to(log):
            return import_module("nni.compression.distillation")
    except ImportError as error:
        raise InputError(f'--loss {kind}: {error}; pip install "slimlab[nni]"') from error


def last_op(graph: Graph, place: str) -> Op:
    """Finds the op that makes the last value of a place.

    Args:
        graph: A network's ops.
        place: `backbone` (what ASPP reads), `aspp` (what it makes) or `decoder` (what the classifier reads).

    Returns:
        The op.

    Raises:
        InputError: The network lacks this place.
    """
    ops = {op.name: op for op in graph}
    names = {"decoder": ops[CLASSIFIER].inputs[0]}
    if "aspp.project" in ops:
        names |= {"backbone": ops["aspp.1x1"].inputs[0], "aspp": "aspp.project"}
    if place not in names:
        raise InputError(f"--features {place}: student and teacher must both have it; choose from {', '.join(names)}")
    return ops[names[place]]


def same_width(graph: Graph, theirs: Op, own: Op, place: str) -> list[str]:
    """Finds the teacher's values that a student's value may be compared with by `dynamic`.

    Args:
        graph: The teacher's ops.
        theirs: The teacher's op at the end of the place.
        own: The student's op at the end of the place.
        place: The place.

    Returns:
        The names of the values of the same part and size as `theirs` and as wide as `own`.

    Raises:
        InputError: There is no such value.
    """
    part, shape = theirs.name.partition(".")[0], (*theirs.shape[:2], own.shape[2])
    found = [op.name for op in graph if op.name.partition(".")[0] == part and op.shape == shape]
    if not found:
        raise InputError(
            f"--loss dynamic: the teacher's {place} has no layer of {own.shape[2]} channels, as the student's; "
            "take adaptive, or leave it out of --features"
        )
    return found


def parse_places(text: str) -> tuple[str, ...]:
    """Reads `--features`.

    Args:
        text: Places with commas between them, such as `backbone,aspp`.

    Returns:
        The places.

    Raises:
        InputError: A place is not one of PLACES.
    """
    places = tuple(part.strip() for part in text.split(","))
    for place in places:
        if place not in PLACES:
            raise InputError(f"--features {text}: {place!r} is none; choose from {', '.join(PLACES)}")
    return places
