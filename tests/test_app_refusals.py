"""What `predict`, `demo`, `android` and `ios` refuse: one line that names the remedy, exit code 2, nothing written."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Command
from PIL import Image

import compress.android
import compress.demo
import compress.ios
import compress.predict
from compress.apps.ios.packages import import_coremltools
from search_spaces.errors import InputError

SHIPPED = Path(__file__).parent.parent / "runs" / "camvid"
COMMANDS: dict[str, tuple[Callable[[], None], list[str]]] = {
    "predict": (compress.predict.main, ["{photo}"]),
    "demo": (compress.demo.main, []),
    "android": (compress.android.main, []),
    "the WebView app": (compress.android.main, ["--webview-apk", "{here}/app.apk"]),
}


@pytest.fixture
def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, a file that is none, a model without its card and a run that is not exported."""
    Image.new("RGB", (20, 10)).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "alone").mkdir()
    shutil.copyfile(SHIPPED / "model.tflite", tmp_path / "alone" / "model.tflite")
    (tmp_path / "begun").mkdir()
    shutil.copyfile(SHIPPED / "config.json", tmp_path / "begun" / "config.json")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))  # of the key that signs
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command: Command, main: Callable[[], None], here: Path, *arguments: object) -> str:
    """The one line that a command ends with; it leaves no file."""
    before = sorted(here.rglob("*"))
    given = (str(argument).format(here=here, photo=here / "photo.png") for argument in arguments)
    code, _, err = command(main, *given)
    assert code == 2, err
    assert len(err.strip().splitlines()) == 1, err
    assert sorted(here.rglob("*")) == before
    return err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_without_export(name: str, here: Path, command: Command) -> None:
    main, more = COMMANDS[name]
    said = refused(command, main, here, here / "begun", *more)
    assert f"{here / 'begun' / 'model.tflite'} is missing; run python -m compress.export" in said


def test_a_run_without_export_for_ios(here: Path, command: Command) -> None:
    assert "run python -m nas.search --resume first" in refused(command, compress.ios.main, here, here / "begun")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_model_without_its_card(name: str, here: Path, command: Command) -> None:
    main, more = COMMANDS[name]
    said = refused(command, main, here, here / "alone" / "model.tflite", *more)
    assert f"{here / 'alone' / 'model.json'} is missing; copy the model.json" in said


def test_an_image_that_is_none(here: Path, command: Command) -> None:
    code, _, err = command(compress.predict.main, SHIPPED, here / "text.png", "--out", here / "out")
    assert code == 2
    assert str(here / "text.png") in err.strip().splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_written(name: str, here: Path, command: Command) -> None:
    """A file stands in the way; permissions would not stop root."""
    main, more = COMMANDS[name]
    flag = "--webview-apk" if "--webview-apk" in more else "--out"
    photo = more if name == "predict" else []
    assert str(here / "text.png") in refused(command, main, here, SHIPPED, *photo, flag, here / "text.png" / "out")


def test_a_missing_extra_names_the_pip_command(here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("cryptography", "coremltools"):
        for module in [one for one in sys.modules if one.split(".")[0] == library]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, library, None)
    said = refused(command, compress.android.main, here, SHIPPED, "--webview-apk", here / "app.apk")
    assert 'pip install "slimlab[android]"' in said
    with pytest.raises(InputError, match=r'pip install "slimlab\[ios\]"') as without:
        import_coremltools()
    assert len(str(without.value).splitlines()) == 1
