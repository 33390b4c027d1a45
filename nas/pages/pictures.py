"""Validation images with truth and prediction: some spread over the split, and those with the lowest mIoU."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from compress.data.dataset import IGNORE
from compress.data.shown_bands import picture, shown_channels
from compress.data.validation import Validation
from compress.evaluation.metrics import confusion, mean_iou
from compress.stages.run import Run

PICTURES = 6  # images of each kind
MAX_SIDE = 256  # of a picture in the page, pixels
VOID_COLOUR = (0, 0, 0)


@dataclass(frozen=True)
class Picture:
    """A validation image in the page.

    Attributes:
        name: The name of its file, without the suffix.
        miou: mIoU (0..1) on this image alone; NaN where it has no labelled pixel.
        views: Image, truth and prediction by these names, each as a data URI.
    """

    name: str
    miou: float
    views: dict[str, str]


@dataclass(frozen=True)
class Pictures:
    """The validation images of a page.

    Attributes:
        spread: Images at equal distances in the split.
        worst: Those with the lowest mIoU, lowest first; empty where `spread` has the whole split.
    """

    spread: list[Picture]
    worst: list[Picture]


def make_pictures(run: Run, maps: Sequence[np.ndarray]) -> Pictures:
    """Chooses validation images and makes their pictures.

    Args:
        run: A finished run.
        maps: The class map of each validation image: h,w of class indices.

    Returns:
        The pictures.
    """
    mious = image_mious(maps, run.validation, len(run.data.classes))
    spread = np.unique(np.linspace(0, len(maps) - 1, PICTURES).round().astype(int)).tolist()
    worst = worst_images(mious, PICTURES) if len(maps) > PICTURES else []
    made = {i: _picture(run, i, maps[i], mious[i]) for i in {*spread, *worst}}
    return Pictures([made[i] for i in spread], [made[i] for i in worst])


def image_mious(maps: Sequence[np.ndarray], validation: Validation, classes: int) -> list[float]:
    """The mIoU on each image alone.

    Args:
        maps: The class map of each validation image: h,w of class indices.
        validation: The split.
        classes: The number of classes.

    Returns:
        A number in 0..1 for each image; NaN for an image without labelled pixels.
    """
    counts = (
        confusion(torch.from_numpy(class_map)[None].long(), mask[None].long(), classes, validation.ignore)
        for class_map, mask in zip(maps, validation.masks, strict=True)
    )
    return [mean_iou(count) for count in counts]


def worst_images(mious: Sequence[float], count: int) -> list[int]:
    """Chooses the images with the lowest mIoU.

    Args:
        mious: The mIoU (0..1) of each image; NaN for images without labelled pixels, which are left out.
        count: How many images at most.

    Returns:
        Their indices, lowest mIoU first.
    """
    labelled = [i for i, miou in enumerate(mious) if not np.isnan(miou)]
    return sorted(labelled, key=lambda i: mious[i])[:count]


def _picture(run: Run, i: int, class_map: np.ndarray, miou: float) -> Picture:
    image = run.validation.images[i].permute(1, 2, 0).numpy()
    photo = Image.fromarray(picture(image, shown_channels(run.data.pixels)))
    photo.thumbnail((MAX_SIDE, MAX_SIDE))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(run.data.colours)] = run.data.colours
    palette[IGNORE] = VOID_COLOUR
    views = {"image": _data_uri(photo, "jpeg", quality=88)}
    for name, indices in (("truth", run.validation.masks[i].numpy()), ("prediction", class_map)):
        mask = Image.fromarray(indices.astype(np.uint8)).resize(photo.size, Image.Resampling.NEAREST)
        mask.putpalette(palette.tobytes())
        views[name] = _data_uri(mask, "png", optimize=True)
    return Picture(run.data.val[i].image.stem, miou, views)


def _data_uri(image: Image.Image, form: str, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"
