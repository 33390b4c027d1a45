"""python trial_run.py < FILE: runs a .tflite file once on an image of zeros.

LiteRT aborts the whole process where a file breaks its assumptions. So `read_runnable` tries a file in this process
first. It imports no torch, and so starts fast.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

REFUSED = 3  # the exit code where LiteRT refuses the file in words, which are then printed


def run_once(content: bytes) -> None:
    """Runs a file on zeros.

    Args:
        content: The bytes of the .tflite file.

    Raises:
        RuntimeError, ValueError, TypeError: LiteRT refuses the file.
    """
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for reads in interpreter.get_input_details():
        interpreter.set_tensor(reads["index"], np.zeros(reads["shape"], reads["dtype"]))
    interpreter.invoke()


def main() -> int:
    """Runs the file that comes in.

    Returns:
        The exit code: 0, or REFUSED.
    """
    try:
        run_once(sys.stdin.buffer.read())
    except (RuntimeError, ValueError, TypeError) as error:
        print(" ".join(str(error).split())[:200])
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
