"""python benchmarks/deploy/screenshot.py RUN PHOTO OUT.png [--dark]: the demo at phone size, with a photo in it.

The page runs the photo in headless Chromium, 390x844 points. The picture has 256 colours, so that it stays small.
"""

import argparse
import base64
import io
import tempfile
from pathlib import Path

from browser import PHONE, open_browser, open_demo, served
from PIL import Image

from compress.apps.demo.build import build_demo
from compress.stages.cli import Parser, run_command


def main() -> None:
    """Takes the screenshot."""
    flags = Parser(prog="python benchmarks/deploy/screenshot.py", description=__doc__)
    flags.formatter_class = argparse.RawDescriptionHelpFormatter
    flags.add_argument("model", type=Path, metavar="RUN|MODEL.tflite", help="as for compress.demo")
    flags.add_argument("photo", type=Path, metavar="PHOTO", help="the picture to segment")
    flags.add_argument("out", type=Path, metavar="OUT.png", help="the screenshot")
    flags.add_argument("--dark", action="store_true", help="the dark colours of the page")
    given = flags.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "demo"
        build_demo(given.model, page)
        with open_browser(Path(folder) / "profile") as driver, served(page) as port:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if given.dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            open_demo(driver, port)
            driver.execute_async_script(SEGMENT, base64.b64encode(given.photo.read_bytes()).decode())
            taken = driver.get_screenshot_as_png()
    size = PHONE["deviceMetrics"]["width"], PHONE["deviceMetrics"]["height"]
    picture = Image.open(io.BytesIO(taken)).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE).save(given.out, optimize=True)


SEGMENT = """
const [text, done] = arguments;
const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
createImageBitmap(new Blob([bytes]))
  .then(async picture => { for (let i = 0; i < 3; i++) await slimlab.segment(picture); }).then(() => done());
"""

if __name__ == "__main__":
    run_command(main)
