"""Commands as tests give them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

Command = Callable[..., tuple[int, str, str]]


def flags(data: Path, table: Path, run: str = "whole", budget: object = 50) -> list[object]:
    common = ["--budget-ms", budget, "--data", f"folder:{data}", "--table", table, "--input-size", 64]
    return [*common, "--weights", "none", "--preset", "toy", "--run", run]


def run_stage(command: Command, stage: str, run: Path, *more: object) -> tuple[int, str, str]:
    """`python -m compress.STAGE RUN`, in this process."""
    return command(import_module(f"compress.{stage}").main, run, *more)


def listed(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "search.jsonl").read_text().splitlines()]


def spoken(arguments: list[object], here: Path, *python: str) -> "subprocess.Popen[str]":
    """The command as a process of its own."""
    return process([*python, "nas.search", *map(str, arguments)], here)


def process(module: list[str], here: Path) -> "subprocess.Popen[str]":
    """`python -m MODULE ...`"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", *module]
    return subprocess.Popen(
        command, cwd=here, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
