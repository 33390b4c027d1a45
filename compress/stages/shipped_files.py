"""The files that the last stage puts into the run folder, for one runtime or another."""

from search_spaces.ops import RGB_BANDS

# What each file reads and gives. Shapes are those of model.tflite unless said otherwise.
FILES = {
    "model.tflite": {"input": "int8, pixel byte minus 128", "output": "class map, int32"},
    "model.uint8.tflite": {"input": "uint8, pixel byte", "output": "class map, int32"},
    "model.mediapipe.tflite": {
        "input": "uint8, pixel byte",
        "output": "logits N,h,w,classes, float32, with labels and metadata for MediaPipe's ImageSegmenter",
    },
    "model.float.tflite": {"input": "float32, pixel byte / 255", "output": "class map, int64"},
    "model.onnx": {"input": "pixels, float32, pixel byte / 255", "output": "class_map, int64"},
    "model.int8.onnx": {"input": "pixels, float32, pixel byte / 255; int8 inside", "output": "class_map, int64"},
}
# where the target's NPU runs no argmax
LOGITS_FILES = {
    "model.tflite": {"input": "int8, pixel byte minus 128", "output": "logits N,h,w,classes, int8"},
    "model.float.tflite": {"input": "float32, pixel byte / 255", "output": "logits N,h,w,classes, float32"},
}
SHIPPED = (*FILES, "model.json")
RGB_FILES = ("model.mediapipe.tflite",)  # that take pictures of red, green and blue alone


def shipped_files(bands: int) -> tuple[str, ...]:
    """The files of a network.

    Args:
        bands: The number of bands of its images.

    Returns:
        The names.
    """
    return SHIPPED if bands == RGB_BANDS else tuple(name for name in SHIPPED if name not in RGB_FILES)
