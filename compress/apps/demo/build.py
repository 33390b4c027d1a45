"""Writes the demo: one folder that any https host can serve."""

import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from compress.apps.demo.runtime import runtime_folder
from compress.apps.demo.samples import read_samples, write_samples
from compress.files.atomic import make_folder
from compress.prediction.card import find_model, read_card, require_rgb
from compress.tflite.flatbuffer import read_tflite
from compress.tflite.variants import with_uint8_input
from search_spaces.errors import InputError

PAGE_FILES = ("index.html", "style.css", "app.js")
WORKER = "sw.js"
ICON_SIDES = (192, 512)
THEME = "#12161b"
MARKER = "manifest.webmanifest"  # by which a folder is known as a demo


def build_demo(model: Path, out: Path, images: Sequence[Path] = (), show_bands: str | None = None) -> None:
    """Writes the page, its runtime, the model and the card.

    Args:
        model: a run folder, or a .tflite file with its model.json beside it.
        out: the folder; a demo that is there already is replaced, any other folder is refused.
        images: that the page offers beside photo and camera. A model of other than three bands needs some.
        show_bands: the bands that their pictures show; None for the visible ones.

    Raises:
        InputError: the model, the card or an image is missing or cannot be read, there are no such bands, the runtime
            cannot be fetched, or `out` holds something else.
    """
    model_file, card_file = find_model(model)
    card = read_card(card_file)
    if not images:
        require_rgb(card, model, "a camera")
    samples = read_samples(images, card, show_bands)
    content = with_uint8_input(read_tflite(model_file))
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: holds something else than a demo; choose another folder")
    runtime = runtime_folder()

    def fill(folder: Path) -> None:
        page = files("compress.apps.demo") / "page"
        for name in PAGE_FILES:
            (folder / name).write_bytes((page / name).read_bytes())
        shutil.copytree(runtime, folder / "vendor")
        (folder / "model.tflite").write_bytes(content)
        (folder / "model.json").write_bytes(card_file.read_bytes())
        write_samples(samples, folder)
        for side in ICON_SIDES:
            (folder / f"icon-{side}.png").write_bytes(icon(side, card.colours))
        (folder / MARKER).write_text(json.dumps(manifest(), indent=1))
        (folder / WORKER).write_text(service_worker((page / WORKER).read_text(), folder))

    shutil.rmtree(out, ignore_errors=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        make_folder(out, fill)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def manifest() -> dict[str, object]:
    """Says how the page is installed as an app.

    Returns:
        The web app manifest.
    """
    icons = [{"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in ICON_SIDES]
    return {
        "name": "SlimLab demo",
        "short_name": "SlimLab",
        "start_url": ".",
        "scope": ".",
        "display": "standalone",
        "background_color": THEME,
        "theme_color": THEME,
        "icons": icons,
    }


def service_worker(template: str, folder: Path) -> str:
    """Fills in which files the page keeps for offline use, and a version that changes with any of them.

    Args:
        template: the script with its two marks.
        folder: the demo, whose files are all there.

    Returns:
        The script.
    """
    kept = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in kept:
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    names = ["./", *(path.relative_to(folder).as_posix() for path in kept)]
    return template.replace("@VERSION@", digest.hexdigest()[:16]).replace("@FILES@", json.dumps(names))


def icon(side: int, colours: Sequence[tuple[int, int, int]]) -> bytes:
    """Draws the icon of the app: four fields in colours of the classes.

    Args:
        side: pixels.
        colours: of the classes.

    Returns:
        The PNG file.
    """
    fields = np.array([colours[i % len(colours)] for i in range(4)], np.uint8).reshape(2, 2, 3)
    picture = Image.fromarray(fields).resize((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
