"""Writes the Android Studio project: the template with names, classes and model filled in."""

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from xml.sax.saxutils import escape

from compress.apps.demo.build import icon
from compress.files.atomic import make_folder
from compress.prediction.card import ModelCard, find_model, read_card, require_rgb
from compress.tflite.flatbuffer import read_tflite
from compress.tflite.metadata import ModelInfo, with_metadata
from compress.tflite.variants import with_logits_output, with_uint8_input
from search_spaces.errors import InputError

APPLICATION_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
KEYWORDS = {  # of Kotlin and Java, which no part of a package may be
    *("as", "break", "class", "continue", "do", "else", "false", "for", "fun", "if", "in", "interface", "is", "null"),
    *("object", "package", "return", "super", "this", "throw", "true", "try", "typealias", "typeof", "val", "var"),
    *("when", "while", "abstract", "boolean", "byte", "case", "catch", "char", "const", "default", "double", "enum"),
    *("extends", "final", "finally", "float", "goto", "implements", "import", "int", "long", "native", "new"),
    *("private", "protected", "public", "short", "static", "switch", "synchronized", "throws", "transient", "void"),
}
SOURCES, ASSETS = Path("app/src/main/kotlin"), Path("app/src/main/assets")
ICON_FOLDER, ICON_SIDE = Path("app/src/main/res/mipmap-xxhdpi"), 144
MARKER = "settings.gradle.kts"  # by which a folder is known as a project


def build_android(model: Path, out: Path, application_id: str, name: str) -> None:
    """Writes the project.

    Args:
        model: a run folder, or a .tflite file with its model.json beside it.
        out: the folder; one that is there must be empty.
        application_id: the app's id, such as com.example.roads; it is the Kotlin package too.
        name: the app's name as the phone shows it.

    Raises:
        InputError: the model or the card is missing, the model takes other bands than a camera gives, a flag is wrong,
            or `out` is not empty.
    """
    check_names(application_id, name)
    model_file, card_file = find_model(model)
    card = read_card(card_file)
    require_rgb(card, model, "the camera of the Android app")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; choose another folder, your changes may be in it")
    info = ModelInfo(name, f"Semantic segmentation of {len(card.classes)} classes", "1", "", card.classes)
    content = with_metadata(with_logits_output(with_uint8_input(read_tflite(model_file))), info)

    def fill(folder: Path) -> None:
        with as_file(files("compress.apps.android") / "project") as template:
            shutil.copytree(template, folder, dirs_exist_ok=True)
        fill_in(folder, application_id, name, card)
        (folder / ASSETS).mkdir(parents=True)
        (folder / ASSETS / "model.tflite").write_bytes(content)
        (folder / ICON_FOLDER).mkdir(parents=True)
        (folder / ICON_FOLDER / "ic_launcher.png").write_bytes(icon(ICON_SIDE, card.colours))

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        make_folder(out, fill)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error


def check_names(application_id: str, name: str) -> None:
    """Checks what becomes part of Kotlin, Gradle and XML files.

    Args:
        application_id: the app's id.
        name: the app's name.

    Raises:
        InputError: one of them cannot be used.
    """
    if not APPLICATION_ID.fullmatch(application_id) or set(application_id.split(".")) & KEYWORDS:
        raise InputError(
            f"--application-id {application_id}: give two or more words of small letters, digits and underscores "
            "joined by dots, none a keyword of Kotlin, such as com.example.roads"
        )
    if not name.strip() or not name.isprintable():
        raise InputError("--app-name: give the name that the phone shows, such as Roads")


def fill_in(folder: Path, application_id: str, name: str, card: ModelCard) -> None:
    """Replaces the marks of the template and moves the sources into the folders of their package.

    Args:
        folder: the copied template.
        application_id: the app's id.
        name: the app's name.
        card: has class names and colours.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            # in a string resource the apostrophe, the quote and the backslash are escaped too
            shown = re.sub(r"(['\"\\])", r"\\\1", escape(name)) if path.suffix == ".xml" else name
            text = path.read_text().replace("@APPLICATION_ID@", application_id).replace("@APP_NAME@", shown)
            path.write_text(text.replace("@CLASSES@", kotlin_classes(card)))
    package = folder / SOURCES / Path(*application_id.split("."))
    package.mkdir(parents=True)
    for source in sorted((folder / SOURCES).glob("*.kt")):
        source.rename(package / source.name)


def kotlin_classes(card: ModelCard) -> str:
    """Writes the classes as Kotlin.

    Args:
        card: has names and colours.

    Returns:
        A line for each class.
    """
    return "\n".join(
        f"    SegmentationClass({kotlin_string(name)}, 0xFF{red:02X}{green:02X}{blue:02X}.toInt()),"
        for name, (red, green, blue) in zip(card.classes, card.colours, strict=True)
    )


def kotlin_string(text: str) -> str:
    """Writes a text as a Kotlin string.

    Args:
        text: any text.

    Returns:
        The literal with its quotes.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
