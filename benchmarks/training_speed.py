"""python benchmarks/training_speed.py [--base CHECKOUT]: how long a training step of a network and of a supernet takes.

Each contestant is a process of its own: a checkout, a number of threads, some environment variables. They take one step
each in turn, so that all of them meet the same machine. A ratio is that of the median times, the first contestant's
over another's. Speed does not depend on the pixels, so these are random.

    --compare checkouts   CHECKOUT (an older one) and this one, with one thread and with two
    --compare measures    this checkout, and this checkout without one of what makes it fast
    --compare waiting     how OpenMP threads wait, on the machine as it is and beside a busy process
    --compare devices     the CPU and CUDA; on CUDA also without cuDNN
    --compare together    one training with two threads, and two trainings at once with one thread each
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLASSES, INPUT_SIZE = 11, (360, 480)
NETWORK = ROOT / "runs" / "camvid" / "scratch" / "genotype.json"
KINDS = {"network": 16, "supernet": 8}  # crops of a step, as in the preset quick
CROP = 128
WARM_UP = 3  # steps that are not timed
MEASURES = ("memory", "depthwise", "fused")
HEADER = "| | step, ms | images/s | times as fast | resident, MiB |\n|---|---|---|---|---|"
BUSY = "while True: pass"


@dataclass(frozen=True)
class Contestant:
    """A process that takes steps.

    Attributes:
        label: What the table calls it.
        kind: Network or supernet.
        checkout: The code it runs.
        threads: torch's threads.
        variables: Environment variables.
        options: Flags of the process.
        at_once: So many such processes take their step at the same time.
    """

    label: str
    kind: str
    checkout: Path = ROOT
    threads: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    at_once: int = 1

    def start(self) -> "subprocess.Popen[str]":
        own = {"PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": str(self.threads), **self.variables}
        command = [sys.executable, __file__, "--worker", self.kind, "--threads", str(self.threads), *self.options]
        environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY",)} | own
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--compare", choices=COMPARISONS, default="checkouts")
    flags.add_argument("--base", type=Path, help="the older checkout")
    flags.add_argument("--steps", type=int, default=20, help="timed steps of each contestant (20)")
    flags.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    flags.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    flags.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    flags.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    flags.add_argument("--without", nargs="*", default=[], help=argparse.SUPPRESS)
    given = flags.parse_args()
    if given.worker:
        take_steps(given.worker, given.device, given.threads[0], given.without)
        return
    for title, contestants, busy in COMPARISONS[given.compare](given):
        print(
            f"\n{title}\n\n| | step, ms | images/s | times as fast | resident, MiB |\n|---|---|---|---|---|", flush=True
        )
        with busy_process() if busy else nullcontext():
            race(contestants, given.steps)


def checkouts(given: argparse.Namespace) -> Iterator[tuple[str, list[Contestant], bool]]:
    if given.base is None:
        raise SystemExit("--base CHECKOUT: name the older checkout")
    base = given.base.resolve()
    for kind in given.kinds:
        for threads in given.threads:
            yield (
                f"{kind}, {threads} threads",
                [Contestant("before", kind, base, threads), Contestant("now", kind, ROOT, threads)],
                False,
            )


def measures(given: argparse.Namespace) -> Iterator[tuple[str, list[Contestant], bool]]:
    for kind in given.kinds:
        without = [Contestant(f"without {one}", kind, options=("--without", one)) for one in MEASURES]
        none = Contestant("without all", kind, options=("--without", *MEASURES))
        yield f"{kind}, 1 thread", [none, *without, Contestant("with all", kind)], False


def waiting(given: argparse.Namespace) -> Iterator[tuple[str, list[Contestant], bool]]:
    ways = {
        "OpenMP's default": {"OMP_WAIT_POLICY": ""},
        "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
        "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    }
    for busy in (False, True):
        beside = "beside a busy process" if busy else "nothing beside it"
        for kind in given.kinds:
            yield f"{kind}, 2 threads, {beside}", [Contestant(w, kind, ROOT, 2, v) for w, v in ways.items()], busy


def devices(given: argparse.Namespace) -> Iterator[tuple[str, list[Contestant], bool]]:
    threads = max(given.threads)
    for kind in given.kinds:
        cuda = [
            Contestant("CUDA", kind, threads=threads, options=("--device", "cuda")),
            Contestant("CUDA without cuDNN", kind, threads=threads, options=("--device", "cuda", "--without", "cudnn")),
        ]
        yield kind, [Contestant(f"CPU, {threads} threads", kind, threads=threads), *cuda], False


def together(given: argparse.Namespace) -> Iterator[tuple[str, list[Contestant], bool]]:
    for kind in given.kinds:
        one = Contestant("one training, 2 threads", kind, threads=2)
        yield kind, [one, Contestant("two trainings, 1 thread each", kind, at_once=2)], False


COMPARISONS = {
    "checkouts": checkouts,
    "measures": measures,
    "waiting": waiting,
    "devices": devices,
    "together": together,
}


@contextmanager
def busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def race(contestants: list[Contestant], steps: int) -> None:
    """Has the contestants take steps in turn, and prints a line of the table for each."""
    with ExitStack() as stack:
        groups = [[stack.enter_context(one.start()) for _ in range(one.at_once)] for one in contestants]
        times: list[list[float]] = [[] for _ in contestants]
        memory = [0] * len(contestants)
        for turn in range(-WARM_UP, steps):
            order = list(enumerate(groups))
            for place, group in order if turn % 2 else reversed(order):
                steps_taken = step_of(group)
                memory[place] = sum(resident for _, resident in steps_taken)
                if turn >= 0:
                    times[place].append(max(seconds for seconds, _ in steps_taken))
        for process in chain(*groups):
            assert process.stdin is not None
            process.stdin.close()
    medians = [statistics.median(one) for one in times]
    for one, median, resident in zip(contestants, medians, memory, strict=True):
        images = one.at_once * KINDS[one.kind] / median
        faster = one.at_once * medians[0] / median / contestants[0].at_once
        print(f"| {one.label} | {median * 1e3:.0f} | {images:.1f} | {faster:.2f} | {resident} |", flush=True)


def step_of(group: list["subprocess.Popen[str]"]) -> list[tuple[float, int]]:
    """Has each process of a group take a step, all at once; the seconds and the resident MiB of each."""
    for process in group:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    lines = [process.stdout.readline().split() for process in group if process.stdout is not None]
    return [(float(seconds), int(resident)) for seconds, resident in lines]


def take_steps(kind: str, device_name: str, threads: int, without: list[str]) -> None:
    """Takes a step for each line of standard input, and prints its seconds and the resident memory in MiB."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:  # a checkout from before this module
        from compress.stages.openmp import choose_waiting

        choose_waiting()
    except ImportError:
        pass
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.enabled = "cudnn" not in without
    device = torch.device(device_name)
    torch.manual_seed(0)
    images = torch.rand(KINDS[kind], 3, CROP, CROP).to(device, memory_format=torch.channels_last)
    masks = torch.randint(0, CLASSES, (KINDS[kind], CROP, CROP)).to(device)
    with ExitStack() as stack:
        if "memory" not in without and device.type == "cpu":
            try:
                from compress.training.memory import kept_memory

                stack.enter_context(kept_memory())
            except ImportError:
                pass
        leave_out(without)
        step = training(kind, device)
        for number, _ in enumerate(sys.stdin):
            begun = time.perf_counter()
            step(images, masks, number)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - begun
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
            print(seconds, resident, file=out, flush=True)


def leave_out(without: list[str]) -> None:
    """Switches measures off."""
    import torch
    from torch.nn import functional as F

    import search_spaces.network as network

    if "depthwise" in without:
        network.depthwise = lambda x, weight, bias, *geometry: F.conv2d(x, weight, bias, *geometry, x.shape[1])
    if "fused" in without:
        adamw = torch.optim.AdamW
        torch.optim.AdamW = lambda parameters, **options: adamw(parameters, **options | {"fused": None})


def training(kind: str, device: "torch.device") -> Callable[..., None]:  # noqa: F821
    """A step of (images, masks, number)."""
    import torch

    from compress.training.label_losses import label_loss
    from compress.training.loop import autocast
    from compress.training.schedule import Schedule
    from compress.training.trainee import Trainee
    from nas.supernet import Supernet, largest_networks, sandwich
    from search_spaces import get_space
    from search_spaces.genotype import Genotype
    from search_spaces.network import Network
    from search_spaces.trials import RandomTrial, SmallestTrial

    loss = label_loss({"ce": 1.0}, 255, torch.ones(CLASSES))
    if kind == "network":
        model = Network(Genotype.from_dict(json.loads(NETWORK.read_text()))).to(device)

        def losses(images, masks, step):
            with autocast(device):
                logits = model(images).float()
            yield loss(logits, masks)
    else:
        space, rng = get_space("deeplabv3plus"), random.Random(0)
        drawn = [space.sample(RandomTrial(rng), CLASSES, INPUT_SIZE) for _ in range(400)]
        smallest = space.sample(SmallestTrial(), CLASSES, INPUT_SIZE)
        model = Supernet(*largest_networks(space, CLASSES, INPUT_SIZE)).to(device)

        def draw(step):
            return [drawn[2 * step], drawn[2 * step + 1], smallest]

        losses = sandwich(model, draw, INPUT_SIZE, loss)
    trainee = Trainee.of(model, Schedule(1000, KINDS[kind], CROP))
    return lambda images, masks, step: trainee.step(losses(images, masks, step), kind, step + 1)


if __name__ == "__main__":
    main()
