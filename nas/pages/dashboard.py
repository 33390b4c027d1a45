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
    if kind == "grpc":
        return ""
    file = storage_file(url)
    if file is None:
        return f"optuna-dashboard {shlex.quote(f'{POSTGRESQL}:{address}')}"
    return f"optuna-dashboard {shlex.quote(str(file))}" if file.is_file() else ""
