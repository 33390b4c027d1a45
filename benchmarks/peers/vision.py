"""Makes `import torchvision` work beside a CPU build of torch; imported before anything that may import it.

PyPI's torchvision belongs to a CUDA build. Beside another its compiled ops do not load, and its Python part, which is
all that is needed here, stumbles over the names of two.
"""

from contextlib import suppress
from importlib import import_module

import torch

try:
    with suppress(ImportError):  # not installed: `peers.build` says so where it matters
        import_module("torchvision")
except RuntimeError:
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "() -> ()")
    import_module("torchvision")
