"""Flower (https://flower.ai), which carries the messages and averages the updates; quiet, and without telemetry.

Flower reports its use to its makers unless FLWR_TELEMETRY_ENABLED is 0 when it is imported, and asks for updates. Every
module that needs Flower imports it from here.
"""

import logging
import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from search_spaces.errors import InputError

try:
    from flwr.app import (
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Error,
        Message,
        MessageType,
        MetricRecord,
        RecordDict,
    )
    from flwr.clientapp import ClientApp
    from flwr.common.constant import ErrorCode
    from flwr.serverapp.strategy import FedAvg, FedProx
    from flwr.supercore.task_identity import TaskIdentity
except ImportError as error:
    raise InputError(
        f"federated training needs the package flwr ({error}); pip install 'slimlab[federated]'"
    ) from error

logging.getLogger("flwr").setLevel(logging.CRITICAL)  # what goes wrong is said in one line here

__all__ = [
    "Array",
    "ArrayRecord",
    "ClientApp",
    "ConfigRecord",
    "Context",
    "Error",
    "ErrorCode",
    "FedAvg",
    "FedProx",
    "Message",
    "MessageType",
    "MetricRecord",
    "RecordDict",
    "TaskIdentity",
]
