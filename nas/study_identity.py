"""Which study belongs to a run folder, and what its scores depend on.

RUN/search/study.json keeps the name of the study: the folder may be renamed and keeps its search, and a folder that
was deleted and made again gets a new study. The storage alone may hold the studies of many run folders.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any

import optuna
import torch
from optuna.storages import BaseStorage
from torch import Tensor

from compress.files.atomic import digest
from compress.files.records import read_json, write_json
from compress.stages.run import LATENCY_FILES, SEARCH, Run
from nas.study import FINGERPRINT, GENOTYPE
from search_spaces.backbone import BACKBONE
from search_spaces.errors import InputError


def study_file(run_folder: Path) -> Path:
    """Where a run folder keeps the name of its study.

    Args:
        run_folder: The run folder.

    Returns:
        The path of study.json.
    """
    return run_folder / SEARCH / "study.json"


def recorded_name(run_folder: Path) -> str | None:
    """Reads the name of a run folder's study.

    Args:
        run_folder: The run folder.

    Returns:
        The name; None before the search has begun, or in a folder of an older version.

    Raises:
        InputError: study.json is damaged.
    """
    path = study_file(run_folder)
    if not path.exists():
        return None
    remedy = "start the run anew under another --run"
    value = read_json(path, remedy)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise InputError(f"{path}: the name of the study is missing; {remedy}")
    return str(value["name"])


def study_name(run_folder: Path, storage: BaseStorage) -> str:
    """Finds or makes the name of a run folder's study. Only the process that leads the search may call this.

    Args:
        run_folder: The run folder.
        storage: Where its study lives.

    Returns:
        The name, which study.json then has.

    Raises:
        InputError: study.json is damaged.
    """
    name = recorded_name(run_folder)
    if name is None:
        name = _older_study(run_folder, storage) or f"{run_folder.name}-{token_hex(4)}"
        write_json(study_file(run_folder), {"name": name})
    return name


def _older_study(run_folder: Path, storage: BaseStorage) -> str | None:
    """The study of a run folder that has no study.json, as older versions left it.

    They named the study after the folder. A folder that was deleted and made again must not take an old study of that
    name, so search.jsonl must list the same candidates.
    """
    listing = run_folder / "search.jsonl"
    if not listing.exists():
        return None
    names = optuna.get_all_study_names(storage)
    own = (run_folder / "study.db").exists() and len(names) == 1  # the folder may have been renamed
    name = names[0] if own else run_folder.name
    if name not in names:
        return None
    trials = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    try:
        for line in map(json.loads, listing.read_text().splitlines()):
            if json.loads(trials[line["number"]].user_attrs[GENOTYPE]) != line["genotype"]:
                return None
    except (ValueError, KeyError, TypeError, IndexError, OSError):
        return None
    return name


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Computes a digest of named tensors. It does not depend on how a file stores them.

    Args:
        tensors: The tensors by name.

    Returns:
        Twelve hexadecimal digits.
    """
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:12]


def identity_of(run: Run, settings: Mapping[str, Any], weights_digest: str) -> dict[str, Any]:
    """Lists what the scores of a run's study depend on.

    Args:
        run: The run; its table.json or npu.json exists.
        settings: The settings of the run and the search.
        weights_digest: The digest of the trained supernet's weights; empty in a run without one.

    Returns:
        The settings, what the networks are chosen among, the digests of table and supernet, and the fingerprint of the
        data.
    """
    return {
        **settings,
        "backbone": BACKBONE,
        **{name: digest(run.path / name) for name in LATENCY_FILES if (run.path / name).exists()},
        "search/supernet.pt": weights_digest,
        FINGERPRINT: run.data.fingerprint,
    }
