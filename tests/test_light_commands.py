"""`--help` and the refusal of a bad flag import re
import nothing heavy, and every command is in the console script."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from commands import Command

import nas.console
from nas.console import COMMANDS

ROOT = Path(__file__).parent.parent
HEAVY = (
    *("torch", "optuna", "albumentations", "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "onnx"),
    *("onnxruntime", "sqlalchemy", "scipy", "numpy", "PIL", "cv2", "matplotlib", "nni", "tifffile", "kornia"),
)
TRY = """
import sys
from importlib import import_module
module, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = module
main = import_module(module).main
from compress.stages.cli import run_command
code = 0
try:
    run_command(main)
except SystemExit as ended:
    code = ended.code
loaded = [name for name in %r if name in sys.modules]
print("CODE", code, "LOADED", *loaded)
"""
# a refusal of each command that has flags to refuse; `{run}` is a run folder that is there
REFUSED = {
    "search": [
        ["--budget-ms", "nan"],
        ["--budget-ms", "30", "--sampler", "magic"],
        ["--budget-ms", "30", "--target", "moon"],
        ["--budget-ms", "30", "--data", "moon"],
        ["--budget-ms", "30", "--run", "../elsewhere"],
        ["--budget-ms", "30", "--storage", "sqlite://"],
        ["--budget-ms", "30", "--threads", "0"],
        ["--budget-ms", "30", "--loss", "kl"],
    ],
    "recipe": [["landuse", "--sampler", "magic"], ["faces"]],
    "latency": [["build", "--space", "unet"], ["check", "--models", "0"], ["show", "nowhere.json"]],
    "check": [["moon"], ["landcover", "--input-size", "big"]],
    "train": [["nowhere"]],
    "prune": [["nowhere", "--importance", "magic"], ["nowhere", "--rounds", "0"], ["nowhere"]],
    "distill": [["nowhere", "--loss", "magic"], ["nowhere", "--features", "roof"]],
    "quantize": [["nowhere", "--ranges", "magic"], ["nowhere", "--max-drop", "2"]],
    "export": [["nowhere"]],
    "verify": [["nowhere"]],
    "report": [["nowhere"], ["nowhere", "--out", "page.html"], ["nowhere", "nowhere"], ["a", "b", "--out", "."]],
    "worker": [["nowhere"]],
    "storage": [["serve", "shoebox"]],
}


def tried(module: str, *arguments: str) -> tuple[int, set[str], str]:
    """The exit code of a command in a process of its own, the heavy libraries it loaded, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", TRY % (HEAVY,), module, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *_, last = done.stdout.splitlines()
    _, code, _, *loaded = last.split()
    return int(code), set(loaded), done.stdout + done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code, loaded, said = tried(COMMANDS[name], "--help")
    assert (code, loaded) == (0, set()), said
    assert f"usage: python -m {COMMANDS[name]}" in said


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_imports_nothing_heavy(name: str) -> None:
    arguments = REFUSED[name][0]
    code, loaded, said = tried(COMMANDS[name], *arguments)
    assert (code, loaded) == (2, set()), said


@pytest.mark.parametrize(("name", "arguments"), [(name, one) for name, some in REFUSED.items() for one in some[1:]])
def test_a_refusal_is_one_line(name: str, arguments: list[str], elsewhere: Path, command: Command) -> None:
    code, _, err = command(import_module(COMMANDS[name]).main, *arguments)
    assert (code, len(err.splitlines())) == (2, 1), err


def test_the_console_script_imports_nothing_heavy() -> None:
    code, loaded, said = tried("nas.console", "--help")
    assert (code, loaded) == (0, set())
    assert all(re.search(rf"\n    {name}\s", said) for name in COMMANDS), said


def test_every_command_is_in_the_console_script() -> None:
    """A file directly in compress/ is a command, and so is every module of nas/ that can be started."""
    files = [path for path in (ROOT / "compress").glob("*.py") if path.stem != "__init__"]
    files += [path for path in (ROOT / "nas").glob("*.py") if "COMMAND = " in path.read_text()]
    assert sorted(COMMANDS.values()) == sorted(f"{path.parent.name}.{path.stem}" for path in files)


def test_the_console_script_is_the_same_command(command: Command) -> None:
    code, _, err = command(nas.console.main, "search", "--budget-ms", "soon")
    assert (code, "slimlab search: argument --budget-ms: invalid float value" in err) == (2, True)
    code, out, _ = command(nas.console.main, "prune", "--help")
    assert (code, "usage: slimlab prune [-h]" in out) == (0, True)


def test_help_lists_flags_in_groups(command: Command) -> None:
    code, out, _ = command(nas.console.main, "search", "--help")
    titles = ("data:", "target and budget:", "search:", "training (docs/training.md):", "run:")
    places = [out.index(f"\n{title}\n") for title in titles]
    assert (code, places) == (0, sorted(places))
    assert "--preset NAME" in out
    assert "default: quick" in out
