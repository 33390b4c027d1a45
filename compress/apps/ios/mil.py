"""Runs the program inside a Core ML package with torch.

Core ML itself predicts on Apple's systems alone. This interpreter knows the ops that our networks become. Their meaning
is that of the MIL reference (apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from compress.apps.ios.packages import import_coremltools
from search_spaces.errors import InputError

Inputs = Mapping[str, Any]  # of an op, by name: tensors, numbers, texts


class MilProgram:
    """The main function of a package."""

    def __init__(self, package: Path) -> None:
        """Reads a package.

        Args:
            package: the .mlpackage folder.

        Raises:
            InputError: coremltools is not installed.
        """
        coremltools = import_coremltools()
        from coremltools.converters.mil.frontend.milproto.load import load

        model = coremltools.models.MLModel(str(package), skip_model_load=True)
        spec = model.get_spec()
        version = spec.specificationVersion
        program = load(spec, specification_version=version, file_weights_dir=model.weights_dir)
        self.function = program.functions["main"]

    @torch.inference_mode()
    def class_map(self, image: np.ndarray) -> np.ndarray:
        """Runs the program.

        Args:
            image: h,w,3 bytes, RGB, of the model's resolution.

        Returns:
            Class indices h',w'.

        Raises:
            InputError: the program has an op that this interpreter does not know.
        """
        (given,) = self.function.inputs
        values: dict[str, Any] = {given: torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))}
        for op in self.function.operations:
            if op.op_type == "const":
                continue
            if op.op_type not in MIL_OPS:
                raise InputError(f"the Core ML program has an op {op.op_type} that cannot be checked here; report this")
            inputs = {name: _value(given, values) for name, given in op.inputs.items()}
            values[op.outputs[0].name] = MIL_OPS[op.op_type](inputs)
        found = values[self.function.outputs[0].name]
        return np.asarray(found.squeeze().numpy())


def _value(given: Any, values: Mapping[str, Any]) -> Any:
    """What an op reads: a constant as a tensor, number or text, or a value of an op before it."""
    if given is None:
        return None
    if isinstance(given, (list, tuple)):
        return [_value(one, values) for one in given]
    if given.val is None:
        return values[given.name]
    constant = given.val
    return torch.from_numpy(constant.copy()) if isinstance(constant, np.ndarray) else constant


def _tensor(x: Any) -> Tensor:
    return x.float() if isinstance(x, Tensor) else torch.tensor(float(x))


def _numbers(x: Any) -> list[int]:
    return [int(n) for n in x]


def _along(x: Any, axis: int, dimensions: int) -> Tensor:
    """A scale or zero point of each channel, shaped to be broadcast; a single one as it is."""
    values = _tensor(x)
    return values if values.ndim == 0 else values.reshape([-1 if i == axis else 1 for i in range(dimensions)])


def _cast(op: Inputs) -> Tensor:
    x = op["x"] if isinstance(op["x"], Tensor) else torch.tensor(op["x"])
    if op["dtype"] == "fp16":
        return x.half().float()  # rounded as the device rounds it
    return x.to(torch.int32) if op["dtype"].startswith(("int", "uint")) else x.float()


def _pad(op: Inputs) -> Tensor:
    top, bottom, left, right = _numbers(op["pad"])[-4:]
    return F.pad(_tensor(op["x"]), (left, right, top, bottom))


def _conv(op: Inputs) -> Tensor:
    x = _tensor(op["x"])
    if op.get("pad_type") == "custom":
        top, bottom, left, right = _numbers(op["pad"])
        x = F.pad(x, (left, right, top, bottom))
    bias = None if op.get("bias") is None else _tensor(op["bias"])
    strides = _numbers(op["strides"]) if op.get("strides") is not None else [1, 1]
    dilations = _numbers(op["dilations"]) if op.get("dilations") is not None else [1, 1]
    return F.conv2d(x, _tensor(op["weight"]), bias, strides, 0, dilations, int(op.get("groups") or 1))


def _upsample(op: Inputs) -> Tensor:
    x = _tensor(op["x"])
    factors = float(op["scale_factor_height"]), float(op["scale_factor_width"])
    height, width = (round(side * factor) for side, factor in zip(x.shape[2:], factors, strict=True))
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=bool(op["align_corners"]))


def _quantize(op: Inputs) -> Tensor:
    x = _tensor(op["input"])
    axis = int(op["axis"]) if op.get("axis") is not None else 0
    zero = _along(op["zero_point"], axis, x.ndim) if op.get("zero_point") is not None else 0
    low, high = (-128, 127) if op["output_dtype"] == "int8" else (0, 255)
    return (torch.round(x / _along(op["scale"], axis, x.ndim)) + zero).clamp(low, high)


def _dequantize(op: Inputs, value: str = "input") -> Tensor:
    x = _tensor(op[value])
    axis = int(op["axis"]) if op.get("axis") is not None else 0
    zero = _along(op["zero_point"], axis, x.ndim) if op.get("zero_point") is not None else 0
    return (x - zero) * _along(op["scale"], axis, x.ndim)


MIL_OPS: dict[str, Callable[[Inputs], Any]] = {
    "identity": lambda op: op["x"],
    "cast": _cast,
    "add": lambda op: _tensor(op["x"]) + _tensor(op["y"]),
    "mul": lambda op: _tensor(op["x"]) * _tensor(op["y"]),
    "pad": _pad,
    "conv": _conv,
    "relu6": lambda op: F.relu6(_tensor(op["x"])),
    "clip": lambda op: _tensor(op["x"]).clamp(float(op["alpha"]), float(op["beta"])),
    "sigmoid": lambda op: torch.sigmoid(_tensor(op["x"])),
    "reduce_mean": lambda op: _tensor(op["x"]).mean(_numbers(op["axes"]), keepdim=bool(op["keep_dims"])),
    "concat": lambda op: torch.cat([_tensor(x) for x in op["values"]], int(op["axis"])),
    "upsample_bilinear": _upsample,
    "reduce_argmax": lambda op: _tensor(op["x"]).argmax(int(op["axis"]), keepdim=bool(op["keep_dims"])).int(),
    "quantize": _quantize,
    "dequantize": _dequantize,
    "constexpr_affine_dequantize": lambda op: _dequantize(op, "quantized_data"),
}
