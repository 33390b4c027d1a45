"""The wheel: every file that the packages need is in it, and it runs from any folder."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def packages() -> list[str]:
    return find_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"])


def test_every_module_is_in_a_package() -> None:
    found = set(packages())
    modules = [path for top in ("search_spaces", "compress", "nas") for path in (ROOT / top).rglob("*.py")]
    assert {".".join(path.parent.relative_to(ROOT).parts) for path in modules} == found


def test_every_other_file_is_package_data() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "search_spaces", "compress", "nas"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    needed = {ROOT / name for name in listed.stdout.splitlines() if not name.endswith(".py")}
    covered = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert needed <= covered, sorted(str(path.relative_to(ROOT)) for path in needed - covered)
    assert set(SETUPTOOLS["package-data"]) <= set(packages())


def test_the_console_script_is_declared() -> None:
    assert PROJECT["project"]["scripts"] == {"slimlab": "nas.console:main"}


@pytest.mark.slow
def test_a_wheel_runs_from_any_folder(tmp_path: Path) -> None:
    """Built from a copy of the checkout, installed by itself; the libraries are those of this environment."""
    source, wheels, target, empty = (tmp_path / name for name in ("source", "wheels", "target", "empty"))
    empty.mkdir()
    subprocess.run(["git", "checkout-index", "-a", f"--prefix={source}/"], cwd=ROOT, check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(build, check=True, cwd=empty)
    (wheel,) = wheels.glob("slimlab-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, cwd=empty)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    script = target / "bin" / "slimlab"
    asked = [[sys.executable, str(script), "--help"], [sys.executable, str(script), "check", "landcover"]]
    for command in asked:
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    where = "import compress, nas, search_spaces; print(compress.__file__, nas.__file__, search_spaces.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, text=True)
    assert all(path.startswith(str(target)) for path in found.stdout.split()), found
