"""What a private training promises (differential privacy). Imports nothing that a command line must wait for.

A training is (epsilon, delta) differentially private if every result of it is at most e ** epsilon times as likely with
an image as without it, up to a probability of delta (Dwork and Roth 2014). docs/privacy.md says what that means here.
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import isfinite

from search_spaces.errors import InputError

DELTA_SHARE = 10  # the default delta is one over this many times the number of images
UNIT = "one image"


@dataclass(frozen=True)
class Privacy:
    """The bound on what a network tells about a single image that it was trained on.

    Attributes:
        epsilon: The bound: 1 is strict, 8 is common for images, and far above 10 it promises little.
        delta: The probability with which the bound need not hold; None for 1 / (10 * images).
        max_grad_norm: The L2 norm to which the gradient of each image is clipped.

    Raises:
        InputError: A value is out of range; the line names the flag.
    """

    epsilon: float
    delta: float | None = None
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        if not (self.epsilon > 0 and isfinite(self.epsilon)):
            raise InputError(f"--dp-epsilon {self.epsilon:g}: give a positive number, such as 8")
        if self.delta is not None and not 0 < self.delta < 1:
            raise InputError(f"--dp-delta {self.delta:g}: give a number above 0 and below 1 / images, such as 1e-5")
        if not (self.max_grad_norm > 0 and isfinite(self.max_grad_norm)):
            raise InputError(f"--max-grad-norm {self.max_grad_norm:g}: give a positive number, such as 1")

    def of_images(self, images: int) -> "Privacy":
        """Fixes delta for a number of images. A delta that is too great is used, after a printed line.

        Args:
            images: How many training images there are.

        Returns:
            The bound, whose delta is a number.
        """
        if self.delta is None:
            return replace(self, delta=1 / (DELTA_SHARE * images))
        if self.delta >= 1 / images:
            print(
                f"--dp-delta {self.delta:g}: is not below 1 / {images} images = {1 / images:.2g}; a training that "
                "publishes a whole image would meet it; give less"
            )
        return self


def require_opacus() -> None:
    """Refuses to go on without the package that clips, adds noise and counts.

    Raises:
        InputError: Opacus is not installed.
    """
    if find_spec("opacus") is None:
        raise InputError('--dp-epsilon: private training needs opacus; pip install "slimlab[private]"')
