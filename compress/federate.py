"""python -m compress.federate RUN --clients DIR DIR ...: trains the run's network further at clients whose data stays
where it is. Each client trains on its own images, and the server averages their weights, round after round.

    python -m compress.federate RUN --clients DIR DIR ...            folders of this machine, one after the other
    python -m compress.federate RUN --serve HOST:PORT ...            the server, on its machine
    python -m compress.federate FOLDER --join HOST:PORT --data DATA  a client, on its machine

The result is a network like any other: prune, distill, quantize, export and verify go on from it. A client keeps its
files in FOLDER. Beyond this machine, server and clients need certificates and keys. See docs/federated.md.
"""

import argparse

from compress.stages.cli import GOES_ON, Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config
from compress.stages.federate_options import (
    FederateOptions,
    JoinOptions,
    ServeOptions,
    client_specs,
    refuse_flags,
    require_one,
)
from compress.stages.flags import add_flags, values_of


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    add_run_argument(arguments, "a run folder; with --join the folder of a client")
    arguments.add_argument("--clients", nargs="+", metavar="DIR", help="data sets of clients on this machine")
    add_flags(arguments, ServeOptions, JoinOptions, FederateOptions)


def run(given: argparse.Namespace) -> None:
    """Trains with clients, or joins a server.

    Args:
        given: The flags.
    """
    require_one(given.clients, given.serve, given.join)
    if given.join:
        refuse_flags(vars(given), "--join", ServeOptions, FederateOptions)
        joining = JoinOptions(**values_of(JoinOptions, vars(given)), dp_epsilon=given.dp_epsilon)

        from compress.stages.federation import join_server

        join_server(given.run, joining)
        return
    if given.clients:
        refuse_flags(vars(given), "--clients", ServeOptions)
    refuse_flags(vars(given), "--clients" if given.clients else "--serve", JoinOptions)
    options = FederateOptions(**values_of(FederateOptions, vars(given)))
    serving = ServeOptions(**values_of(ServeOptions, vars(given)))
    config = read_config(given.run)
    clients = client_specs(given.clients, config.data) if given.clients else {}

    from compress.stages.federate import simulate
    from compress.stages.federation import serve_clients
    from compress.stages.records import require
    from compress.stages.run import FEDERATE, open_run
    from compress.training.device import share_cores

    share_cores()
    opened = open_run(given.run)
    require(opened, opened.before(FEDERATE))
    if clients:
        simulate(opened, clients, options)
    else:
        serve_clients(opened, serving, options)


COMMAND = Command("compress.federate", __doc__, add_arguments, run, GOES_ON)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
