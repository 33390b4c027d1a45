"""Boards reached by ssh that greet, hang or lack something: `ssh` is a script that runs the command on this machine."""

import ast
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compress.latency import device_facts, energy_meter, ssh, timing
from compress.latency.reference import reference_models
from compress.latency.targets import close_connections, open_target
from search_spaces.errors import InputError

Script = Callable[[str], None]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Writes the script: lines of sh before `sh -c COMMAND`, where COMMAND is what ssh was asked to run."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.delenv("PYTHONPATH", raising=False)

    def write(lines: str) -> None:
        script = f'#!/bin/sh\nfor command; do :; done\n{lines}\nexec sh -c "$command"\n'
        (tools / "ssh").write_text(script)
        (tools / "ssh").chmod(0o755)

    yield write
    close_connections()


GREETING = r"""
echo "Welcome, 3 updates are available"
echo "setlocale: cannot change locale" >&2
echo "{}"
printf "\377\376 not text\n\n"
for i in $(seq 2000); do echo line $i; done
printf "no newline at the end> "
"""


def test_what_a_login_shell_prints_is_skipped(board: Script) -> None:
    board(GREETING)
    target = open_target("ssh:pi@board", 1)
    assert target.facts()["processor"] == device_facts.processor_name()
    (latency,) = target.measure_once(reference_models()[:1], 0.0)
    assert latency.ms > 0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("command=\"exec python3 -S -c 'import ai_edge_litert'\"", "No module named 'ai_edge_litert'"),
        ("echo Host key verification failed. >&2; exit 255", "Host key verification failed"),
        ("exit 0", "no answer"),
        ("echo hello; exit 0", "no answer"),
        ('echo "slimlab-timing {broken"', "no answer"),
    ],
)
def test_a_board_that_cannot_measure_is_one_line(board: Script, lines: str, said: str, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    board(f"export TMPDIR={temporary}; {lines}")
    with pytest.raises(InputError, match=said) as caught:
        open_target("ssh:pi@board:2222", 1).facts()
    assert "ssh -p 2222 pi@board python3 -c" in str(caught.value)
    assert not list(temporary.iterdir())


def test_a_connection_that_hangs_is_given_up(board: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "START_TIMEOUT_S", 0.2)
    board("exec sleep 3600")
    with pytest.raises(InputError, match="no answer within 0 s"):
        open_target("ssh:pi@board", 1).facts()


@pytest.mark.parametrize("module", [timing, device_facts, energy_meter])
def test_files_that_boards_run_are_for_old_pythons_and_import_nothing_of_the_project(module: object) -> None:
    source = Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]
    tree = ast.parse(source, feature_version=(3, 9))
    assert "from __future__ import annotations\n" in source  # `X | None` is only text then
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {n.module or "" if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imports}
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "ai_edge_litert"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert not [call for call in calls if call.func.id == "zip" and call.keywords]  # strict= is of Python 3.10


def oldest_python() -> str | None:
    """A Python of the oldest version that a board may have: 3.9, for which the first ai-edge-litert was made."""
    places = (
        "/usr/bin/python3.9",
        "/usr/local/bin/python3.9",
        *map(str, Path.home().glob(".pyenv/versions/3.9.*/bin/python")),
    )
    return next((place for place in places if Path(place).exists()), None)


def test_the_files_run_with_the_oldest_python(board: Script, tmp_path: Path) -> None:
    """The runtime is a stand-in: what it computes does not matter here."""
    python = oldest_python()
    if python is None:
        pytest.skip("needs Python 3.9")
    package = tmp_path / "old/ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    methods = "".join(f"    def {name}(self): pass\n" for name in ("allocate_tensors", "invoke"))
    (package / "interpreter.py").write_text(f"class Interpreter:\n    def __init__(self, **given): pass\n{methods}")
    (package.parent / "ai_edge_litert-1.0.1.dist-info").mkdir()
    (package.parent / "ai_edge_litert-1.0.1.dist-info/METADATA").write_text("Name: ai-edge-litert\nVersion: 1.0.1\n")
    (tmp_path / "tools/python3").symlink_to(python)
    board(f"export PYTHONPATH={package.parent}")
    target = open_target("ssh:pi@board", 1)
    assert target.facts()["runtime"] == "litert 1.0.1 xnnpack"
    (latency,) = target.measure_once([b"a model"], 0.0)
    assert latency.runs >= timing.MIN_RUNS
