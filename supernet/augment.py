"""Augmentation of batches: shift and mirror whole batches, timm's transforms per image.

What is drawn for an image depends on the seed, the epoch and the image's number, and on nothing
else: neither on its batch nor on the process that augments it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mcuformer.data.images import Images
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.seed import Counts, derive, numbers, uniform
from supernet.recipe import Recipe

T = TypeVar("T")
Transform = Callable[[T], T]
PictureTransform = Transform[Any]  # of pictures of Pillow's

Batch = Images | list[Images]  # raw images, (B, H, W, C), or pictures of several sizes, (H, W, C)


# columns of the table of draws: one or more per augmentation
CROP, ROW, COLUMN, MIRROR, RAND_AUGMENT, ERASE, DRAWS = range(7)


def draw(seed: int, epoch: int, indices: npt.NDArray[np.int64]) -> Counts:
    """Return the random numbers (B, DRAWS) of the images at `indices` (B,) in an epoch."""
    positions = indices[:, None] * DRAWS + np.arange(DRAWS)
    return numbers(derive(seed, "augment", epoch), positions)


def seed_generators(value: int) -> None:
    """Seed the global generators of Python, numpy and torch on the CPU; timm uses them."""
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - timm draws from it
    # torch.manual_seed seeds every GPU's too, and takes 0.1 ms even where there is none
    torch.default_generator.manual_seed(value)


class Augmentation:
    """Crop, shift, mirror and RandAugment on raw pixels; random erasing on normalised ones.

    timm's transforms draw from the global generators, which are seeded for each image.

    Args:
        recipe: which augmentations to apply, and how strongly.
        preprocessing: image size, range of raw pixels and padding.
    """

    def __init__(self, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self.recipe, self.preprocessing = recipe, preprocessing
        self.cut = _random_crop(recipe, preprocessing)
        self.rand_augment = _rand_augment(recipe, preprocessing)
        self.erase: Transform[Tensor] | None = None
        if recipe.random_erasing:
            from timm.data.random_erasing import RandomErasing

            self.erase = RandomErasing(recipe.random_erasing, mode="pixel", device="cpu")

    @property
    def by_image(self) -> bool:
        """Whether images become pictures and pass timm's transforms, one by one."""
        return self.cut is not None or self.rand_augment is not None

    def raw(self, images: Batch, draws: Counts) -> Images:
        """Return augmented raw images, (B, H, W, C).

        Args:
            images: raw images.
            draws: random numbers of each, (B, DRAWS).
        """
        if self.cut is not None:
            images = self._each(self.cut, images, draws[:, CROP])
        batch = np.asarray(images)
        if self.recipe.crop_padding:
            places = uniform(draws[:, [ROW, COLUMN]])
            batch = shift(batch, self.recipe.crop_padding, self.preprocessing.pad_value, places)
        if self.recipe.hflip:
            mirrored = uniform(draws[:, MIRROR]) < 0.5
            batch = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
        if self.rand_augment is not None:
            batch = self._each(self.rand_augment, batch, draws[:, RAND_AUGMENT])
        return batch

    def normalized(self, images: Tensor, draws: Counts) -> Tensor:
        """Return augmented normalised images (B, C, H, W); `draws` as above."""
        if self.erase is None:
            return images
        return torch.stack(list(_seeded(self.erase, images, draws[:, ERASE])))

    def _each(self, transform: PictureTransform, images: Batch, seeds: Counts) -> Images:
        """Return every image, transformed as a picture, (B, H, W, C)."""
        pre = self.preprocessing
        pictures = (pre.to_picture(image) for image in images)
        return np.stack([pre.read_picture(p) for p in _seeded(transform, pictures, seeds)])


def _seeded(transform: Transform[T], items: Iterable[T], seeds: Counts) -> Iterable[T]:
    """Yield every item transformed, the global generators seeded for it."""
    for item, seed in zip(items, seeds, strict=True):
        seed_generators(int(seed) >> 1)
        yield transform(item)


def shift(
    images: Images, largest: int, pad_value: tuple[int, ...], places: npt.NDArray[np.float64]
) -> Images:
    """Shift each image of (B, H, W, C) by up to `largest` pixels along both axes, padding the rest.

    Each image is a random window of its padded copy; the windows are views, so only the chosen
    ones are copied.

    Args:
        images: raw images.
        largest: largest shift in pixels.
        pad_value: raw pixel that fills the rest, per channel.
        places: place of each window along both axes, (B, 2), uniform in [0, 1).
    """
    count, height, width, chans = images.shape
    padded = np.empty((count, height + 2 * largest, width + 2 * largest, chans), np.uint8)
    padded[:] = np.array(pad_value, np.uint8)
    padded[:, largest : largest + height, largest : largest + width] = images
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    rows, cols = (places * (2 * largest + 1)).astype(np.int64).T
    moved: Images = windows[np.arange(count), rows, cols].transpose(0, 2, 3, 1)  # NCHW -> NHWC
    return moved


def _random_crop(recipe: Recipe, preprocessing: Preprocessing) -> PictureTransform | None:
    if recipe.resized_crop_scale is None:
        return None
    from timm.data.transforms import RandomResizedCropAndInterpolation

    scale = (recipe.resized_crop_scale, 1.0)
    crop: PictureTransform = RandomResizedCropAndInterpolation(
        preprocessing.img_size, scale=scale, interpolation="bilinear"
    )
    return crop


def _rand_augment(recipe: Recipe, preprocessing: Preprocessing) -> PictureTransform | None:
    if recipe.rand_augment is None:
        return None
    from timm.data.auto_augment import rand_augment_transform

    fill = tuple(round(255 * value / preprocessing.value_max) for value in preprocessing.pad_value)
    transform: PictureTransform = rand_augment_transform(
        recipe.rand_augment, {"img_mean": fill * (3 // len(fill))}
    )
    return transform
