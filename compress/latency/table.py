"""A latency lookup table: measured milliseconds of single ops, and the coefficients that join ops to networks.

An op is looked up in its family (`compress.latency.families`). An op that the table does not cover is named, never
guessed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite, isnan, nan, prod
from pathlib import Path
from typing import Any

from compress.files.records import parse_json, read_content
from compress.latency.energy import EnergyFit
from compress.latency.families import BYTES, Family, family, grid_point
from compress.latency.latency_model import Price
from search_spaces.backbone import OLDER_BACKBONE
from search_spaces.errors import InputError
from search_spaces.ops import CONV, DEPTHWISE, Graph, Op

VERSION = 5  # of the file
READABLE = (4, 5)  # version 4 has the calibration among its provenance
SURVEY_DRAWS = 1500  # random networks that a search prices before it starts
GROUPS = (CONV, DEPTHWISE, "other")  # ops of a group share a coefficient


def group(op: Op) -> str:
    """The group of GROUPS whose coefficient counts for an op.

    Args:
        op: One op of a graph.

    Returns:
        One of GROUPS.
    """
    return op.kind if op.has_weights else GROUPS[-1]


@dataclass(frozen=True)
class Calibration:
    """The speed of the device when the table was built. Later measurements refer to it.

    Attributes:
        reference_ms: Undisturbed time of the reference, in ms (`compress.latency.timing`).
        control_networks_ms: Geometric mean time of the control networks, in ms (`compress.latency.networks`).
    """

    reference_ms: float
    control_networks_ms: float


@dataclass(frozen=True)
class LatencyTable:
    """Predicts how long a network takes on one device.

    Attributes:
        made_for: What the table holds true of: space, backbone, classes, input_size, precision, target, threads,
            runtime and processor.
        families: The measured points of each family, by its name.
        coefficients: `intercept` in ms, and one factor for each of GROUPS.
        residuals: Relative errors of predictions on networks that were not fitted.
        calibration: The speed of the device when the table was built.
        provenance: How the table was made. Nothing is computed from it.
        energy: How the sums over ops join to energy; None where it was not measured.
    """

    made_for: Mapping[str, Any]
    families: Mapping[str, Family]
    coefficients: Mapping[str, float]
    residuals: Mapping[str, float]
    calibration: Calibration
    provenance: Mapping[str, Any]
    energy: EnergyFit | None = None

    @property
    def backbone(self) -> str:
        """The backbone of the networks that the table covers; tables of older versions do not name theirs."""
        return str(self.made_for.get("backbone", OLDER_BACKBONE))

    def op_ms(self, op: Op) -> float:
        """Latency of one op alone.

        Args:
            op: One op of a graph.

        Returns:
            Milliseconds.

        Raises:
            InputError: The table does not cover the op, which is named.
        """
        known = self.families.get(family(op, self.made_for["precision"]))
        found = known.look_up(grid_point(op)) if known else None
        if found is None:
            raise InputError(f"the latency table has no entry for {op.key}; build one with this --space, --input-size")
        return found

    def group_ms(self, graph: Graph) -> dict[str, float]:
        """Sums over the ops of a network, each as measured alone.

        Args:
            graph: The ops of a network.

        Returns:
            Milliseconds for each of GROUPS.

        Raises:
            InputError: The table does not cover an op, which is named.
        """
        sums = dict.fromkeys(GROUPS, 0.0)
        for op in graph:
            priced = self._cache.get(op.work)
            if priced is None:
                priced = self._cache[op.work] = (group(op), self.op_ms(op))
            name, ms = priced
            sums[name] += ms
        return sums

    def join(self, group_ms: Mapping[str, float]) -> float:
        """Latency of a whole network from the sums over its ops.

        Args:
            group_ms: Milliseconds for each of GROUPS, see `group_ms`.

        Returns:
            Milliseconds.
        """
        return _joined(self.coefficients, group_ms)

    @property
    def survey_draws(self) -> int:
        """How many random networks a search prices before it starts."""
        return SURVEY_DRAWS

    def price(self, graph: Graph) -> Price:
        """What a network costs.

        Args:
            graph: The ops of the network.

        Returns:
            Its latency, and its energy where that was measured.

        Raises:
            InputError: The table does not cover an op, which is named.
        """
        sums = self.group_ms(graph)
        mj = None if self.energy is None else _joined(self.energy.coefficients, sums)
        return Price(self.join(sums), energy_mj=mj)

    def prices(self, graphs: Sequence[Graph]) -> list[Price]:
        """What many networks cost.

        Args:
            graphs: The ops of each network.

        Returns:
            The price of each.
        """
        return [self.price(graph) for graph in graphs]

    def predict(self, graph: Graph) -> float:
        """Latency of a whole network.

        Args:
            graph: The ops of a network.

        Returns:
            Milliseconds.

        Raises:
            InputError: The table does not cover an op, which is named.
        """
        return self.join(self.group_ms(graph))

    @cached_property
    def _cache(self) -> dict[object, tuple[str, float]]:
        return {}

    def to_json(self) -> str:
        """The content of the table's file.

        Returns:
            JSON with a checksum, so that a truncated or edited file is noticed.
        """
        body = {
            "version": VERSION,
            "made_for": dict(self.made_for),
            "calibration": asdict(self.calibration),
            "provenance": dict(self.provenance),
            "coefficients": dict(self.coefficients),
            "residuals": dict(self.residuals),
            **({} if self.energy is None else {"energy": self.energy.to_dict()}),
            "families": {
                name: {"channels": f.axes, "ms": _nulls(f.ms), "spread": _nulls(f.spread)}
                for name, f in self.families.items()
            },
        }
        return json.dumps({**body, "checksum": _checksum(body)}, indent=1) + "\n"

    @staticmethod
    def from_json(text: str | bytes, name: str, remedy: str) -> "LatencyTable":
        """The inverse of `to_json`. Files of version 4 are read too.

        Args:
            text: The content of the file.
            name: The file's name, for the error.
            remedy: What a user does about a file that cannot be used, for the error.

        Returns:
            The table.

        Raises:
            InputError: The file is not one that `to_json` wrote, or it was damaged or edited since.
        """
        body = parse_json(text, f"{name} is not a latency table: it", remedy, dict)
        try:
            checksum = body.pop("checksum")
            if body["version"] not in READABLE:
                raise InputError(f"{name}: a table of version {body['version']}, this is {VERSION}; {remedy}")
            if checksum != _checksum(body):
                raise InputError(f"{name}: its checksum does not fit its content (edited or damaged); {remedy}")
            return _table(body)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise InputError(f"{name}: not a latency table ({type(error).__name__}: {error}); {remedy}") from error


def read_table(path: Path, remedy: str) -> LatencyTable:
    """Reads a table's file.

    Args:
        path: The file.
        remedy: What a user does about a file that cannot be used, for the error.

    Returns:
        The table.

    Raises:
        InputError: The file cannot be read, is damaged or is no latency table.
    """
    return LatencyTable.from_json(read_content(path, remedy), str(path), remedy)


def _table(body: Mapping[str, Any]) -> LatencyTable:
    provenance = dict(body["provenance"])
    if body["version"] == 4:
        calibration = Calibration(provenance.pop("reference_ms"), provenance.pop("yardsticks_ms"))
    else:
        calibration = Calibration(**body["calibration"])
    coefficients = {name: float(value) for name, value in body["coefficients"].items()}
    energy = EnergyFit.from_dict(body["energy"], list(coefficients)) if "energy" in body else None
    if set(coefficients) != {"intercept", *GROUPS}:
        raise ValueError(f"coefficients {sorted(coefficients)}")
    residuals = {name: float(value) for name, value in body["residuals"].items()}
    if not all(map(isfinite, (*asdict(calibration).values(), *coefficients.values(), *residuals.values()))):
        raise ValueError("a number that is not finite")
    if body["made_for"]["precision"] not in BYTES:
        raise ValueError(f"precision {body['made_for']['precision']}")
    families = {name: _family(value) for name, value in body["families"].items()}
    return LatencyTable(dict(body["made_for"]), families, coefficients, residuals, calibration, provenance, energy)


def _family(value: Mapping[str, Any]) -> Family:
    axes = tuple(tuple(map(int, axis)) for axis in value["channels"])
    found = Family(axes, _nans(value["ms"]), _nans(value["spread"]))
    points = prod(map(len, axes))
    ascending = all(list(axis) == sorted(set(axis)) for axis in axes)
    if len(found.ms) != points or len(found.spread) not in (0, points) or not ascending:
        raise ValueError(f"points that do not fit channels {value['channels']}")
    return found


def _joined(coefficients: Mapping[str, float], sums: Mapping[str, float]) -> float:
    return coefficients["intercept"] + sum(coefficients[group] * ms for group, ms in sums.items())


def _nulls(values: tuple[float, ...]) -> list[float | None]:
    return [None if isnan(value) else value for value in values]


def _nans(values: list[float | None]) -> tuple[float, ...]:
    return tuple(nan if value is None else float(value) for value in values)


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
