"""The stage `train` with differential privacy: on a data set that no other stage reads, or on the run's own."""

import torch

from compress.data.crops import CropsOfImages
from compress.data.dataset import DataSet, open_data
from compress.data.validation import read_validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.stages.fitting import CHECKPOINT
from compress.stages.private_record import PRIVACY_KEY, privacy_record
from compress.stages.records import record_network
from compress.stages.run import Run
from compress.training.label_losses import LABEL_TERMS, LabelLoss, label_loss
from compress.training.privacy import Privacy, require_opacus
from compress.training.privacy_accounting import Spent, plan_noise
from compress.training.private import fit_privately, sample_losses
from compress.training.schedule import Schedule
from compress.training.term_weights import parse_terms
from search_spaces.errors import InputError
from search_spaces.network import Network


def train_privately(
    run: Run, network: Network, schedule: Schedule, privacy: Privacy, private_data: str, seed: int, begun: float
) -> None:
    """Trains a network privately and records it in RUN/train, with what was promised and spent.

    Args:
        run: The run.
        network: The network with its first weights.
        schedule: The length and the learning rate.
        privacy: The bound.
        private_data: The `--data` value of the private images; empty for the run's own.
        seed: Chooses the crops, together with the run's seed.
        begun: The value of `time.monotonic()` when the stage began, in seconds.

    Raises:
        BudgetSpentError: The training would spend more than epsilon.
        InputError: The private data set does not fit the run, the training diverged, or a file is damaged.
    """
    require_opacus()
    config, folder = run.config, run.path / "train"
    data = open_data(private_data, config.seed) if private_data else run.data
    require_same_classes(run, data)
    print(scope(run, private_data))
    seed += config.seed * 100
    crops = CropsOfImages(data, config.input_size, schedule.crop, schedule.steps, seed, config.augment)
    earlier = spent_before(run)
    plan = plan_noise(privacy, len(data.train), schedule.batch, schedule.steps, earlier)
    print(
        f"train: {plan.images} images, each in a step with probability {plan.sample_rate:.3g}; noise multiplier "
        f"{plan.noise_multiplier:.3g} for epsilon {privacy.epsilon:g} at delta {plan.privacy.delta:.2g}"
    )

    def save(seconds: float, spent: Spent) -> None:
        record = {**plan.record(spent), "steps": schedule.steps, "data": private_data or config.data}
        record["own_data"] = not private_data
        if private_data:
            record["miou_on_private_validation"] = validation_miou(run, network, data)
        record_network(run, "train", network, run.miou(network), begun, **{PRIVACY_KEY: record})
        print(f"train: spent epsilon {record['epsilon']:.3g} at delta {record['delta']:.2g}, for {record['unit']}")

    network.to(run.device)
    losses = sample_losses(network, config.input_size, private_label_loss(run, own=not private_data))
    key = f"{run.training_key} {data.fingerprint}"
    fit_privately(network, losses, crops, schedule, plan, folder / CHECKPOINT, "train", key, save, earlier)


def require_same_classes(run: Run, data: DataSet) -> None:
    """Refuses private images of other classes or bands than the run's.

    Args:
        run: The run.
        data: The private data set.

    Raises:
        InputError: They differ.
    """
    if data.classes != run.data.classes:
        raise InputError(
            f"--private-data {data.spec}: its {len(data.classes)} classes are not the {len(run.data.classes)} of the "
            "run; make the classes alike"
        )
    if data.pixels.to_dict() != run.data.pixels.to_dict():
        raise InputError(f"--private-data {data.spec}: its images become bytes in another way than the run's")


def scope(run: Run, private_data: str) -> str:
    """Says what the bound covers.

    Args:
        run: The run.
        private_data: The `--data` value of the private images; empty for the run's own.

    Returns:
        A line for the user.
    """
    if private_data:
        return f"train: the bound covers all that reads {private_data}: no other stage does"
    return (
        f"train: the bound covers this training alone: the search has read the same images ({run.config.data}) without "
        "noise; --private-data names images that nothing else reads"
    )


def spent_before(run: Run) -> Spent:
    """What earlier private trainings of the run have spent.

    Args:
        run: The run.

    Returns:
        What RUN/train/metrics.json says; nothing without it.

    Raises:
        InputError: The record is damaged.
    """
    record = privacy_record(run) or {}
    return [(float(noise), float(rate), int(steps)) for noise, rate, steps in record.get("spent", ())]


def private_label_loss(run: Run, own: bool) -> LabelLoss:
    """The loss on labels. Weights of classes that come from private masks are left out.

    Args:
        run: The run.
        own: Whether the run's own masks are the private ones.

    Returns:
        The loss.
    """
    if not own:
        return run.label_loss
    if run.config.class_weights != "equal":
        print(f"train: --class-weights {run.config.class_weights} would count the private masks: all classes weigh 1")
    equal = torch.ones(len(run.data.classes))
    return label_loss(parse_terms(run.config.loss, LABEL_TERMS), run.data.ignore, equal)


def validation_miou(run: Run, network: Network, data: DataSet) -> float:
    """Evaluates a network on the validation split of the private data set.

    Args:
        run: The run.
        network: The network.
        data: The private data set.

    Returns:
        Its mIoU (0..1). The training has not read these images, so the bound says nothing about them.
    """
    validation = read_validation(data, run.config.input_size)
    return mean_iou(evaluate_network(network.to(run.device), validation, run.device))
