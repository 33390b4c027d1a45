"""Opens a teacher: a network of a run, or a file of the user's own.

A teacher is a function of images to logits. Its file is one of:
- a network.pt of any run,
- TorchScript,
- an exported program (.pt2),
- ONNX.

A file of the user's own takes N,bands,H,W images in 0..1 of any N, H and W, normalizes them itself, and gives
N,classes,h,w logits in the data set's order of classes. TorchScript and exported programs are programs: users should
name only files they made or trust. Files that hold pickled Python objects or compiled code are refused.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from compress.data.resizing import at_scale
from compress.distillation.foreign_teachers import open_exported_program, open_onnx, open_torchscript
from compress.files.tensors import load_network
from search_spaces.errors import InputError
from search_spaces.network import Network
from search_spaces.ops import RGB_BANDS

Teacher = Callable[[Tensor], Tensor]  # N,bands,h,w crops at the scale of the input size to N,classes,h',w' logits
TEACHER_FILES = "a network.pt of a run, TorchScript, an exported program (.pt2) or ONNX"
FOREIGN_OPENERS: dict[str, Callable[[Path, torch.device], Teacher]] = {
    "torchscript": open_torchscript,
    "exported program": open_exported_program,
    "onnx": open_onnx,
}


@dataclass(frozen=True)
class OwnTeacher:
    """A network of a search space as a teacher; it sees crops at the scale of its own resolution.

    Attributes:
        network: The teacher, in eval mode on the training device.
        input_size: The run's input size (H, W) in pixels.
    """

    network: Network
    input_size: tuple[int, int]

    def __call__(self, images: Tensor) -> Tensor:
        """The teacher's logits.

        Args:
            images: N,bands,h,w crops in 0..1 at the scale of the input size.

        Returns:
            N,classes,h',w' logits.
        """
        logits: Tensor = self.network(at_scale(images, self.network.genotype.resolution, self.input_size))
        return logits


def own_teacher(network: Network, input_size: tuple[int, int], device: torch.device) -> OwnTeacher:
    """Makes a teacher of a network.

    Args:
        network: The network; it is moved to `device` and set to eval mode.
        input_size: The run's input size (H, W) in pixels.
        device: The training device.

    Returns:
        The teacher.
    """
    return OwnTeacher(network.to(device).eval(), input_size)


def open_teacher(
    path: Path,
    classes: int,
    input_size: tuple[int, int],
    crop: int,
    device: torch.device,
    bands: int = RGB_BANDS,
) -> Teacher:
    """Opens a teacher's file and tries it on two blank crops.

    Args:
        path: The teacher's file.
        classes: The number of classes of the data.
        input_size: The run's input size (H, W) in pixels.
        crop: Side of the training crops in pixels.
        device: The training device.
        bands: The number of bands of the images.

    Returns:
        The teacher.

    Raises:
        InputError: The file is missing, damaged or of another kind, it runs code when loaded, or it gives no logits of
            these classes.
    """
    kind = file_kind(path)
    opener = FOREIGN_OPENERS.get(kind)
    teacher: Teacher = opener(path, device) if opener else own_teacher(_load(path), input_size, device)
    try:
        with torch.no_grad():
            logits = teacher(torch.zeros(2, bands, crop, crop, device=device))
    except Exception as error:  # whatever a foreign program raises
        what = " ".join(str(error).split())[:200]
        raise InputError(
            f"--teacher {path}: fails on 2,{bands},{crop},{crop} images ({type(error).__name__}: {what}); "
            f"export it for images N,{bands},H,W of any N, H and W"
        ) from error
    shape = tuple(logits.shape)
    if len(shape) != 4 or shape[:2] != (2, classes) or not logits.is_floating_point():
        raise InputError(
            f"--teacher {path}: gives {str(logits.dtype).removeprefix('torch.')} {shape} for 2 images, not float "
            f"logits (2, {classes}, h, w); a teacher has the data's {classes} classes and ends before the argmax"
        )
    return teacher


def _load(path: Path) -> Network:
    """A network of a run; a teacher that is none is refused, but the user need not delete it."""
    try:
        return load_network(path)
    except InputError as error:
        first: BaseException = error
        while isinstance(first.__cause__, InputError):
            first = first.__cause__
        reason = str(first).removeprefix(str(path)).rpartition(";")[0].lstrip(": ")
        raise InputError(
            f"--teacher {path}: not a network of this version: it {reason}; give {TEACHER_FILES}"
        ) from error


def file_kind(path: Path) -> str:
    """Tells what kind of teacher a file is, by its ending or by the names in its archive.

    Args:
        path: The file.

    Returns:
        `network` or a key of FOREIGN_OPENERS.

    Raises:
        InputError: The file is of no such kind.
    """
    if path.suffix == ".onnx":
        return "onnx"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                inside = [name.partition("/")[2] for name in archive.namelist()]
        except (zipfile.BadZipFile, OSError, ValueError) as error:  # ValueError: names that are not text
            raise InputError(f"--teacher {path}: a damaged archive ({error}); save it anew") from error
        if any(name.startswith("code/") for name in inside):
            return "torchscript"
        if any(name.startswith("models/") for name in inside):
            return "exported program"
        if "data.pkl" in inside:
            return "network"
    raise InputError(f"--teacher {path}: no kind of file that can teach; give {TEACHER_FILES}")
