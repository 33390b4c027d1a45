"""The runtimes: in a Python of their own, in a browser, and the interpreter of Core ML programs."""

import json
import shutil
import signal
import statistics
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from browser import CHROMIUM, DRIVER, open_browser, open_demo, run_in_browser, served

from compress.apps.demo.build import build_demo
from compress.apps.demo.runtime import VERSION
from compress.apps.ios.mil import MilProgram
from compress.apps.ios.packages import import_coremltools
from search_spaces.errors import InputError

PEER = Path(__file__).with_name("peer.py")
MAX_REASON = 90  # characters of a runtime's complaint in the table
MAX_SECONDS = 1800


@dataclass(frozen=True)
class Ran:
    """A file as a runtime ran it.

    Attributes:
        version: Of the runtime; empty where it is missing.
        fault: Why the file did not run; empty where it did.
        maps: Class indices h,w of each image.
        ms: Median of a run; None where the time says nothing of the runtime.
    """

    version: str = ""
    fault: str = ""
    maps: Sequence[np.ndarray] = ()
    ms: float | None = None


def in_environment(python: Path, kind: str, file: Path, images: Path) -> Ran:
    """Runs a file by peer.py.

    Args:
        python: The interpreter of the environment.
        kind: tflite, mediapipe or onnx.
        file: The model.
        images: The .npy file of the images.

    Returns:
        What it gave.
    """
    if not python.is_file():
        return Ran(fault=f"{python} is missing; make deploy-peers")
    maps = images.with_name("maps.npy")
    command = [str(python), str(PEER), kind, str(file), str(images), str(maps)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS)
    said: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        said |= json.loads(line) if line.startswith("{") else {}
    version = said.get("version", "")
    if done.returncode < 0:
        return Ran(version, f"the process ends with {signal.Signals(-done.returncode).name}")
    if done.returncode:
        return Ran(version, cell(done.stderr.strip().splitlines()[-1]))
    return Ran(version, maps=list(np.load(maps)), ms=said["ms"])


@dataclass
class LiteRtJs:
    """LiteRT.js in headless Chromium, started for the first file.

    Attributes:
        run: The run folder, for the demo page.
        images: N,H,W,3 bytes, RGB.
        work: A folder for page and profile.
        stack: Closes browser and server.
    """

    run: Path
    images: np.ndarray
    work: Path
    stack: ExitStack
    _open: list[Any] = field(default_factory=list)

    def __call__(self, file: Path) -> Ran:
        """Runs a file.

        Args:
            file: The model.

        Returns:
            What it gave.
        """
        if not (CHROMIUM and DRIVER):
            return Ran(fault="chromium and chromedriver are missing; apt-get install chromium-driver")
        try:
            if not self._open:
                self._start()
            (driver,) = self._open
            version = f"{VERSION}, Chromium {driver.capabilities['browserVersion'].split('.')[0]}"
            shutil.copyfile(file, self.work / "demo" / file.name.replace("model.", "measured."))
            maps, ms = run_in_browser(driver, file.name.replace("model.", "measured."), list(self.images))
        except InputError as error:
            return Ran(VERSION, cell(str(error)))
        return Ran(version, maps=maps, ms=statistics.median(ms[1:] or ms))

    def _start(self) -> None:
        """Builds and opens the page."""
        build_demo(self.run, self.work / "demo")
        driver = self.stack.enter_context(open_browser(self.work / "profile"))
        open_demo(driver, self.stack.enter_context(served(self.work / "demo")))
        self._open.append(driver)


def in_torch(package: Path, images: np.ndarray) -> Ran:
    """Runs a Core ML package by the interpreter of its program.

    Args:
        package: The .mlpackage folder.
        images: N,H,W,3 bytes, RGB.

    Returns:
        What it gave, without a time: torch says nothing of a phone.
    """
    if not package.is_dir():
        return Ran(fault=f"{package} is missing; python -m compress.ios {package.parent.parent}")
    try:
        version = f"coremltools {import_coremltools().__version__}"
        program = MilProgram(package)
        return Ran(version, maps=[program.class_map(image) for image in images])
    except InputError as error:
        return Ran(fault=cell(str(error)))


def cell(text: str) -> str:
    """Shortens a runtime's complaint to a cell of the table.

    Args:
        text: Any text.

    Returns:
        One line of at most MAX_REASON characters.
    """
    line = " ".join(text.replace("|", "/").split())
    return line if len(line) <= MAX_REASON else f"{line[:MAX_REASON]} …"
