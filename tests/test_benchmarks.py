"""The benchmarks start: what they import is there. Those of the peers have an environment of their own."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    assert len(names) > 10
    lines = [f"sys.path.insert(0, {str(BENCHMARKS)!r})", *(f"importlib.import_module({name!r})" for name in names)]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import importlib, sys", *lines])],
        capture_output=True,
        text=True,
        cwd=BENCHMARKS.parent,
    )
    assert done.returncode == 0, done.stderr
