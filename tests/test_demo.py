"""The demo in a real browser: the same classes as native LiteRT on every pixel, a camera, a start without a network."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, open_browser, open_demo, served
from PIL import Image

import compress.demo
from compress.apps.demo import runtime
from compress.apps.demo.build import MARKER, build_demo
from compress.apps.demo.serve import open_server
from compress.prediction.segmenter import open_segmenter
from search_spaces.errors import InputError

SHIPPED = Path(__file__).parent.parent / "runs" / "camvid"
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "demo"
    try:
        build_demo(SHIPPED, out)
    except InputError as error:
        if "npm" in str(error) or "network" in str(error):
            pytest.skip(str(error))
        raise
    return out


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with open_browser(tmp_path / "profile") as driver:
        yield driver


def classes_in_browser(driver, pixels: np.ndarray) -> np.ndarray:
    found = driver.execute_async_script(
        "const [sent, done] = arguments;"
        "const packed = Uint8Array.from(atob(sent), c => c.charCodeAt(0));"
        "slimlab.classify(packed).then(classes => {"
        "  let text = ''; for (const one of classes) text += String.fromCharCode(one); done(btoa(text)); });",
        base64.b64encode(pixels.tobytes()).decode(),
    )
    return np.frombuffer(base64.b64decode(found), np.uint8)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = np.linspace(0, 1, 360)[:, None, None]
    picture = np.array([200, 215, 235]) * (1 - rows) + np.array([70, 70, 75]) * rows
    noise = np.random.default_rng(0).integers(-12, 12, (360, 480, 3))
    path = tmp_path_factory.mktemp("photo") / "street.png"
    Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)).save(path)
    return path


def wait_for(driver, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(lambda driver: driver.execute_script(f"return {script}"))


@needs_browser
def test_every_pixel_is_that_of_native_litert(demo: Path, browser, photo: Path) -> None:
    with served(demo) as port:
        open_demo(browser, port)
        pixels = np.asarray(Image.open(photo))
        native = open_segmenter(SHIPPED).small_class_map(pixels)
        assert len(np.unique(native)) > 1
        assert np.array_equal(classes_in_browser(browser, pixels), native.ravel())
        browser.find_element("id", "file").send_keys(str(photo))
        wait_for(browser, "document.getElementById('model-ms').textContent !== '–'")
        shares = browser.execute_script(
            "return [...document.querySelectorAll('#legend output')].map(o => parseFloat(o.textContent) || 0)"
        )
        counted = np.bincount(native.ravel(), minlength=len(shares)) / native.size * 100
        assert np.allclose(shares, counted, atol=0.06)  # a picture of the model's own size is not resized
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390


@needs_browser
def test_the_snippet_of_the_docs_runs(demo: Path, browser, photo: Path, tmp_path: Path) -> None:
    page = Path(shutil.copytree(demo, tmp_path / "page"))
    shutil.copyfile(photo, page / "photo.png")
    docs = (SHIPPED.parent.parent / "docs" / "deploy.md").read_text()
    (code,) = re.findall(r"```js\n(.*?)```", docs, re.DOTALL)
    for theirs, ours in (
        ("'@litertjs/core'", "'./vendor/litert.js'"),
        ("'/node_modules/@litertjs/core/wasm/'", "'./vendor/litert_wasm_compat_internal.js'"),
        ("'model.uint8.tflite'", "'model.tflite'"),  # the demo's file reads uint8
    ):
        assert theirs in code
        code = code.replace(theirs, ours)
    opened = "const photo = await createImageBitmap(await (await fetch('photo.png')).blob());"
    (page / "snippet.js").write_text(f"{opened}\n{code}\nwindow.found = Array.from(classes);")
    (page / "snippet.html").write_text('<!doctype html><script type="module" src="snippet.js"></script>')
    with served(page) as port:
        browser.get(f"http://localhost:{port}/snippet.html")
        wait_for(browser, "window.found !== undefined")
        found = browser.execute_script("return window.found")
    assert np.array_equal(found, open_segmenter(SHIPPED).small_class_map(np.asarray(Image.open(photo))).ravel())


@needs_browser
def test_the_camera_runs(demo: Path, browser) -> None:
    with served(demo) as port:
        open_demo(browser, port)
        browser.find_element("id", "camera").click()
        wait_for(browser, "parseFloat(document.getElementById('fps').textContent) > 0")
        browser.find_element("id", "camera").click()
        assert browser.find_element("id", "camera").text == "Camera"


@needs_browser
def test_it_starts_when_the_server_is_gone(demo: Path, browser, photo: Path) -> None:
    with served(demo) as port:
        open_demo(browser, port)
        browser.execute_async_script("navigator.serviceWorker.ready.then(() => arguments[0]())")
    open_demo(browser, port)
    browser.find_element("id", "file").send_keys(str(photo))
    wait_for(browser, "document.getElementById('model-ms').textContent !== '–'")
    manifest = browser.execute_cdp_cmd("Page.getAppManifest", {})
    assert manifest["errors"] == []
    assert json.loads(manifest["data"])["icons"]


def test_the_folder_needs_nothing_from_elsewhere(demo: Path) -> None:
    for path in demo.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            assert "http://" not in path.read_text()
            assert "https://" not in path.read_text()
    kept = (demo / "sw.js").read_text()
    for path in demo.rglob("*"):
        if path.is_file() and path.name != "sw.js":
            assert json.dumps(path.relative_to(demo).as_posix()) in kept


def test_a_demo_is_replaced_and_nothing_else(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "demo"
    shutil.copytree(demo, copy)
    (copy / "old.txt").write_text("of a version before")
    build_demo(SHIPPED, copy)
    assert not (copy / "old.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than a demo"):
        build_demo(SHIPPED, mine)
    assert (mine / "letter.txt").read_text() == "mine"
    assert (copy / MARKER).is_file()


def test_a_port_in_use_is_one_line(tmp_path: Path, command) -> None:
    taken = open_server(tmp_path, 0)
    code, _, err = command(
        compress.demo.main, SHIPPED, "--out", tmp_path / "demo", "--serve", "--port", taken.server_port
    )
    taken.server_close()
    assert code == 2
    assert f"--port {taken.server_port}: cannot be used" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "demo").exists()


def test_the_server_is_seen_by_this_machine_alone(tmp_path: Path) -> None:
    server = open_server(tmp_path, 0)
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_a_runtime_that_is_not_the_tested_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm that gives another file: an executable of that name."""
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho other > "$4/litertjs-core.tgz"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="another @litertjs/core"):
        runtime.runtime_folder()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"npm is missing; install Node\.js"):
        runtime.runtime_folder()
    assert not list((tmp_path / "cache").rglob("*.js"))
