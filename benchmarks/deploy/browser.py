"""Headless Chromium, and LiteRT.js in it: runs any .tflite file in the page of compress.demo."""

import base64
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from compress.apps.demo.serve import open_server
from search_spaces.errors import InputError

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
)
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0, "touch": True, "mobile": True}}
SCRIPT_SECONDS = 120
LOAD = """
const [file, done] = arguments;
import('./vendor/litert.js').then(async litert => {
  const model = await litert.loadAndCompile(file, {accelerator: 'wasm'});
  const types = {float32: Float32Array, uint8: Uint8Array, int32: Int32Array};
  const {shape, dtype} = model.getInputDetails()[0];
  window.classesOf = async text => {
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const fed = dtype === 'float32' ? Float32Array.from(bytes, byte => byte / 255) : new types[dtype](bytes);
    const begun = performance.now();
    const input = new litert.Tensor(fed, Array.from(shape));
    const [result] = await model.run([input]);
    const found = result.toTypedArray().slice();
    const ms = performance.now() - begun;
    const [, rows, columns, classes] = Array.from(model.getOutputDetails()[0].shape);
    input.delete();
    result.delete();
    let letters = '';
    for (let pixel = 0; pixel < rows * columns; pixel++) {
      let best = classes ? 0 : found[pixel];
      for (let one = 1; one < classes; one++) {
        if (found[pixel * classes + one] > found[pixel * classes + best]) best = one;
      }
      letters += String.fromCharCode(best);
    }
    return {letters: btoa(letters), rows, columns, ms};
  };
  done('');
}).catch(error => done(String(error.message ?? error)));
"""
RUN = "const [text, done] = arguments; classesOf(text).then(done, error => done(String(error.message ?? error)));"
READY = """
const done = arguments[0];
const wait = () => window.slimlab
  ? slimlab.ready.then(() => done(''), error => done(String(error))) : setTimeout(wait, 50);
wait();
"""


@contextmanager
def open_browser(profile: Path) -> Iterator[Any]:
    """Starts Chromium at the size of a phone, with a camera that shows a test picture.

    Args:
        profile: A folder for its files.

    Yields:
        Selenium's driver.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.add_experimental_option("mobileEmulation", PHONE)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(DRIVER)))
    driver.set_script_timeout(SCRIPT_SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[int]:
    """Serves a folder on this machine.

    Args:
        folder: The demo.
        port: To listen on; 0 takes a free one.

    Yields:
        The port.
    """
    server = open_server(folder, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def open_demo(driver: Any, port: int) -> None:
    """Opens the demo and waits until its model is ready.

    Args:
        driver: Selenium's driver.
        port: Of the demo on this machine.

    Raises:
        InputError: The page cannot load its model.
    """
    driver.get(f"http://localhost:{port}/")
    failed = driver.execute_async_script(READY)
    if failed:
        raise InputError(f"the demo does not start: {failed}")


def run_in_browser(driver: Any, file: str, images: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
    """Runs a .tflite file of the demo's folder by LiteRT.js.

    Args:
        driver: Selenium's driver, with the demo open.
        file: The name of the file.
        images: H,W,3 bytes, RGB, of the size that the file reads.

    Returns:
        The class map h,w and the milliseconds of each image.

    Raises:
        InputError: LiteRT.js cannot load or run the file.
    """
    failed = driver.execute_async_script(LOAD, file)
    if failed:
        raise InputError(failed)
    maps, ms = [], []
    for image in images:
        found = driver.execute_async_script(RUN, base64.b64encode(image.tobytes()).decode())
        if isinstance(found, str):
            raise InputError(found)
        class_map = np.frombuffer(base64.b64decode(found["letters"]), np.uint8)
        maps.append(class_map.reshape(found["rows"], found["columns"]))
        ms.append(found["ms"])
    return maps, ms
