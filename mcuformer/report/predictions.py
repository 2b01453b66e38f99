"""What the integer network says of every test image: ``predictions.safetensors`` of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcuformer.data.images import Images, ImageSource, Labels
from mcuformer.errors import ArtifactError
from mcuformer.run.artifact import RunDir, load_arrays, save_arrays
from mcuformer.seed import stream
from oplib.ops.base import Array

FILE = "predictions.safetensors"
KEPT_CLASSES = 3  # the likeliest of each image
SHOWN = 12  # right and wrong pictures, of each
MAX_SIDE = 96  # of a kept picture, in pixels


@dataclass(frozen=True)
class Predictions:
    """Classes that the integer reference gives to B test images, and some of their pictures.

    Args:
        labels: true classes, (B,).
        float_classes: classes by the float network, (B,).
        classes: the likeliest classes, the likeliest first, (B, at most 3).
        shares: their probabilities, (B, at most 3).
        shown: numbers of the images with a picture, (N,): first the wrong ones whose first class
            is likeliest, then right ones, drawn at random.
        pictures: their pixels from 0 to 255, (N, H, W, C), reduced to 96 pixels.
    """

    labels: Array
    float_classes: Array
    classes: Array
    shares: Array
    shown: Array
    pictures: Images

    @property
    def wrong(self) -> Array:
        """Whether the likeliest class is not the true one, (B,)."""
        return np.asarray(self.classes[:, 0] != self.labels)

    def confusion(self, num_classes: int) -> Array:
        """Return the number of images by true class and by likeliest class."""
        counts = np.zeros((num_classes, num_classes), np.int64)
        np.add.at(counts, (self.labels, self.classes[:, 0]), 1)
        return counts

    def save(self, run: RunDir) -> None:
        """Write the file."""
        save_arrays(run.file(FILE), dict(vars(self)))

    @classmethod
    def load(cls, run: RunDir) -> Predictions:
        """Read the file.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        path = run.file(FILE)
        arrays = load_arrays(path)
        if arrays.keys() != cls.__dataclass_fields__.keys():
            raise ArtifactError("damaged: not the arrays of predictions", where=path)
        result = cls(**arrays)
        count = len(result.labels)
        whole = (
            result.classes.ndim == 2
            and result.classes.shape == result.shares.shape
            and len(result.classes) == len(result.float_classes) == count
            and result.pictures.ndim == 4
            and result.pictures.dtype == np.uint8
            and len(result.pictures) == len(result.shown)
            and bool(np.all((result.shown >= 0) & (result.shown < count)))
        )
        if not whole:
            raise ArtifactError("damaged: arrays of predictions do not fit together", where=path)
        return result


def predictions(
    probabilities: Array, float_logits: Array, labels: Labels, images: ImageSource, value_max: int
) -> Predictions:
    """Return what a page shows of the predictions.

    Args:
        probabilities: of the integer network, (B, K).
        float_logits: logits of the float network, (B, K).
        labels: true classes, (B,).
        images: raw pixels, (B, H, W, C).
        value_max: largest raw pixel value.
    """
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :KEPT_CLASSES]
    shares = np.take_along_axis(probabilities, classes, axis=1)
    wrong, right = (np.flatnonzero((classes[:, 0] == labels) == same) for same in (False, True))
    surest = wrong[np.argsort(-shares[wrong, 0], kind="stable")][:SHOWN]
    drawn = np.sort(stream(0, "pictures").permutation(right)[:SHOWN])
    shown = np.concatenate([surest, drawn])
    return Predictions(
        labels=labels.astype(np.int32),
        float_classes=float_logits.argmax(axis=1).astype(np.int32),
        classes=classes.astype(np.int32),
        shares=shares.astype(np.float32),
        shown=shown.astype(np.int32),
        pictures=np.stack([picture(images[int(index)], value_max) for index in shown]),
    )


def picture(image: Images, value_max: int) -> Images:
    """Return an image (H, W, C) with pixels up to 255 and sides up to 96."""
    from PIL import Image

    pixels = np.round(image.astype(np.float32) * (255.0 / value_max)).astype(np.uint8)
    if max(pixels.shape[:2]) <= MAX_SIDE:
        return pixels
    drawn = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    drawn.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(drawn).reshape(drawn.height, drawn.width, pixels.shape[-1])
