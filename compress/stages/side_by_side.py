"""Trains several networks at a time, each in a process of its own.

The threads of one training wait for each other at the end of every op. Two trainings with a thread each do not, so two
cores process more images so (benchmarks/training_speed.md).
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from compress.files.tensors import save_network
from compress.stages.config import RunConfig
from compress.stages.fitting import fit_network
from compress.stages.run import Run
from compress.training.device import share_cores
from compress.training.progress import use_line
from compress.training.schedule import Schedule
from search_spaces.network import Network

MIN_STEPS = 20  # of a training that is worth the seconds in which a process starts


@dataclass(frozen=True)
class Training:
    """One of several trainings.

    Attributes:
        network: The network with the weights that it starts from.
        schedule: The length and the learning rate.
        file: Where the network is written when its training ends or pauses; its checkpoint and log.csv lie beside it.
        title: What the training is called in progress bars and in messages.
        seed: Chooses the crops, together with the run's seed.
        until: The step after which the training pauses; None for the last one.
    """

    network: Network
    schedule: Schedule
    file: Path
    title: str
    seed: int
    until: int | None = None


def train_side_by_side(run: Run, trainings: Sequence[Training]) -> None:
    """Does those trainings whose file is not there. Killed ones go on from their checkpoints.

    On a GPU, where there is one core, and where they are short, they are done one after the other.

    Args:
        run: The run.
        trainings: The trainings.

    Raises:
        DivergedError: A loss or a weight is not finite.
        InputError: A checkpoint, a log or a file of the data is damaged.
    """
    left = [training for training in trainings if not training.file.exists()]
    long = sum((training.until or training.schedule.steps) >= MIN_STEPS for training in left)
    at_a_time = min(long, share_cores()) if run.device.type == "cpu" else 1
    if at_a_time > 1:
        try:
            train_in_processes(run, left, at_a_time)
        except BrokenProcessPool:  # the system ended one, for want of memory for so many
            print("a training was ended by the system, so the rest are done one after the other", file=sys.stderr)
    for training in left:
        if not training.file.exists():
            train(run, training)


def train_in_processes(run: Run, trainings: Sequence[Training], at_a_time: int) -> None:
    """Does trainings in processes.

    Args:
        run: The run.
        trainings: The trainings.
        at_a_time: How many processes share the cores.

    Raises:
        BrokenProcessPool: A process was ended from outside.
        DivergedError: A loss or a weight is not finite.
        InputError: A checkpoint, a log or a file of the data is damaged.
    """
    context = multiprocessing.get_context("spawn")  # not forked: torch has threads
    lines = context.Value("i", 0)
    with ProcessPoolExecutor(at_a_time, context, initializer=begin, initargs=(at_a_time, lines)) as pool, ended(pool):
        for done in [pool.submit(train_in_process, run.path, run.config, training) for training in trainings]:
            done.result()


def train(run: Run, training: Training) -> None:
    """Does one training.

    Args:
        run: The run.
        training: The training.

    Raises:
        DivergedError: A loss or a weight is not finite.
        InputError: A checkpoint, a log or a file of the data is damaged.
    """
    network, file = training.network, training.file

    def save(seconds: float) -> None:
        save_network(network.cpu(), file)

    asked = (run, network, training.schedule, file.parent, training.title)
    fit_network(*asked, seed=training.seed, save=save, until=training.until)


def train_in_process(path: Path, config: RunConfig, training: Training) -> None:
    """Does one training in a process that `begin` has set up.

    Args:
        path: The run folder.
        config: Its settings.
        training: The training.
    """
    train(Run(path, config), training)


def begin(processes: int, lines: "Synchronized[int]") -> None:
    """Sets up a process: its end with its parent, its share of the cores, and its line of the terminal.

    Args:
        processes: How many processes share the cores.
        lines: The next line that is free.
    """
    end_with_parent()
    share_cores(processes)
    with lines.get_lock():
        use_line(lines.value)
        lines.value += 1


def end_with_parent() -> None:
    """Has this process end when the command that started it is killed, in the middle of a training too."""

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def ended(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Ends the processes of a pool at once when one of them fails or the user interrupts.

    Args:
        pool: The pool.

    Yields:
        Nothing; the pool works inside.
    """
    try:
        yield
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)  # the pool's own thread waits for them; a second waiter could miss their end
        raise
