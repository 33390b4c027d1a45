"""The files beside model.tflite in a finished run: they give its classes, and a damaged one is refused by name."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from commands import Command, run_stage
from stage_runs import SIDE, run_without_noise
from test_export import wrong_int8

import compress.verify
from compress.evaluation.agreement import AGREEMENT_BOUNDS
from compress.evaluation.tflite_file import class_maps
from compress.files.records import read_json
from compress.stages.export import FILES
from compress.stages.run import Run, open_run
from compress.stages.variants import INT8_ONNX, MEDIAPIPE, UINT8
from compress.stages.verify import verify
from compress.tflite.conversion import ONNX_IR_VERSION, ONNX_OPSET
from compress.tflite.flatbuffer import read_tflite
from compress.tflite.variants import with_logits_output, with_uint8_input
from search_spaces.errors import InputError

VARIANTS = (UINT8, MEDIAPIPE, INT8_ONNX)
ONNX_FILES = ("model.onnx", INT8_ONNX)


def test_every_file_of_the_card_is_there_and_verified(whole: Path, exported: Path) -> None:
    assert set(VARIANTS) < set(read_json(whole / "model.json", "")["files"]) == set(FILES)
    assert all((whole / name).stat().st_size for name in FILES)
    untrained, trained = (open_run(path).metrics("export") for path in (whole, exported))
    assert {bound.file for bound in AGREEMENT_BOUNDS.values()} == set(FILES)
    for metrics, agreement in ((untrained, 0.96), (trained, 0.98)):
        assert metrics["uint8_agreement"] == metrics["mediapipe_agreement"] == 1.0
        assert metrics["uint8_miou"] == metrics["mediapipe_miou"] == metrics["miou"]
        assert metrics["int8_onnx_agreement"] > agreement  # ONNX Runtime rounds in its own way
        assert metrics["int8_onnx_miou"] == pytest.approx(metrics["miou"], abs=0.02)
    assert trained["agreement_with_torch"] > 0.95


@pytest.mark.parametrize("name", [UINT8, MEDIAPIPE])
def test_a_variant_gives_the_classes_of_the_model_on_every_pixel(exported: Path, name: str) -> None:
    pixels = list(open_run(exported).validation.pixels((SIDE, SIDE)))
    expected, found = (
        np.stack(list(class_maps(read_tflite(exported / one), pixels, 1))) for one in ("model.tflite", name)
    )
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 1


def test_the_labels_are_those_of_the_run(whole: Path) -> None:
    with zipfile.ZipFile(whole / MEDIAPIPE) as archive:
        labels = archive.read("labels.txt").decode().split("\n")
    assert labels == read_json(whole / "model.json", "")["classes"]


@pytest.mark.parametrize("name", ONNX_FILES)
def test_onnx_files_load_in_old_runtimes_and_hold_no_path(whole: Path, name: str) -> None:
    model = onnx.load(whole / name)
    onnx.checker.check_model(model)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert (opsets[""], model.ir_version) == (ONNX_OPSET, ONNX_IR_VERSION) == (18, 8)  # of ONNX Runtime 1.15
    for weights in model.graph.initializer:
        weights.ClearField("raw_data")  # any bytes may be among weights
    content = model.SerializeToString()
    for inside in (whole, Path.cwd(), Path(torch.__file__).parent, "site-packages", ".py"):
        assert str(inside).encode() not in content


def wrong_variant(name: str, change: Callable[[bytes], bytes]) -> Callable[[Run], None]:
    """Replaces a variant by that of a model with its classes mixed up; model.tflite stays."""

    def damage(run: Run) -> None:
        model = (run.path / "model.tflite").read_bytes()
        wrong_int8(run)
        (run.path / name).write_bytes(change((run.path / "model.tflite").read_bytes()))
        (run.path / "model.tflite").write_bytes(model)

    return damage


def cut_short(name: str) -> Callable[[Run], None]:
    def damage(run: Run) -> None:
        content = (run.path / name).read_bytes()
        (run.path / name).write_bytes(content[: len(content) // 2])

    return damage


def wrong_int8_onnx(run: Run) -> None:
    """Its classes, one class on."""
    model = onnx.load(run.path / INT8_ONNX)
    (last,) = (node for node in model.graph.node if node.op_type == "ArgMax")
    classes = onnx.helper.make_node("Neg", [last.input[0]], ["negated"])
    last.input[0] = "negated"
    model.graph.node.insert(list(model.graph.node).index(last), classes)
    onnx.save(model, run.path / INT8_ONNX)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (wrong_variant(UINT8, with_uint8_input), rf"{UINT8}: gives the class of model\.tflite on 0\."),
        (
            wrong_variant(MEDIAPIPE, lambda model: with_logits_output(with_uint8_input(model))),
            rf"{MEDIAPIPE}: gives the class of model\.tflite on 0\.",
        ),
        (wrong_int8_onnx, rf"{INT8_ONNX}: gives the class of model.tflite on 0\."),
        (cut_short(UINT8), rf"{UINT8}: a damaged \.tflite file"),
        (cut_short(MEDIAPIPE), rf"{MEDIAPIPE}: a damaged \.tflite file"),
        (cut_short(INT8_ONNX), rf"{INT8_ONNX}: ONNX Runtime cannot run it"),
    ],
    ids=["uint8 wrong", "mediapipe wrong", "int8 onnx wrong", "uint8 cut", "mediapipe cut", "int8 onnx cut"],
)
def test_verify_names_the_variant_that_is_wrong(copied: Path, damage: Callable[[Run], None], said: str) -> None:
    run = run_without_noise(copied)
    damage(run)
    with pytest.raises(InputError, match=said) as refused:
        verify(run)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_the_command_refuses_a_variant_that_is_not_the_exported_one(copied: Path, name: str, command: Command) -> None:
    cut_short(name)(open_run(copied))
    code, _, err = command(compress.verify.main, copied)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert name in err
    assert f"run python -m compress.export {copied} first" in err


def test_a_run_of_an_older_version_is_exported_again(copied: Path, command: Command) -> None:
    """Older versions wrote no variants. Their runs are asked for them in one line, and get them by that command."""
    for name in VARIANTS:
        (copied / name).unlink()
    code, _, err = command(compress.verify.main, copied)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert f"run python -m compress.export {copied} first; {', '.join(VARIANTS)} not found" in err
    code, _, err = run_stage(command, "export", copied)
    assert code == 0, err
    assert command(compress.verify.main, copied)[0] == 0
