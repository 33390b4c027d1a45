"""Distillation between layers of a student and a teacher of ours: nni's layerwise distillers as terms of `--loss`.

dynamic is nni's DynamicLayerwiseDistiller: each layer learns from that one of the teacher's layers of the same place,
size and width to which it is nearest, step by step. adaptive is its Adaptive1dLayerwiseDistiller: each learns from the
last layer of the same place through a linear map of its channels, which learns with it, so widths may differ.
nni's own `compress` is a training loop; here nni records the layers and computes the loss (the mean square of
differences), and `compress.training.loop` trains, keeping the linear maps in its checkpoint.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from compress.distillation.losses import LAYER_DISTILLERS
from compress.files.native_output import output_to
from compress.training.terms import match
from search_spaces.errors import InputError
from search_spaces.network import Network
from search_spaces.ops import CLASSIFIER, Graph, Op

PLACES = ("backbone", "aspp", "decoder")


class Tapped(Network):
    """The network itself, which shows values to `taps` as it runs: N,h,w,C, and with `like` at the height and width
    of that one's tap of the same place."""

    def __init__(self, network: Network, shown: Mapping[str, Sequence[str]], like: "Tapped | None" = None) -> None:
        super().__init__(network.genotype)
        self.layers = network.layers
        self.shown = {f"{place}_{i}": value for place, values in shown.items() for i, value in enumerate(values)}
        self.taps = nn.ModuleDict({tap: nn.Identity() for tap in self.shown})
        self.like = [like] if like else []  # in a list: its layers are none of this one's
        self.seen: dict[str, Tensor] = {}

    def values(self, x: Tensor) -> dict[str, Tensor]:
        values = super().values(x)
        for tap, name in self.shown.items():
            value = values[name].float()
            self.seen[tap] = value.detach()
            for other in self.like:
                value = match(value, other.seen[place_of(tap) + "_0"])
            self.taps[tap](value.permute(0, 2, 3, 1))
        return values


class Features:
    """nni's loss between `student` and `teacher`, once both have run; `linears` are what trains beside the student."""

    def __init__(
        self, kind: str, weight: float, places: Sequence[str], student: Network, teacher: Network, log: Path
    ) -> None:
        try:
            with output_to(log):
                distillation = import_module("nni.compression.distillation")
        except ImportError as error:
            raise InputError(f'--loss {kind}: {error}; pip install "slimlab[nni]"') from error
        ends = {place: (end(student.graph, place), end(teacher.graph, place)) for place in places}
        links = {
            place: alike(teacher.graph, theirs, own, place) if kind == "dynamic" else [theirs.name]
            for place, (own, theirs) in ends.items()
        }
        self.student = Tapped(student, {place: [own.name] for place, (own, _) in ends.items()})
        self.teacher = Tapped(teacher, links, like=self.student)
        taught = [
            {
                "op_names": [f"taps.{place}_0"],
                "target_names": ["_output_"],
                "lambda": weight,
                "link": [f"taps.{place}_{i}" for i in range(len(found))],
                "apply_method": "mse",
            }
            for place, found in links.items()
        ]
        distiller = getattr(distillation, LAYER_DISTILLERS[kind][0])
        self.distiller = distiller(self.student, taught, None, self.teacher, lambda images, model: model(images))
        self.linears = nn.ModuleList()
        if kind == "adaptive":
            self.student.eval()  # batch norm must learn nothing from a blank image
            self.distiller.track_forward(torch.zeros(1, 3, *student.genotype.resolution))
            self.distiller._register_trans_linear()  # nni's `compress` would, and then train
            made = (linear for linears in self.distiller.trans_linears.values() for linear in linears.values())
            self.linears.extend(linear for linear in made if linear is not None)

    def loss(self) -> Tensor:
        """Of the layers that the last forward passes left behind; the student's pass comes first, then the
        teacher's."""
        found: Tensor = self.distiller.compute_distill_loss()
        return found


def place_of(tap: str) -> str:
    return tap.rpartition("_")[0]


def end(graph: Graph, place: str) -> Op:
    """The op that makes the last value of a place: what the ASPP reads, what it makes, what the classifier reads.

    Raises InputError for a place that the network lacks.
    """
    ops = {op.name: op for op in graph}
    names = {"decoder": ops[CLASSIFIER].inputs[0]}
    if "aspp.project" in ops:
        names |= {"backbone": ops["aspp.1x1"].inputs[0], "aspp": "aspp.project"}
    if place not in names:
        raise InputError(f"--features {place}: student and teacher must both have it; choose from {', '.join(names)}")
    return ops[names[place]]


def alike(graph: Graph, theirs: Op, own: Op, place: str) -> list[str]:
    """Values of the teacher's that the student's `own` may be nearest to: of the same part as `theirs`, as large as
    that and as wide as `own`. Raises InputError where there is none."""
    part, shape = theirs.name.partition(".")[0], (*theirs.shape[:2], own.shape[2])
    found = [op.name for op in graph if op.name.partition(".")[0] == part and op.shape == shape]
    if not found:
        raise InputError(
            f"--loss dynamic: the teacher's {place} has no layer of {own.shape[2]} channels, as the student's; "
            "take adaptive, or leave it out of --features"
        )
    return found


def parse_places(text: str) -> tuple[str, ...]:
    """`backbone,aspp`. Raises InputError for a place that is none."""
    places = tuple(part.strip() for part in text.split(","))
    for place in places:
        if place not in PLACES:
            raise InputError(f"--features {text}: {place!r} is none; choose from {', '.join(PLACES)}")
    return places
