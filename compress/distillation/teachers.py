"""Who teaches: a network of the run, or the user's own file, all behind one function.

train          the network that was pruned (default)
largest        the largest network of the search, RUN/search/teacher.pt
FILE           a network.pt of any run, TorchScript, an exported program (.pt2), or ONNX

A foreign file takes N,3,H,W images in 0..1 of any N, H, W (it normalizes inside) and gives N,classes,h,w logits in the
data set's class order. TorchScript and exported programs are programs: name only files you made or trust. Those that
hold pickled Python objects or compiled code are refused.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compress.data.resizing import at_scale
from compress.distillation.features import Features
from compress.files.atomic import digest
from compress.files.tensors import load_network
from compress.stages.run import Run
from search_spaces.errors import InputError
from search_spaces.network import Network

Teacher = Callable[[Tensor], Tensor]  # N,3,h,w crops at the scale of the input size to N,classes,h',w' logits
KINDS = "a network.pt of a run, TorchScript, an exported program (.pt2) or ONNX"
SHAPE = re.compile(r"(?:[\w +\-*/(),<>=]|'\w*')*")  # what an exported program's shape expressions consist of
CALL = re.compile(r"\b[a-z]\w*\s*\(")  # of a function; sympy's classes are capitalized


@dataclass(frozen=True)
class Teaching:
    """A teacher, the weight of each term of logits (`DISTILLATION_TERMS`), what names both, and the layers to compare
    beside the logits."""

    teacher: Teacher
    terms: Mapping[str, float]
    spelling: str
    features: Features | None = None


@dataclass(frozen=True)
class OwnTeacher:
    """A network of ours, which sees crops at its own resolution."""

    network: Network
    input_size: tuple[int, int]

    def __call__(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(at_scale(images, self.network.genotype.resolution, self.input_size))
        return logits


def open_teacher(run: Run, spelling: str) -> tuple[Teacher, str]:
    """The teacher that `--teacher` names and the digest of its file.

    Raises InputError for a file that is missing, is none of the kinds, or gives no logits of the run's classes.
    """
    path = {"train": run.made("train"), "largest": run.path / "search" / "teacher.pt"}.get(spelling, Path(spelling))
    if not path.is_file():
        raise InputError(f"--teacher {spelling}: there is no file {path}; give train, largest or {KINDS}")
    teacher = KIND_OPENERS[file_kind(path)](run, path)
    crop = run.settings.schedules.distill.crop
    try:
        with torch.no_grad():
            logits = teacher(torch.zeros(2, 3, crop, crop, device=run.device))
    except Exception as error:  # whatever a foreign program raises
        what = " ".join(str(error).split())[:200]
        raise InputError(
            f"--teacher {path}: fails on 2,3,{crop},{crop} images ({type(error).__name__}: {what}); "
            "export it for images N,3,H,W of any N, H and W"
        ) from error
    classes = len(run.data.classes)
    shape = tuple(logits.shape)
    if len(shape) != 4 or shape[:2] != (2, classes) or not logits.is_floating_point():
        raise InputError(
            f"--teacher {path}: gives {str(logits.dtype).removeprefix('torch.')} {shape} for 2 images, not float "
            f"logits (2, {classes}, h, w); a teacher has the data's {classes} classes and ends before the argmax"
        )
    return teacher, digest(path)


def file_kind(path: Path) -> str:
    """A key of KIND_OPENERS. Raises InputError for any other file."""
    if path.suffix == ".onnx":
        return "onnx"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
        if any(name.startswith("code/") for name in inside):
            return "torchscript"
        if any(name.startswith("models/") for name in inside):
            return "exported program"
        if "data.pkl" in inside:
            return "network"
    raise InputError(f"--teacher {path}: no kind of file that can teach; give {KINDS}")


def as_teacher(run: Run, network: Network) -> OwnTeacher:
    return OwnTeacher(network.to(run.device).eval(), run.settings.input_size)


def _open_torchscript(run: Run, path: Path) -> Teacher:
    try:
        program = torch.jit.load(path, map_location=run.device)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise InputError(f"--teacher {path}: TorchScript that cannot be loaded; save it anew") from error
    program.eval()
    return lambda images: _tensor(program(images))


def _open_exported(run: Run, path: Path) -> Teacher:
    _refuse_code(path)
    try:
        module = torch.export.load(path).module().to(run.device)
    except Exception as error:  # torch.export raises many kinds for a damaged or older file
        raise InputError(
            f"--teacher {path}: an exported program that torch {torch.__version__} cannot load "
            f"({type(error).__name__}); export it anew"
        ) from error
    return lambda images: _tensor(module(images))


def _refuse_code(path: Path) -> None:
    """Raises InputError for an exported program whose loading would unpickle objects or run code: pickled weights,
    constants or sample inputs, compiled parts, shape expressions (torch evaluates them) that call more than sympy's
    classes."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = name.partition("/")[2]
            if inside.startswith("data/aotinductor/") or _holds_code(inside, archive.read(name)):
                raise InputError(f"--teacher {path}: {inside} holds code or pickled objects; export plain tensors only")


def _holds_code(name: str, content: bytes) -> bool:
    if name.startswith("data/sample_inputs/") and content:
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # torch.load raises many kinds
            return True
    if name.endswith("_config.json"):
        return any(payload.get("use_pickle", True) for payload in json.loads(content)["config"].values())
    expressions: list[str] = []
    if name.startswith("models/"):
        json.loads(content, object_hook=lambda value: expressions.append(str(value.get("expr_str", ""))))
    return any("__" in text or not SHAPE.fullmatch(text) or CALL.search(text) for text in expressions)


def _open_onnx(run: Run, path: Path) -> Teacher:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own
        raise InputError(f"--teacher {path}: ONNX Runtime cannot load it ({type(error).__name__})") from error
    name = session.get_inputs()[0].name

    def teacher(images: Tensor) -> Tensor:
        made = session.run(None, {name: np.ascontiguousarray(images.float().cpu().numpy())})[0]
        return torch.from_numpy(np.asarray(made)).to(images.device)

    return teacher


def _tensor(made: object) -> Tensor:
    """The logits themselves, or the entry `out` of torchvision's segmentation models."""
    found = made["out"] if isinstance(made, dict) and "out" in made else made
    if not isinstance(found, Tensor):
        raise TypeError(f"gives {type(found).__name__}, not a tensor")
    return found


KIND_OPENERS: dict[str, Callable[[Run, Path], Teacher]] = {
    "network": lambda run, path: as_teacher(run, load_network(path)),
    "torchscript": _open_torchscript,
    "exported program": _open_exported,
    "onnx": _open_onnx,
}
