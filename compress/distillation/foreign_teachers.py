"""Opens teachers that other programs wrote: TorchScript, exported programs, ONNX.

Each function returns a teacher: N,bands,h,w images in 0..1 to N,classes,h',w' logits, on the device of the images.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compress.distillation.exported_program import refuse_code
from search_spaces.errors import InputError

Program = Callable[[Tensor], Tensor]


def open_torchscript(path: Path, device: torch.device) -> Program:
    """Opens a TorchScript file.

    Args:
        path: The file.
        device: Where the program runs.

    Returns:
        The program in eval mode.

    Raises:
        InputError: The file cannot be loaded.
    """
    try:
        program = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:  # a damaged archive raises many kinds
        raise InputError(f"--teacher {path}: TorchScript that cannot be loaded; save it anew") from error
    program.eval()
    return lambda images: _logits(program(images))


def open_exported_program(path: Path, device: torch.device) -> Program:
    """Opens a file of `torch.export.save`.

    Args:
        path: The file.
        device: Where the program runs.

    Returns:
        The program.

    Raises:
        InputError: The file holds pickled objects or code, or this version of torch cannot load it.
    """
    try:
        refuse_code(path)
        module = torch.export.load(path).module().to(device)
    except InputError:
        raise
    except Exception as error:  # a damaged archive or one of another version raises many kinds
        raise InputError(
            f"--teacher {path}: an exported program that torch {torch.__version__} cannot load "
            f"({type(error).__name__}); export it anew"
        ) from error
    return lambda images: _logits(module(images))


def open_onnx(path: Path, device: torch.device) -> Program:
    """Opens an ONNX file with ONNX Runtime.

    Args:
        path: The file.
        device: Unused: ONNX Runtime runs on the CPU here.

    Returns:
        The program.

    Raises:
        InputError: ONNX Runtime cannot load the file.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
    except Exception as error:  # onnxruntime raises kinds of its own
        raise InputError(
            f"--teacher {path}: ONNX Runtime cannot load it ({type(error).__name__}); export it anew"
        ) from error

    def program(images: Tensor) -> Tensor:
        made = session.run(None, {name: np.ascontiguousarray(images.float().cpu().numpy())})[0]
        return torch.from_numpy(np.asarray(made)).to(images.device)

    return program


def _logits(made: object) -> Tensor:
    """The logits themselves, or the entry `out` of torchvision's segmentation models."""
    found = made["out"] if isinstance(made, dict) and "out" in made else made
    if not isinstance(found, Tensor):
        raise TypeError(f"gives {type(found).__name__}, not a tensor")
    return found
