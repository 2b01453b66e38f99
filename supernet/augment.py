"""Augmentation of batches: shift, mirror and erase whole batches, timm's transforms per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from mcuformer.data.images import Images
from mcuformer.data.preprocessing import Preprocessing
from supernet.recipe import Recipe

T = TypeVar("T")
Transform = Callable[[T], T]
PictureTransform = Transform[Any]  # of pictures of Pillow's

Batch = Images | list[Images]  # raw images, (B, H, W, C), or pictures of several sizes, (H, W, C)


class Augmentation:
    """Crop, shift, mirror and RandAugment on raw pixels; random erasing on normalised ones.

    timm's transforms draw from the global generators, which the training loop seeds at each step.

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

    def raw(self, images: Batch, rng: np.random.Generator) -> Images:
        """Return augmented raw images, (B, H, W, C)."""
        if self.cut is not None:
            images = self._each(self.cut, images)
        batch = np.asarray(images)
        if self.recipe.crop_padding:
            batch = shift(batch, self.recipe.crop_padding, self.preprocessing.pad_value, rng)
        if self.recipe.hflip:
            mirrored = rng.random(len(batch)) < 0.5
            batch = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
        if self.rand_augment is not None:
            batch = self._each(self.rand_augment, batch)
        return batch

    def normalized(self, images: Tensor) -> Tensor:
        """Return augmented normalised images, (B, C, H, W)."""
        return images if self.erase is None else self.erase(images)

    def _each(self, transform: PictureTransform, images: Batch) -> Images:
        """Return every image, transformed as a picture, (B, H, W, C)."""
        pre = self.preprocessing
        return np.stack([pre.read_picture(transform(pre.to_picture(image))) for image in images])


def shift(
    images: Images, largest: int, pad_value: tuple[int, ...], rng: np.random.Generator
) -> Images:
    """Shift each image of (B, H, W, C) by up to `largest` pixels along both axes, padding the rest.

    Each image is a random window of its padded copy; the windows are views, so only the chosen
    ones are copied.
    """
    count, height, width, chans = images.shape
    padded = np.empty((count, height + 2 * largest, width + 2 * largest, chans), np.uint8)
    padded[:] = np.array(pad_value, np.uint8)
    padded[:, largest : largest + height, largest : largest + width] = images
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    rows, cols = rng.integers(0, 2 * largest + 1, (2, count))
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
