"""RUN/config.json: the settings of a run, what its data was, and what it was made with."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from compress.files.records import read_json, write_json
from compress.stages.config import RunConfig
from compress.stages.flags import spelling
from search_spaces.errors import InputError

CONFIG_FILE = "config.json"
DATA_FACTS = "data_facts"


def config_values(path: Path) -> dict[str, Any]:
    """Everything that config.json holds.

    Args:
        path: The run folder.

    Returns:
        The values by key.

    Raises:
        InputError: The folder is missing or no run, or the file is damaged.
    """
    if not path.is_dir():
        raise InputError(f"{path}: there is no such run folder; make one with python -m nas.search")
    values: dict[str, Any] = read_json(path / CONFIG_FILE, "the folder is not a run of python -m nas.search", dict)
    return values


def read_config(path: Path) -> RunConfig:
    """The settings of a run.

    Args:
        path: The run folder.

    Returns:
        The settings.

    Raises:
        InputError: The folder is missing or no run, or the file is damaged.
    """
    return RunConfig.from_dict(config_values(path), str(path / CONFIG_FILE))


def write_config(path: Path, config: RunConfig, facts: Mapping[str, Any], made_with: Mapping[str, Any]) -> None:
    """Writes config.json.

    Args:
        path: The run folder.
        config: The settings.
        facts: What the data set consists of (`DataSet.facts`).
        made_with: The versions, the machine and the device (`compress.stages.environment`).
    """
    data = {"fingerprint": facts["fingerprint"], DATA_FACTS: dict(facts)}
    write_json(path / CONFIG_FILE, {**config.to_dict(), **data, **made_with})


def check_same(config: RunConfig, path: Path) -> None:
    """Refuses settings that are not those of a run folder.

    Args:
        config: The settings of a command.
        path: The run folder.

    Raises:
        InputError: A setting differs; the line names its flag.
    """
    stored = read_config(path)
    for one in fields(RunConfig):
        before, now = getattr(stored, one.name), getattr(config, one.name)
        if before != now:
            given = f"{before[0]}x{before[1]}" if one.name == "input_size" else before
            was = f"{spelling(one)} {given}" if before not in ("", None) else f"no {spelling(one)}"
            raise InputError(f"{path} was started with {was}; choose another --run")


def check_same_data(path: Path, spec: str, facts: Mapping[str, Any], same: bool) -> None:
    """Refuses data that is not what a run folder was started with.

    Args:
        path: The run folder.
        spec: The value of `--data`.
        facts: What the data set consists of now.
        same: Whether the data set has the fingerprint that the run folder holds.

    Raises:
        InputError: The data changed; the line says in what.
    """
    if same:
        return
    stored = config_values(path).get(DATA_FACTS)
    changes = data_changes(stored, facts) if isinstance(stored, dict) else []
    what = ", ".join(changes) or "images or masks have other contents or names"
    raise InputError(
        f"--data {spec} changed since {path} was started: {what}; restore the data, or start anew with another --run"
    )


def data_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two data sets differ.

    Args:
        before: The facts of one (`DataSet.facts`).
        now: The facts of the other.

    Returns:
        A phrase for each difference; none where only contents or names of files differ.
    """
    changes = [
        f"{before.get(split)} {name} pairs became {now[split]}"
        for split, name in (("train", "training"), ("val", "validation"))
        if before.get(split) != now[split]
    ]
    old, new = before.get("classes"), now["classes"]
    if isinstance(old, list) and old != new:
        more = f"{len(old)} classes became {len(new)}" if len(old) != len(new) else "the classes have other names"
        changes.append(more)
    if before.get("bands") != now["bands"]:
        changes.append("images have other bands, depths or value ranges")
    return changes
