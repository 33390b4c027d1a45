"""The snippets of docs/deploy.md: they are short, and those in Python give the masks that compress.predict gives."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_data import CLASSES, coloured
from PIL import Image

from compress.prediction.segmenter import open_segmenter

DOCS = Path(__file__).parent.parent / "docs"
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", (DOCS / "deploy.md").read_text(), re.DOTALL)
PYTHON = [code for language, code in SNIPPETS if language == "python"]
MAX_LINES = 15
SHIPPED = ("model.tflite", "model.uint8.tflite", "model.int8.onnx", "model.json")


def test_every_platform_has_a_snippet_of_few_lines() -> None:
    assert [language for language, _ in SNIPPETS] == ["python", "python", "python", "kotlin", "swift", "js", "cpp"]
    for language, code in SNIPPETS:
        assert len([line for line in code.splitlines() if line.strip()]) <= MAX_LINES, language


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """What an app developer has: the files, and a photo of another size."""
    for name in SHIPPED:
        shutil.copyfile(exported / name, tmp_path / name)
    classes = np.kron(np.random.default_rng(1).integers(0, CLASSES, (3, 4)), np.ones((64, 64)))
    Image.fromarray(coloured(classes)).save(tmp_path / "photo.png")
    return tmp_path


def ran(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("code", PYTHON[:2], ids=["LiteRT", "ONNX Runtime"])
def test_a_photo_gets_the_mask_of_predict(code: str, folder: Path) -> None:
    ran(code.replace("photo.jpg", "photo.png"), folder)
    mask = np.asarray(Image.open(folder / "mask.png"))
    expected = open_segmenter(folder / "model.tflite").class_map(np.asarray(Image.open(folder / "photo.png")))
    assert mask.shape == expected.shape
    assert len(np.unique(expected)) > 1
    assert np.mean(mask == expected) > 0.97  # Pillow rounds in between, and the int8 .onnx file has ranges of its own


def test_a_camera_is_read_until_it_ends(folder: Path) -> None:
    frame = cv2.cvtColor(np.asarray(Image.open(folder / "photo.png")), cv2.COLOR_RGB2BGR)
    for number in range(3):
        cv2.imwrite(str(folder / f"frame{number}.png"), frame)
    (code,) = PYTHON[2:]
    assert "VideoCapture(0)" in code
    lines = ran(code.replace("VideoCapture(0)", "VideoCapture('frame%d.png')"), folder).splitlines()
    assert len(lines) == 3
    height, width = json.loads((folder / "model.json").read_text())["output"]["shape"][1:]
    counted = np.array([int(count) for count in re.findall(r"\d+", lines[0])])
    assert counted.sum() == height * width


@pytest.mark.parametrize("page", ["deploy.md", "choosing.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (DOCS / path) if path else DOCS / page
        assert file.exists(), target
        if anchor:
            headings = [line.lstrip("# ").lower() for line in file.read_text().splitlines() if line.startswith("#")]
            assert anchor in {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}, target
