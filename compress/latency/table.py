"""A latency lookup table: measured milliseconds per op, and the few coefficients that join ops to networks.

Ops fall into families: everything but the channels (kind, kernel, stride, atrous rate, image sizes), and the curves
their channels lie on. A family holds measured points on a grid of channels; between them the look-up is linear (in two
dimensions for a convolution), outside it there is none: an op that is not covered is named, never guessed.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan
from typing import Any

from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP
from search_spaces.ops import CONV, DEPTHWISE, MUL, Graph, Op

VERSION = 4
GROUPS = (CONV, DEPTHWISE, "other")  # ops that share a coefficient
BYTES = {"int8": 1, "float32": 4}  # of one channel of one pixel
BLOCK = 16  # output channels that most convolution kernels make at a time
PAGE_BYTES = 4096  # what lies multiples of a page, or half of one, apart competes for the same places of the caches


def sides(op: Op) -> tuple[int, ...]:
    """The channels that say how much work the op is: (in, out) of a convolution, of others those it makes (argmax:
    those it reads)."""
    if op.kind == CONV:
        return (op.in_shapes[0][2], op.shape[2])
    return (max(op.shape[2], op.in_shapes[0][2]),)


def curves(op: Op, precision: str) -> tuple[str, ...]:
    """For each of `sides`, the curve its channels lie on: latency is smooth in the channels of one curve, and jumps by
    up to 150 % from one to another (`docs/latency.md`)."""
    if op.kind == CONV:
        pixel = op.in_shapes[0][2] * BYTES[precision]
        return ("aliased" if pixel % (PAGE_BYTES // 2) == 0 else "", "half" if op.shape[2] % BLOCK else "")
    if op.kind == DEPTHWISE:
        _, width, depth = op.in_shapes[0]
        row = width * depth * op.dilation * BYTES[precision]
        return ("aliased" if row % PAGE_BYTES == 0 else "",)
    return ("",)


def family(op: Op, precision: str) -> str:
    """The op's spelling without its channels, except those that are no multiple of 8: the image's 3 and, often, the
    classes. They are the same in every network, so nothing is interpolated between them."""
    (h, w, _), (oh, ow, _) = op.in_shapes[0], op.shape
    work = f"_k{op.kernel}_s{op.stride}_d{op.dilation}" if op.has_weights else ""
    work += "_gate" if op.kind == MUL and op.in_shapes[1][:2] == (1, 1) else ""
    fixed = "".join(f"_{name}{c}" for name, c in zip(("c", "out"), sides(op), strict=False) if c % CHANNEL_STEP)
    lies = "".join(f"_{name}" for name in curves(op, precision) if name)
    return f"{op.kind}{work}_{h}x{w}_{oh}x{ow}{fixed}{lies}"


def channels(op: Op) -> tuple[int, ...]:
    """The op's place on its family's grid."""
    return tuple(c for c in sides(op) if c % CHANNEL_STEP == 0)


def group(op: Op) -> str:
    return op.kind if op.has_weights else GROUPS[-1]


@dataclass(frozen=True)
class Family:
    """Measured ms of one family over the product of its axes (0 to 2, ascending channels), row by row; NaN where
    no network of the space has an op. `spread` is that of the runs: 90th less 10th percentile over the median."""

    axes: tuple[tuple[int, ...], ...]
    ms: tuple[float, ...]
    spread: tuple[float, ...] = ()

    def look_up(self, at: tuple[int, ...]) -> float | None:
        """Linear between the nearest measured points; None outside them."""
        places = [_place(axis, value) for axis, value in zip(self.axes, at, strict=True)]
        if any(place is None for place in places):
            return None
        values = {0: 1.0}  # index into ms -> weight
        for axis, place in zip(self.axes, places, strict=True):
            low, high, share = place or (0, 0, 0.0)
            parts = ((low, 1 - share), (high, share)) if share else ((low, 1.0),)
            values = {i * len(axis) + at: weight * part for i, weight in values.items() for at, part in parts}
        found = sum(self.ms[i] * weight for i, weight in values.items())
        return None if isnan(found) else found


def _place(axis: tuple[int, ...], value: int) -> tuple[int, int, float] | None:
    """Indices of the points around a value and how far it is from the first to the second."""
    if not axis[0] <= value <= axis[-1]:
        return None
    high = min(bisect_right(axis, value), len(axis) - 1)
    low = max(0, high - 1)
    if value == axis[high]:
        return high, high, 0.0
    return low, high, (value - axis[low]) / (axis[high] - axis[low])


@dataclass(frozen=True)
class LatencyTable:
    """`made_for` says what it holds true of (space, target, device, runtime, threads, precision, input_size);
    `coefficients` are `intercept` (ms) and one factor for each of GROUPS; `residuals` are relative errors on
    networks that were not fitted."""

    made_for: Mapping[str, Any]
    families: Mapping[str, Family]
    coefficients: Mapping[str, float]
    residuals: Mapping[str, float]
    provenance: Mapping[str, Any]

    def op_ms(self, op: Op) -> float:
        """Milliseconds of one op alone. Raises InputError that names an op the table does not cover."""
        known = self.families.get(family(op, self.made_for["precision"]))
        found = known.look_up(channels(op)) if known else None
        if found is None:
            raise InputError(f"the latency table has no entry for {op.key}; build one with this --space, --input-size")
        return found

    def group_ms(self, graph: Graph) -> dict[str, float]:
        """Sums of ops measured alone, by group."""
        sums = dict.fromkeys(GROUPS, 0.0)
        for op in graph:
            priced = self._cache.get(op.work)
            if priced is None:
                priced = self._cache[op.work] = (group(op), self.op_ms(op))
            name, ms = priced
            sums[name] += ms
        return sums

    def predict(self, graph: Graph) -> float:
        """Milliseconds of a whole network. Raises InputError that names an op the table does not cover."""
        sums = self.group_ms(graph)
        return self.coefficients["intercept"] + sum(self.coefficients[g] * ms for g, ms in sums.items())

    @cached_property
    def _cache(self) -> dict[object, tuple[str, float]]:
        return {}

    def to_json(self) -> str:
        """With a checksum, so that a truncated or edited file is noticed."""
        body = {
            "version": VERSION,
            "made_for": dict(self.made_for),
            "provenance": dict(self.provenance),
            "coefficients": dict(self.coefficients),
            "residuals": dict(self.residuals),
            "families": {
                name: {"channels": f.axes, "ms": _nulls(f.ms), "spread": _nulls(f.spread)}
                for name, f in self.families.items()
            },
        }
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, name: str) -> "LatencyTable":
        """Raises InputError, naming the file, for anything that `to_json` did not write."""
        remedy = "build it again with python -m nas.latency build"
        try:
            body = json.loads(text)
            checksum = body.pop("checksum")
            if body["version"] != VERSION:
                raise InputError(f"{name}: a table of version {body['version']}, this is {VERSION}; {remedy}")
            if checksum != _checksum(body):
                raise InputError(f"{name}: its checksum does not fit its content (edited or damaged); {remedy}")
            families = {
                key: Family(
                    tuple(tuple(axis) for axis in value["channels"]),
                    _nans(value["ms"]),
                    _nans(value["spread"]),
                )
                for key, value in body["families"].items()
            }
            return LatencyTable(body["made_for"], families, body["coefficients"], body["residuals"], body["provenance"])
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{name}: not a latency table ({type(error).__name__}: {error}); {remedy}") from error


def _nulls(values: tuple[float, ...]) -> list[float | None]:
    return [None if isnan(value) else value for value in values]


def _nans(values: list[float | None]) -> tuple[float, ...]:
    return tuple(nan if value is None else float(value) for value in values)


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
