"""How much noise a private training needs, and what it has spent. Opacus computes both."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from compress.training.privacy import UNIT, Privacy, require_opacus
from search_spaces.errors import InputError

ACCOUNTANT = "prv"  # privacy loss random variables (Gopi et al. 2021), tighter than Renyi divergences
MIN_SHARE = 0.1  # of what is left of epsilon; with less a network learns nothing
Spent = Sequence[tuple[float, float, int]]  # noise multiplier, sampling rate and number of steps of each training


class BudgetSpentError(InputError):
    """A training would spend more than its epsilon."""


@dataclass(frozen=True)
class NoisePlan:
    """The noise of a private training.

    Attributes:
        privacy: The bound; its delta is a number.
        images: How many training images there are.
        batch: The expected number of images of a step.
        steps: The steps of the whole training, all rounds of a federated one together.
        noise_multiplier: The deviation of the noise, as a multiple of the clipped norm.
    """

    privacy: Privacy
    images: int
    batch: int
    steps: int
    noise_multiplier: float

    @property
    def sample_rate(self) -> float:
        """The probability with which an image is in a step."""
        return self.batch / self.images

    def require(self, spent: Spent, steps: int) -> None:
        """Refuses steps that would spend more than epsilon.

        Args:
            spent: What was spent before.
            steps: The steps to take now.

        Raises:
            BudgetSpentError: They would spend too much.
        """
        total = [*spent, (self.noise_multiplier, self.sample_rate, steps)]
        epsilon, delta = self.privacy.epsilon, _delta(self.privacy)
        needed = epsilon_of(total, delta)
        if needed > epsilon:
            before = f", {epsilon_of(spent, delta):.3g} of it by earlier trainings" if spent else ""
            raise BudgetSpentError(
                f"--dp-epsilon {epsilon:g}: with these {steps} steps epsilon would be {needed:.3g}{before}; give a "
                "greater --dp-epsilon, or other images and another run"
            )

    def record(self, spent: Spent) -> dict[str, Any]:
        """What was promised and spent, for metrics.json and the model card.

        Args:
            spent: What all trainings on the images have spent.

        Returns:
            Plain JSON values.
        """
        delta = _delta(self.privacy)
        return {
            "epsilon": epsilon_of(spent, delta),
            "delta": delta,
            "unit": UNIT,
            "epsilon_allowed": self.privacy.epsilon,
            "max_grad_norm": self.privacy.max_grad_norm,
            "noise_multiplier": self.noise_multiplier,
            "sample_rate": self.sample_rate,
            "images": self.images,
            "accountant": accountant_name(),
            "spent": [list(one) for one in spent],
        }


def plan_noise(privacy: Privacy, images: int, batch: int, steps: int, spent: Spent = ()) -> NoisePlan:
    """Finds the least noise with which a training keeps its bound.

    Args:
        privacy: The bound.
        images: How many training images there are.
        batch: The expected number of images of a step; all images where it is more.
        steps: The steps of the whole training, all rounds of a federated one together.
        spent: What earlier trainings on the same images have spent.

    Returns:
        The plan.

    Raises:
        BudgetSpentError: Earlier trainings have left nothing.
        InputError: Opacus is not installed, or no noise is enough.
    """
    require_opacus()
    privacy, batch = privacy.of_images(images), min(batch, images)
    delta, rate = _delta(privacy), batch / images
    already = epsilon_of(spent, delta)
    share = 1.0
    while share > MIN_SHARE and already < privacy.epsilon:
        # Opacus looks for the noise of one training alone
        noise = _noise_multiplier(share * (privacy.epsilon - already), delta, rate, steps)
        if epsilon_of([*spent, (noise, rate, steps)], delta) <= privacy.epsilon:
            return NoisePlan(privacy, images, batch, steps, noise)
        share *= 0.8
    raise BudgetSpentError(
        f"--dp-epsilon {privacy.epsilon:g}: earlier trainings on these images have spent {already:.3g} of it; give a "
        "greater --dp-epsilon, or other images and another run"
    )


@lru_cache(100)
def _noise_multiplier(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    wanted = {"target_epsilon": epsilon, "target_delta": delta, "sample_rate": sample_rate, "steps": steps}
    tolerance = min(0.01, epsilon / 100)
    try:
        with without_warnings():
            return float(get_noise_multiplier(**wanted, accountant=ACCOUNTANT, epsilon_tolerance=tolerance))
    except ValueError as error:  # Opacus gives up at a great deviation
        raise InputError(f"--dp-epsilon {epsilon:g}: no noise is enough for {steps} steps ({error})") from error


def epsilon_of(spent: Spent, delta: float) -> float:
    """The epsilon that trainings have spent together.

    Args:
        spent: What each has spent.
        delta: The probability with which the bound need not hold.

    Returns:
        Epsilon, an upper bound.
    """
    if not any(steps for _, _, steps in spent):
        return 0.0
    return _epsilon(tuple((float(noise), float(rate), int(steps)) for noise, rate, steps in spent), delta)


@lru_cache(100)
def _epsilon(spent: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from opacus.accountants import create_accountant

    accountant = create_accountant(mechanism=ACCOUNTANT)
    accountant.history = list(spent)
    with without_warnings():
        return float(accountant.get_epsilon(delta=delta))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Inside, Opacus says nothing of a first estimate that is loose, or of the logarithm of 0 at a sampling rate of 1.

    Yields:
        Nothing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"opacus\.accountants")
        yield


def accountant_name() -> str:
    """The accountant and its version.

    Returns:
        Such as `prv of opacus 1.6.0`.
    """
    import opacus

    return f"{ACCOUNTANT} of opacus {opacus.__version__}"


def _delta(privacy: Privacy) -> float:
    assert privacy.delta is not None  # `of_images` has set it
    return privacy.delta
