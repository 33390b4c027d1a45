"""Four and seven bands from the folder to the files that are shipped: search, every stage, verify, predict."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from band_data import BANDS, write_bands
from commands import Command, run_stage
from conftest import brief_table

import compress.android
import compress.demo
import compress.ios
import compress.predict
import compress.verify
import nas.search
from compress.files.tensors import load_network
from compress.latency.spec import TableSpec
from compress.latency.targets import HostTarget
from compress.latency.timing import load
from compress.stages.shipped_files import shipped_files
from compress.tflite.writer import INT8
from search_spaces import get_space

pytestmark = pytest.mark.slow
CLASSES, SIDE, SPACE = 3, 64, "lraspp"  # of all spaces its table has the fewest ops


@pytest.mark.parametrize(("bands", "weights"), [(4, "imagenet"), (7, "none")])
def test_a_run_of_many_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, bands: int, weights: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_bands(tmp_path / "data", bands, classes=CLASSES)
    space = get_space(SPACE, bands)
    table = brief_table(TableSpec(space, CLASSES, (SIDE, SIDE), INT8, HostTarget()), tmp_path / "table.json")
    common = ("--budget-ms", 50, "--data", f"folder:{data}", "--table", table, "--input-size", SIDE, "--space", SPACE)
    code, out, err = command(nas.search.main, *common, "--weights", weights, "--preset", "toy", "--run", "many")
    assert code == 0, err
    assert f"MediaPipe takes pictures of three bands, this network takes {bands}" in out
    run = tmp_path / "runs" / "many"
    assert not [name for name in shipped_files(bands) if not (run / name).is_file()]
    assert not (run / "model.mediapipe.tflite").exists()
    assert load_network(run / "quantize" / "network.pt").genotype.bands == bands
    check_files(run, bands)
    check_commands(run, bands, data, command)


def check_files(run: Path, bands: int) -> None:
    """The card names the bands in order, and every file takes them."""
    card = json.loads((run / "model.json").read_text())
    assert card["input"]["shape"][3] == bands
    assert card["input"]["channels"] == card["input"]["bands"]["names"] == list(BANDS[:bands])
    assert len(card["input"]["bands"]["ranges"]) == bands
    assert "model.mediapipe.tflite" not in card["files"]
    for name in ("model.tflite", "model.uint8.tflite", "model.float.tflite"):
        assert load((run / name).read_bytes(), 1).get_input_details()[0]["shape"][3] == bands
    for name in ("model.onnx", "model.int8.onnx"):
        session = onnxruntime.InferenceSession(run / name, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape[3] == bands


def check_commands(run: Path, bands: int, data: Path, command: Command) -> None:
    """Commands after the search take the run, or say in a line why they cannot."""
    code, _, err = run_stage(command, "verify", run)
    assert code == 0, err
    image = data / "val" / "images" / "0.tif"
    code, out, err = command(compress.predict.main, run, image, "--out", "out", "--show-bands", "red,green,blue")
    assert code == 0, err
    assert np.isclose(sum(json.loads(out)["shares"].values()), 1, atol=1e-3)
    for main in (compress.android.main, compress.ios.main):
        code, _, err = command(main, run, "--out", "app")
        assert (code, err.count("\n")) == (2, 1)
        assert f"gives pictures of 3 bands, this model takes {bands}" in err
