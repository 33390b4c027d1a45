"""The structure: imports point one way, and no file grows past what one reads at a sitting."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("search_spaces", "compress", "nas")
# from the ground floor up: a room imports from itself and from those before it
ROOMS = (
    "search_spaces",
    "compress.files",
    "compress.donors",
    "compress.data",
    "compress.tflite",
    "compress.latency",
    "compress.evaluation",
    "compress.prediction",
    "compress.apps",
    "compress.training",
    "compress.pruning",
    "compress.distillation",
    "compress.federated",
    "compress.stages",
    "compress",  # the commands
    "nas.inheritance",
    "nas",
    "benchmarks",
    "tests",
)
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file names in its import statements, wherever they stand in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


OUTSIDE = {file.stem for folder in ("benchmarks", "tests") for file in (ROOT / folder).rglob("*.py")}


def room_of(module: str) -> str | None:
    """The room of ROOMS in which a module lies; None for a library."""
    parts = module.split(".")
    if parts[0] in OUTSIDE or parts[0] in ("benchmarks", "tests"):
        return "tests"
    inner = ".".join(parts[:2])
    return inner if inner in ROOMS else parts[0] if parts[0] in ROOMS else None


def upward(path: Path) -> set[str]:
    """What a file imports from a room above its own."""
    own = ROOMS.index(room_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) or "")
    rooms = {module: room_of(module) for module in imported(path)}
    return {module for module, room in rooms.items() if room and ROOMS.index(room) > own}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert not upward(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_over_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
