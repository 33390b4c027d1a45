"""Variants of the shipped file: the same classes on every pixel, in the form that a runtime wants."""

import io
import zipfile
from pathlib import Path

import flatbuffers.table
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from compress.latency.timing import load
from compress.tflite.flatbuffer import read_model
from compress.tflite.metadata import ModelInfo, model_metadata, with_metadata
from compress.tflite.reader import file_ops
from compress.tflite.variants import with_logits_output, with_uint8_input
from compress.tflite.writer import FLOAT32, random_weight_model
from search_spaces import graph_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

INFO = ModelInfo("name", "what it is", "1", "Apache-2.0", ("water", "land", "sky and\nclouds"))


@pytest.fixture(scope="module")
def model() -> bytes:
    """A trained model: a random one gives every pixel the same class."""
    return (Path(__file__).parent.parent / "runs" / "camvid" / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Sky above, road below."""
    rows = np.linspace(0, 1, 360)[:, None, None]
    picture = np.array([200, 215, 235]) * (1 - rows) + np.array([70, 70, 75]) * rows
    noise = np.random.default_rng(0).integers(-12, 12, (360, 480, 3))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def run(content: bytes, pixels: np.ndarray) -> np.ndarray:
    interpreter = load(content, 1)
    (reads,), (makes,) = interpreter.get_input_details(), interpreter.get_output_details()
    offset = -128 if reads["dtype"] is np.int8 else 0
    interpreter.set_tensor(reads["index"], (pixels.astype(np.int16) + offset).astype(reads["dtype"])[None])
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(makes["index"])[0])


def test_uint8_pixels_give_the_same_class_map(model: bytes, pixels: np.ndarray) -> None:
    variant = with_uint8_input(model)
    assert load(variant, 1).get_input_details()[0]["dtype"] is np.uint8
    assert np.array_equal(run(variant, pixels), run(model, pixels))
    assert [op.name for op in file_ops(variant)] == ["QUANTIZE", *(op.name for op in file_ops(model))]
    assert len(variant) - len(model) < 300


def test_logits_have_their_maximum_at_the_class(model: bytes, pixels: np.ndarray) -> None:
    variant = with_logits_output(with_uint8_input(model))
    logits = run(variant, pixels)
    assert logits.dtype == np.float32
    assert np.array_equal(logits.argmax(-1), run(model, pixels))
    assert len(np.unique(run(model, pixels))) > 1  # else any map would pass


def test_a_file_that_is_no_int8_model_is_refused(tiny: Genotype) -> None:
    floats = random_weight_model(graph_of(tiny), FLOAT32)
    with pytest.raises(InputError, match="not int8"):
        with_uint8_input(floats)
    with pytest.raises(InputError, match="does not end in an ARG_MAX"):
        with_logits_output(with_logits_output(floats))


def test_metadata_leave_the_network_as_it_is(model: bytes, pixels: np.ndarray) -> None:
    plain = with_logits_output(with_uint8_input(model))
    content = with_metadata(plain, INFO)
    assert np.array_equal(run(content, pixels), run(plain, pixels))
    assert len(content) - len(plain) < 2000
    assert content == with_metadata(plain, INFO)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().split("\n") == ["water", "land", "sky and clouds"]
    (entry,) = (entry for entry in read_model(content).metadata if entry.name == b"TFLITE_METADATA")
    assert bytes(read_model(content).buffers[entry.buffer].data) == model_metadata(INFO)


def test_metadata_hold_what_the_schema_asks_for() -> None:
    """Read back field by field, by the numbers of metadata_schema.fbs."""
    content = model_metadata(INFO)
    assert content[4:8] == b"M001"
    model = Table(content, int.from_bytes(content[:4], "little"))
    assert [model.text(i) for i in (0, 1, 2, 4, 5, 7)] == ["name", "what it is", "1", "SlimLab", "Apache-2.0", "1.0.0"]
    (subgraph,) = model.tables(3)
    (image,), (logits,) = subgraph.tables(2), subgraph.tables(3)
    (normalization,) = image.tables(4)
    options = normalization.table(1)
    assert (options.floats(0), options.floats(1)) == ([0.0], [1.0])
    (labels,) = logits.tables(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)
    (custom,) = subgraph.tables(9)
    assert custom.text(0) == "SEGMENTER_METADATA"
    inner = bytes(custom.bytes_(1))
    assert inner[4:8] == b"V001"
    assert Table(inner, int.from_bytes(inner[:4], "little")).byte(0) == 2  # softmax


class Table:
    """Reads a flatbuffer table by the numbers of its fields."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.inner = content, flatbuffers.table.Table(bytearray(content), at)

    def place(self, field: int) -> int:
        offset = self.inner.Offset(4 + 2 * field)
        assert offset, f"field {field} is missing"
        return int(offset)

    def text(self, field: int) -> str:
        return str(self.inner.String(self.place(field) + self.inner.Pos).decode())

    def byte(self, field: int) -> int:
        return int(self.inner.Get(flatbuffers.number_types.Int8Flags, self.place(field) + self.inner.Pos))

    def floats(self, field: int) -> list[float]:
        return [float(x) for x in self.inner.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, self.place(field))]

    def bytes_(self, field: int) -> bytes:
        return bytes(self.inner.GetVectorAsNumpy(flatbuffers.number_types.Uint8Flags, self.place(field)))

    def table(self, field: int) -> "Table":
        return Table(self.content, int(self.inner.Indirect(self.place(field) + self.inner.Pos)))

    def tables(self, field: int) -> list["Table"]:
        start, count = self.inner.Vector(self.place(field)), self.inner.VectorLen(self.place(field))
        return [Table(self.content, int(self.inner.Indirect(start + 4 * i))) for i in range(count)]


def test_a_float_logit_needs_no_dequantize(tiny: Genotype) -> None:
    floats = random_weight_model(graph_of(tiny), FLOAT32)
    variant = with_logits_output(floats)
    assert "DEQUANTIZE" not in {op.name for op in file_ops(variant)}
    output = read_model(variant).subgraphs[0]
    assert output.tensors[output.outputs[0]].type == schema.TensorType.FLOAT32
