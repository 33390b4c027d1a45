"""How the study of a run is opened in Optuna's dashboard."""

import shlex

from compress.stages.run import Run
from nas.storage_url import POSTGRESQL, redacted, storage_file


def dashboard_command(run: Run) -> str:
    """The command that shows the study of a run.

    Args:
        run: A run.

    Returns:
        A shell command, without a password; empty where the study's file is gone or only a proxy is known.
    """
    url = run.config.storage or f"sqlite:///{run.path / 'study.db'}"
    kind, _, address = redacted(url).partition(":")
    file = storage_file(url)
    if kind == "grpc" or (file is not None and not file.is_file()):
        return ""
    place = {"journal": address, "sqlite": url}.get(kind, f"{POSTGRESQL}:{address}")  # a journal is named by its file
    return f"optuna-dashboard {shlex.quote(place)}"
