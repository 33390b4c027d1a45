"""python peer.py RUNTIME FILE IMAGES.npy MAPS.npy: runs a model file with the runtime of this Python.

RUNTIME is `tflite` (LiteRT or tflite-runtime), `mediapipe` (ImageSegmenter) or `onnx` (ONNX Runtime). IMAGES are
N,H,W,3 bytes, RGB, of the size that the file reads. MAPS become class indices N,h,w. Two JSON lines go to
stdout: the version of the runtime, before the file is loaded, and the median ms of a run with one thread. This script
imports numpy and the runtime alone.
"""

import json
import statistics
import sys
import time
from importlib.metadata import version

import numpy as np


def as_fed(image, dtype):
    """An image H,W,3 in bytes as a file reads it, 1,H,W,3: bytes, bytes minus 128, or 0..1."""
    if dtype == np.uint8:
        return image[None]
    if dtype == np.int8:
        return (image[None].astype(np.int16) - 128).astype(np.int8)
    return image[None].astype(np.float32) / np.float32(255)


def say(**found):
    """Prints a JSON line, at once: the runtime may crash."""
    print(json.dumps(found), flush=True)


def run_tflite(file, images):
    try:
        from ai_edge_litert.interpreter import Interpreter

        package = "ai-edge-litert"
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        package = "tflite-runtime"
    say(version=version(package))
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    (reads,), (makes,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(image):
        interpreter.set_tensor(reads["index"], as_fed(image, reads["dtype"]))
        begun = time.perf_counter()
        interpreter.invoke()
        return interpreter.get_tensor(makes["index"])[0], time.perf_counter() - begun

    return map(run, images)


def run_onnx(file, images):
    import onnxruntime

    say(version=onnxruntime.__version__)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (reads,) = session.get_inputs()

    def run(image):
        fed = as_fed(image, np.float32)
        begun = time.perf_counter()
        (found,) = session.run(None, {reads.name: fed})
        return found[0], time.perf_counter() - begun

    return map(run, images)


def run_mediapipe(file, images):
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    say(version=version("mediapipe"))
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=file), output_category_mask=True, output_confidence_masks=False
    )
    segmenter = vision.ImageSegmenter.create_from_options(options)

    def run(image):
        given = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        begun = time.perf_counter()
        mask = segmenter.segment(given).category_mask.numpy_view()
        return np.array(mask).reshape(image.shape[:2]), time.perf_counter() - begun

    return map(run, images)


RUNTIMES = {"tflite": run_tflite, "mediapipe": run_mediapipe, "onnx": run_onnx}


def main():
    runtime, file, images, maps = sys.argv[1:]
    ran = list(RUNTIMES[runtime](file, np.load(images, mmap_mode="r")))
    found, seconds = [one for one, _ in ran], [second for _, second in ran]
    classes = [one.argmax(-1) if one.ndim == 3 else one for one in found]
    np.save(maps, np.stack(classes).astype(np.uint8))
    say(ms=statistics.median(seconds[1:] or seconds) * 1e3)


if __name__ == "__main__":
    main()
