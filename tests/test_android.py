"""The Android Studio project: every file is well-formed, every name it uses is there, and the Kotlin sources compile.

Neither the Android SDK nor a phone is at hand here: the sources are compiled against stubs of the calls they make.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import compress.android
from compress.apps.android.build import build_android, kotlin_string
from compress.latency.timing import load
from search_spaces.errors import InputError

SHIPPED = Path(__file__).parent.parent / "runs" / "camvid"
ANDROID = "{http://schemas.android.com/apk/res/android}"
APP_ID = "org.example.street_view2"
MAIN = Path("app/src/main")
STUBS = Path(__file__).with_name("android_stubs.java.txt")
COMPILER = os.environ.get("SLIMLAB_KOTLIN_JARS")  # a folder of jars with the Kotlin compiler


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("android") / "project"
    build_android(SHIPPED, out, APP_ID, """O'Brien & "Sons" <roads>""")
    return out


def test_no_mark_of_the_template_is_left(project: Path) -> None:
    for path in project.rglob("*"):
        if path.is_file() and path.suffix not in (".tflite", ".png"):
            assert not re.search(r"@[A-Z_]+@", path.read_text()), path


def test_xml_is_well_formed_and_names_are_shown_as_given(project: Path) -> None:
    files = list(project.rglob("*.xml"))
    assert len(files) == 3
    trees = {path.name: ElementTree.parse(path) for path in files}
    strings = {string.get("name"): string.text for string in trees["strings.xml"].iter("string")}
    assert strings["app_name"] == r"""O\'Brien & \"Sons\" <roads>"""  # Android's own escapes
    activity = next(trees["AndroidManifest.xml"].iter("activity"))
    assert activity.get(ANDROID + "name") == ".MainActivity"


def test_every_resource_that_is_named_exists(project: Path) -> None:
    strings = {s.get("name") for s in ElementTree.parse(project / MAIN / "res/values/strings.xml").iter("string")}
    layout = project / MAIN / "res/layout/activity_main.xml"
    ids = set(re.findall(r'android:id="@\+id/(\w+)"', layout.read_text()))
    sources = "\n".join(path.read_text() for path in (project / MAIN / "kotlin").rglob("*.kt"))
    assert set(re.findall(r"R\.id\.(\w+)", sources)) == ids
    xml = "\n".join(path.read_text() for path in project.rglob("*.xml"))
    used = set(re.findall(r"R\.string\.(\w+)", sources)) | set(re.findall(r"@string/(\w+)", xml))
    assert used == strings
    assert set(re.findall(r"R\.layout\.(\w+)", sources)) == {layout.stem}
    for mipmap in re.findall(r"@mipmap/(\w+)", xml):
        assert Image.open(project / MAIN / "res/mipmap-xxhdpi" / f"{mipmap}.png").size == (144, 144)
    for name in re.findall(rf"<({re.escape(APP_ID)}\.\w+)", xml):
        assert (project / MAIN / "kotlin" / Path(*name.split("."))).with_suffix(".kt").is_file()


def test_gradle_names_only_what_the_catalog_has(project: Path) -> None:
    catalog = tomllib.loads((project / "gradle/libs.versions.toml").read_text())
    scripts = "\n".join(path.read_text() for path in project.rglob("*.gradle.kts"))
    named = {name.replace(".", "-") for name in re.findall(r"implementation\(libs\.([\w.]+)\)", scripts)}
    assert named == set(catalog["libraries"])
    plugins = {name.replace(".", "-") for name in re.findall(r"libs\.plugins\.([\w.]+)\)", scripts)}
    assert plugins == set(catalog["plugins"])
    for entry in (*catalog["libraries"].values(), *catalog["plugins"].values()):
        assert entry["version"]["ref"] in catalog["versions"]
    for text in (scripts, *(path.read_text() for path in project.rglob("*.kt"))):
        for opening, closing in ("()", "{}"):
            assert text.count(opening) == text.count(closing)


def test_the_model_gives_the_classes_that_the_app_names(project: Path) -> None:
    card = json.loads((SHIPPED / "model.json").read_text())
    interpreter = load((project / MAIN / "assets/model.tflite").read_bytes(), 1)
    assert interpreter.get_input_details()[0]["dtype"] is np.uint8
    assert interpreter.get_output_details()[0]["shape"][-1] == len(card["classes"])
    classes = (project / MAIN / "kotlin" / Path(*APP_ID.split(".")) / "Classes.kt").read_text()
    found = re.findall(r'SegmentationClass\("(.+)", 0xFF(\w{6})\.toInt\(\)\)', classes)
    assert [name for name, _ in found] == card["classes"]
    assert [[*bytes.fromhex(colour)] for _, colour in found] == card["colours"]


def test_texts_become_kotlin_strings() -> None:
    assert kotlin_string('a "b" $c \\ é\n') == r'"a \"b\" \$c \\ é\u000a"'


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--application-id", "roads"], "--application-id roads: give two or more words"),
        (["--application-id", "com.Example"], "--application-id"),
        (["--application-id", "com.example.fun"], "none a keyword of Kotlin"),
        (["--application-id", "com.example/../x"], "--application-id"),
        (["--app-name", " "], "--app-name: give the name"),
        (["--app-name", "two\nlines"], "--app-name: give the name"),
        (["--out", "{full}"], "is there already"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], says: str, tmp_path: Path, command) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    out = [] if "--out" in flags else ["--out", tmp_path / "new"]
    code, _, err = command(compress.android.main, SHIPPED, *(flag.format(full=full) for flag in flags), *out)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.tflite is missing"):
        build_android(tmp_path, tmp_path / "out", APP_ID, "Roads")


@pytest.mark.slow
@pytest.mark.skipif(not (COMPILER and shutil.which("javac")), reason="no Kotlin compiler: see docs/deploy.md")
def test_kotlin_compiles_against_stubs(project: Path, tmp_path: Path) -> None:
    sources = tmp_path / "stubs"
    for part in STUBS.read_text().split("// FILE ")[1:]:
        name, _, text = part.partition("\n")
        file = sources / f"{name.strip()}.java"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ids = ["preview", "overlay", "speed", "legend", "opacity", "camera", "delegate"]
    strings = ["run_on_cpu", "run_on_gpu", "speed", "camera_needed", "model_failed"]
    resources = sources / Path(*APP_ID.split(".")) / "R.java"
    resources.parent.mkdir(parents=True)
    groups = {"id": ids, "string": strings, "layout": ["activity_main"]}
    inner = "".join(
        f"public static class {group} {{ {''.join(f'public static final int {n} = 1; ' for n in names)} }}"
        for group, names in groups.items()
    )
    resources.write_text(f"package {APP_ID}; public class R {{ {inner} }}")
    java = [str(path) for path in sources.rglob("*.java")]
    subprocess.run(["javac", "-d", str(tmp_path / "classes"), *java], check=True)
    jars = ":".join(str(path) for path in Path(str(COMPILER)).glob("*.jar"))
    kotlin = [str(path) for path in (project / MAIN / "kotlin").rglob("*.kt")]
    standard = next(str(path) for path in Path(str(COMPILER)).glob("kotlin-stdlib-*.jar"))
    done = subprocess.run(
        [
            "java",
            "-cp",
            jars,
            "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            "-no-stdlib",
            "-no-reflect",
            "-Werror",
            "-classpath",
            f"{standard}:{tmp_path / 'classes'}",
            "-d",
            str(tmp_path / "out"),
            *kotlin,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").rglob("MainActivity.class"))
