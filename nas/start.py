"""What the weights of a search start from (`--weights`): a donor, a file of the user's, or nothing but the seed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch

from compress.data.calibration import calibration_images
from compress.donors.loading import is_donor, load_donor
from compress.donors.source import WeightsSource, initial_weights_source
from compress.files.weights_files import read_weights_file
from compress.stages.run import Run
from nas.inheritance.slices import inherit
from nas.inheritance.start import PreparedDonor, backbone_copy, prepare_donor, start_network, start_supernet
from nas.initial_weights import read_initial_weights
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.trials import LargestTrial

DONOR_OUTPUT_STRIDE = 16


@dataclass(frozen=True)
class Start:
    """Gives networks their first weights, in place.

    Attributes:
        network: Starts a network of its own.
        supernet: Starts the shared weights of a supernet.
    """

    network: Callable[[Network], object]
    supernet: Callable[[Network], object]


def open_start(run: Run) -> Start:
    """Opens what a run starts from.

    Args:
        run: The run.

    Returns:
        What gives networks their first weights.

    Raises:
        InputError: A package or a file is missing, or cannot be used.
    """
    source = initial_weights_source(run.config.weights)
    if source is None:
        return Start(lambda network: None, lambda shared: None)
    if not is_donors(source):
        start = read_initial_weights(str(source.file)).start
        return Start(start, start)
    prepared = prepared_donor(run, source)
    return Start(lambda network: start_network(network, prepared), lambda shared: start_supernet(shared, prepared))


def starter_from_donor(run: Run) -> Callable[[Genotype], Network | None]:
    """Gives networks the weights of a run's donor. The donor is prepared once, when it is first asked for.

    Args:
        run: The run.

    Returns:
        What builds a network that starts from the donor. It gives None in a run that starts from something else, and
        raises an InputError where a package or a file is missing, or cannot be used.
    """
    start, donor = cache(partial(open_start, run)), cache(partial(has_donor, run))  # each may read a file
    return lambda genotype: started_network(run, start(), genotype) if donor() else None


def has_donor(run: Run) -> bool:
    """Whether a run starts from a donor.

    Args:
        run: The run.

    Returns:
        Whether its backbones come from another network and its heads are new.

    Raises:
        InputError: A package or a file is missing, or cannot be read.
    """
    source = initial_weights_source(run.config.weights)
    return source is not None and is_donors(source)


def started_network(run: Run, start: Start, genotype: Genotype) -> Network:
    """Builds a network with its first weights.

    Args:
        run: The run, whose seed gives what the start does not.
        start: What the run starts from.
        genotype: The network.

    Returns:
        The network.
    """
    torch.manual_seed(run.config.seed)
    network = Network(genotype)
    start.network(network)
    return network


def is_donors(source: WeightsSource) -> bool:
    """Whether weights are those of a donor.

    Args:
        source: Where they come from.

    Returns:
        Whether they belong to a known donor or have the names of one.

    Raises:
        InputError: The file cannot be read.
    """
    return source.donor is not None or is_donor(read_weights_file(str(source.file)).tensors)


def prepared_donor(run: Run, source: WeightsSource) -> PreparedDonor:
    """Loads a donor and prepares it on the training images of a run.

    Args:
        run: The run.
        source: The donor.

    Returns:
        The donor.

    Raises:
        InputError: Its file cannot be used.
    """
    images = calibration_images(run.data, run.config.input_size, torch.device("cpu"))
    return prepare_donor(read_run_donor(run, source), images)


def read_run_donor(run: Run, source: WeightsSource) -> Network:
    """Loads a donor for the classes and the input size of a run.

    Args:
        run: The run.
        source: The donor.

    Returns:
        The donor, whose head has random weights.

    Raises:
        InputError: Its file cannot be used.
    """
    size, colours = run.config.input_size, run.data.pixels.colours
    return load_donor(source, len(run.data.classes), size, DONOR_OUTPUT_STRIDE, colours=colours)


def start_summary(run: Run) -> str:
    """Says what a run starts from.

    Args:
        run: The run, which need not have begun.

    Returns:
        A line for the user.

    Raises:
        InputError: A package or a file is missing, or cannot be used.
    """
    source, largest = initial_weights_source(run.config.weights), largest_network(run)
    if source is None:
        return f"--weights {run.config.weights}: all weights start at random"
    if not is_donors(source):
        return read_initial_weights(str(source.file)).summary(largest)
    donor = backbone_copy(read_run_donor(run, source), largest.resolution, largest.output_stride)
    share = inherit(Network(largest), donor, shared=True)  # which does not depend on the images
    return (
        f"--weights {run.config.weights}: {share.fraction:.0%} of the largest network's backbone starts from {source}"
    )


def largest_network(run: Run) -> Genotype:
    """Builds the largest network that a run may find.

    Args:
        run: The run.

    Returns:
        Its genotype.
    """
    return run.space.sample(LargestTrial(), len(run.data.classes), run.config.input_size)
