"""python -m compress.federate RUN --clients DIR DIR ...: trains the run's network further at clients whose data stays
where it is. Each client trains on its own images, and the server averages their weights, round after round.

Without --serve and --join the clients are folders of this machine, one after the other. The result is a network like
any other: prune, distill, quantize, export and verify go on from it. See docs/federated.md.
"""

import argparse

from compress.stages.cli import GOES_ON, Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config
from compress.stages.federate_options import FederateOptions, client_specs
from compress.stages.flags import add_flags, values_of


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    add_run_argument(arguments)
    arguments.add_argument(
        "--clients",
        nargs="+",
        required=True,
        metavar="DIR",
        help="data sets of clients on this machine",
    )
    add_flags(arguments, FederateOptions)


def run(given: argparse.Namespace) -> None:
    """Trains with clients.

    Args:
        given: The flags.
    """
    options = FederateOptions(**values_of(FederateOptions, vars(given)))
    config = read_config(given.run)
    clients = client_specs(given.clients, config.data)

    from compress.stages.federate import simulate
    from compress.stages.records import require
    from compress.stages.run import FEDERATE, open_run
    from compress.training.device import share_cores

    share_cores()
    opened = open_run(given.run)
    require(opened, opened.before(FEDERATE))
    simulate(opened, clients, options)


COMMAND = Command("compress.federate", __doc__, add_arguments, run, GOES_ON)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
