"""Which exported programs (.pt2 files of `torch.export.save`) are safe to load.

Loading an exported program may unpickle objects, load compiled code, or evaluate text. The checks here read the archive
before torch does.

They rely on the layout of the archive, which PyTorch does not document. Tried with torch 2.13:
- `models/NAME.json` is the graph; the texts under the key `expr_str` are evaluated as sympy expressions.
- `data/weights/*_config.json` and `data/constants/*_config.json` say for each tensor, in `config.*.use_pickle`, whether
  it is a pickle.
- `data/sample_inputs/NAME.pt` is a file of `torch.save`.
- `data/aotinductor/` holds compiled code.
`tests/test_teacher.py` writes programs of each unsafe kind with the installed torch and fails when the layout changes.
"""

import io
import json
import re
import zipfile
from pathlib import Path

import torch

from search_spaces.errors import InputError

SHAPE_EXPRESSION = re.compile(r"(?:[\w +\-*/(),<>=]|'\w*')*")  # the characters of a harmless expression
FUNCTION_CALL = re.compile(r"\b[a-z]\w*\s*\(")  # sympy's own classes are capitalized
COMPILED_CODE = "data/aotinductor/"


def refuse_code(path: Path) -> None:
    """Checks that loading an exported program runs no code and unpickles no object.

    Args:
        path: The .pt2 file.

    Raises:
        InputError: The file holds compiled code, pickled tensors, pickled sample inputs, or a shape expression that
            calls a function.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inside = name.partition("/")[2]
            if inside.startswith(COMPILED_CODE) or _holds_code(inside, archive.read(name)):
                raise InputError(f"--teacher {path}: {inside} holds code or pickled objects; export plain tensors only")


def _holds_code(name: str, content: bytes) -> bool:
    """Whether one member of the archive is unsafe; `name` is its path without the archive's own folder."""
    if name.startswith("data/sample_inputs/") and content:
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # torch.load raises many kinds
            return True
    if name.endswith("_config.json"):
        return any(payload.get("use_pickle", True) for payload in json.loads(content)["config"].values())
    if name.startswith("models/"):
        return any(map(_is_unsafe, _expressions(content)))
    return False


def _expressions(content: bytes) -> list[str]:
    """The texts of a graph's JSON that torch evaluates."""
    found: list[str] = []
    json.loads(content, object_hook=lambda value: found.append(str(value.get("expr_str", ""))))
    return found


def _is_unsafe(expression: str) -> bool:
    return bool("__" in expression or not SHAPE_EXPRESSION.fullmatch(expression) or FUNCTION_CALL.search(expression))
