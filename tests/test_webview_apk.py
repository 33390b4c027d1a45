"""The demo page as an app: what Android's own tools say of it. No phone is at hand here."""

import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

import compress.android
from compress.apps.android.webview.apk import pack_apk
from compress.apps.android.webview.signing import load_key, sign
from search_spaces.errors import InputError

APP_ID, NAME = "org.example.roads", "Roads & more"
WEBVIEW = Path(compress.android.__file__).parent / "apps" / "android" / "webview"
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, ("apksigner", "aapt", "zipalign"))), reason="no apksigner, aapt and zipalign"
)


@pytest.fixture(scope="module")
def apk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apk")
    page = folder / "page"
    (page / "vendor").mkdir(parents=True)
    (page / "index.html").write_text("<p>page</p>")
    (page / "vendor" / "litert.js").write_text("export {};")
    (page / "sw.js").write_text("left out")
    file = folder / "app.apk"
    file.write_bytes(sign(pack_apk(page, APP_ID, NAME), load_key(folder / "key.pem")))
    return file


def said(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_tools
def test_androids_tools_accept_it(apk: Path) -> None:
    verified = said("apksigner", "verify", "--verbose", apk)
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in verified
    said("zipalign", "-c", "4", apk)
    badging = said("aapt", "dump", "badging", apk)
    assert f"package: name='{APP_ID}' versionCode='1' versionName='1.0'" in badging
    assert "uses-permission: name='android.permission.CAMERA'" in badging
    assert "launchable-activity: name='dev.slimlab.webview.Main'" in badging
    assert "sdkVersion:'26'" in badging
    assert "targetSdkVersion:'34'" in badging
    assert f'android:label(0x01010001)="{NAME}"' in said("aapt", "dump", "xmltree", apk, "AndroidManifest.xml")


@needs_tools
def test_a_changed_byte_breaks_the_signature(apk: Path, tmp_path: Path) -> None:
    content = bytearray(apk.read_bytes())
    content[content.index(b"index.html") + 20] ^= 1
    broken = tmp_path / "broken.apk"
    broken.write_bytes(content)
    assert subprocess.run(["apksigner", "verify", str(broken)], capture_output=True).returncode != 0


def test_it_holds_the_page_and_the_code(apk: Path) -> None:
    with zipfile.ZipFile(apk) as archive:
        assert sorted(archive.namelist()) == [
            "AndroidManifest.xml",
            "assets/index.html",
            "assets/vendor/litert.js",
            "classes.dex",
        ]


@pytest.mark.skipif(not shutil.which("smali"), reason="no smali")
def test_the_code_is_what_the_sources_say(tmp_path: Path) -> None:
    said("smali", "assemble", "-j", "1", WEBVIEW / "smali", "-o", tmp_path / "classes.dex")
    assert (tmp_path / "classes.dex").read_bytes() == (WEBVIEW / "classes.dex").read_bytes()


def test_the_key_is_the_users_alone_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "config" / "key.pem"
    first = load_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_key(file).certificate == first.certificate
    file.write_text("no key")
    with pytest.raises(InputError, match="not the key that signs apps"):
        load_key(file)


def test_a_wrong_name_is_one_line(tmp_path: Path, command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    flags = ["--webview-apk", tmp_path / "app.apk", "--application-id", "roads"]
    code, _, err = command(compress.android.main, tmp_path, *flags)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
