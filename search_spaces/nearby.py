"""The choices by which a space makes a given network, or the one nearest to it, and steps away from them."""

import random
from collections.abc import Sequence

from search_spaces.backbone import RESOLUTION_SCALE
from search_spaces.genotype import Genotype
from search_spaces.trials import Choice, Params


def choices_of(genotype: Genotype, input_size: tuple[int, int]) -> Params:
    """Reads off a network what a trial would have chosen for it.

    Args:
        genotype: The network. It need not be a member of a space.
        input_size: The largest resolution (H, W) in pixels of the space.

    Returns:
        The choices by the names under which spaces ask for them. There are more of them than one space asks for.
    """
    chosen: Params = {
        RESOLUTION_SCALE: genotype.resolution[0] / input_size[0],
        "stem": genotype.stem,
        "stages": len(genotype.stages),
        "output_stride": genotype.output_stride,
        "aspp_branches": len(genotype.aspp_rates),
        "image_pooling": genotype.image_pooling,
        "aspp_width": genotype.aspp_widths[0],
        "separable": genotype.separable,
        "low_level": genotype.low_level,
        "decoder_width": max(genotype.decoder, default=0),
        "decoder_depth": len(genotype.decoder),
        "head_stride": genotype.head_stride,
    }
    chosen |= {f"aspp_rate{i}": rate for i, rate in enumerate(genotype.aspp_rates, start=1)}
    width_in = genotype.stem
    for i, stage in enumerate(genotype.stages, start=1):
        chosen |= {
            f"stage{i}_width": stage.width,
            f"stage{i}_depth": len(stage.hidden),
            f"stage{i}_expansion": stage.hidden[-1] / (stage.width if len(stage.hidden) > 1 else width_in),
            f"stage{i}_kernel": stage.kernel,
            f"stage{i}_swish": stage.swish,
            f"stage{i}_squeeze": bool(stage.squeeze),
        }
        width_in = stage.width
    return chosen


class NearbyTrial:
    """Chooses the values nearest to wanted ones. Each may move one step from there.

    Attributes:
        params: The chosen values by name, so that Optuna can be told of them.
    """

    def __init__(self, wanted: Params, rng: random.Random, moved: float = 0.0) -> None:
        """Sets up the trial.

        Args:
            wanted: The wanted values by name. Where one is missing, the first value is wanted.
            rng: Draws the steps.
            moved: The chance (0..1) with which a value moves to the next smaller or larger one.
        """
        self.wanted, self.rng, self.moved = wanted, rng, moved
        self.params: Params = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        """Chooses a number.

        Args:
            name: The parameter.
            low: The lowest value.
            high: The highest value.
            step: The distance between two values.

        Returns:
            The value.
        """
        return self.suggest_categorical(name, range(low, high + 1, step))

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Chooses one of several values.

        Args:
            name: The parameter.
            choices: Its values, smallest network first.

        Returns:
            The value.
        """
        wanted = self.wanted.get(name, choices[0])
        place = min(range(len(choices)), key=lambda at: abs(float(choices[at]) - float(wanted)))
        if self.rng.random() < self.moved:
            place = min(len(choices) - 1, max(0, place + self.rng.choice((-1, 1))))
        self.params[name] = choices[place]
        return choices[place]
