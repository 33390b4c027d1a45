"""The demo page as a signed APK."""

import io
import tempfile
import zipfile
from importlib.resources import files
from pathlib import Path

from compress.apps.android.build import check_names
from compress.apps.android.webview.manifest import app_manifest, binary_xml
from compress.apps.android.webview.signing import key_file, load_key, sign
from compress.apps.demo.build import build_demo
from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

ZIP_DATE = (1981, 1, 1, 1, 1, 2)  # the same archive from the same files
LEFT_OUT = ("sw.js", "manifest.webmanifest")  # an app needs no offline cache and is installed already


def build_apk(model: Path, out: Path, application_id: str, name: str) -> None:
    """Writes the signed app.

    Args:
        model: a run folder, or a .tflite file with its model.json beside it.
        out: the .apk file.
        application_id: the app's id.
        name: the name that the phone shows.

    Raises:
        InputError: the model or the card is missing, a flag is wrong, the runtime of the page or the package
            cryptography is missing, or `out` cannot be written.
    """
    check_names(application_id, name)
    key = load_key(key_file())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "demo"
        build_demo(model, page)
        unsigned = pack_apk(page, application_id, name)
    try:
        write_atomically(out, sign(unsigned, key))
    except OSError as error:
        raise InputError(f"--webview-apk {out}: cannot be written ({error.strerror}); choose another file") from error


def pack_apk(page: Path, application_id: str, name: str) -> bytes:
    """Packs manifest, code and page.

    Args:
        page: the folder of the demo.
        application_id: the app's id.
        name: the name that the phone shows.

    Returns:
        The zip archive, not yet signed. Every file in it is compressed, so that none needs to be aligned.
    """
    entries = {
        "AndroidManifest.xml": binary_xml(app_manifest(name, application_id)),
        "classes.dex": (files("compress.apps.android.webview") / "classes.dex").read_bytes(),
    }
    for path in sorted(path for path in page.rglob("*") if path.is_file() and path.name not in LEFT_OUT):
        entries[f"assets/{path.relative_to(page).as_posix()}"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for inside, content in entries.items():
            archive.writestr(zipfile.ZipInfo(inside, ZIP_DATE), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
