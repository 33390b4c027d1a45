"""TFLite metadata: what MediaPipe's ImageSegmenter reads beside the network.

The metadata are a flatbuffer of their own inside the .tflite file. The labels are a text file in a zip archive behind
it. The tables are those of metadata_schema.fbs of TensorFlow Lite and of image_segmenter_metadata_schema.fbs of
MediaPipe (ai.google.dev/edge/litert/models/metadata). MediaPipe's own writer packs the network anew without sharing
equal vectors, which adds some 70 KB, so the tables are written here.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.tflite.flatbuffer import pack, read_model

METADATA_NAME, METADATA_IDENTIFIER = b"TFLITE_METADATA", b"M001"
SEGMENTER_NAME, SEGMENTER_IDENTIFIER = "SEGMENTER_METADATA", b"V001"
PARSER_VERSION = "1.0.0"  # of the metadata parser, the least that knows these tables
LABELS_FILE = "labels.txt"
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same file from the same network
# numbers of the two schemas
IMAGE_PROPERTIES, RGB = 2, 1
NORMALIZATION_OPTIONS = 1
LABELS_OF_AXIS = 2  # TENSOR_AXIS_LABELS
SOFTMAX = 2  # MediaPipe's activation of the logits

Field = tuple[str, object]  # how a field is stored, and its value


@dataclass(frozen=True)
class ModelInfo:
    """What the metadata say of a network.

    Attributes:
        name: of the model.
        description: one or two sentences.
        version: of the file.
        license: of the weights; empty where nobody said.
        labels: class names in the order of the logits.
    """

    name: str
    description: str
    version: str
    license: str
    labels: tuple[str, ...]


def with_metadata(content: bytes, info: ModelInfo) -> bytes:
    """Adds metadata and labels to a file that reads uint8 pixels and gives float32 logits.

    Args:
        content: a .tflite file with one uint8 input (1,H,W,3) and one float32 output (1,h,w,classes).
        info: names, texts and labels.

    Returns:
        The .tflite file that MediaPipe's ImageSegmenter opens.
    """
    model = read_model(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(model_metadata(info), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    whole = io.BytesIO(pack(model))
    whole.seek(0, io.SEEK_END)
    with zipfile.ZipFile(whole, "a") as archive:
        labels = "\n".join(" ".join(label.split()) for label in info.labels)
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, ZIP_DATE), labels)
    return whole.getvalue()


def model_metadata(info: ModelInfo) -> bytes:
    """Writes the `ModelMetadata` table.

    Args:
        info: names, texts and labels.

    Returns:
        The flatbuffer, identifier M001.
    """
    writer = _TableWriter()
    content = writer.table(
        ("ubyte", IMAGE_PROPERTIES),
        ("offset", writer.table(("byte", RGB))),
    )
    # MediaPipe feeds (pixel - mean) / std; a uint8 file takes the pixels as they are
    normalization = writer.table(("offset", writer.floats([0.0])), ("offset", writer.floats([1.0])))
    unit = writer.table(("ubyte", NORMALIZATION_OPTIONS), ("offset", normalization))
    image = writer.table(
        ("offset", writer.text("image")),
        ("offset", writer.text("RGB pixels 0..255")),
        None,
        ("offset", content),
        ("offset", writer.vector([unit])),
        ("offset", writer.table(("offset", writer.floats([255.0])), ("offset", writer.floats([0.0])))),
    )
    labels = writer.table(
        ("offset", writer.text(LABELS_FILE)),
        ("offset", writer.text("a class on each line, in the order of the logits")),
        ("byte", LABELS_OF_AXIS),
    )
    logits = writer.table(
        ("offset", writer.text("segmentation_masks")),
        ("offset", writer.text("logits of each class, N,H,W,C")),
        None,
        None,
        None,
        None,
        ("offset", writer.vector([labels])),
    )
    custom = writer.table(("offset", writer.text(SEGMENTER_NAME)), ("offset", writer.bytes_(segmenter_metadata())))
    fields: list[Field | None] = [None] * 10
    fields[0] = ("offset", writer.text(info.name))
    fields[2], fields[3] = ("offset", writer.vector([image])), ("offset", writer.vector([logits]))
    fields[9] = ("offset", writer.vector([custom]))
    subgraph = writer.table(*fields)
    model = writer.table(
        ("offset", writer.text(info.name)),
        ("offset", writer.text(info.description)),
        ("offset", writer.text(info.version)),
        ("offset", writer.vector([subgraph])),
        ("offset", writer.text("SlimLab")),
        ("offset", writer.text(info.license)) if info.license else None,
        None,
        ("offset", writer.text(PARSER_VERSION)),
    )
    return writer.finish(model, METADATA_IDENTIFIER)


def segmenter_metadata() -> bytes:
    """Writes MediaPipe's `ImageSegmenterOptions`: the logits want a softmax.

    Returns:
        The flatbuffer, identifier V001.
    """
    writer = _TableWriter()
    options = writer.table(("byte", SOFTMAX), ("offset", writer.text(PARSER_VERSION)))
    return writer.finish(options, SEGMENTER_IDENTIFIER)


class _TableWriter:
    """Flatbuffer tables without generated code. Fields stand in the order of the schema, None for one left out."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def floats(self, values: Sequence[float]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, np.float32)))

    def bytes_(self, value: bytes) -> int:
        return int(self.builder.CreateByteVector(value))

    def vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(self, *fields: Field | None) -> int:
        add: dict[str, Callable[[int, object, int], None]] = {
            "offset": self.builder.PrependUOffsetTRelativeSlot,
            "byte": self.builder.PrependInt8Slot,
            "ubyte": self.builder.PrependUint8Slot,
        }
        self.builder.StartObject(len(fields))
        for slot, field in enumerate(fields):
            if field is not None:
                kind, value = field
                add[kind](slot, value, 0)
        return int(self.builder.EndObject())

    def finish(self, root: int, identifier: bytes) -> bytes:
        self.builder.Finish(root, file_identifier=identifier)
        return bytes(self.builder.Output())
