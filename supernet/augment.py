"""Augmentation of batches: shift, mirror and erase whole batches, timm's transforms per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.readers import Images
from mcuformer.errors import ConfigError
from supernet.recipe import Recipe


class Augmentation:
    """Shift, mirror, crop and RandAugment on raw pixels; random erasing on normalised ones.

    timm's transforms draw from the global generators, which the training loop seeds at each step.

    Args:
        recipe: which augmentations to apply, and how strongly.
        preprocessing: image size, range of raw pixels and padding.

    Raises:
        ConfigError: timm cannot parse `recipe.rand_augment`.
    """

    def __init__(self, recipe: Recipe, preprocessing: Preprocessing) -> None:
        self.recipe, self.preprocessing = recipe, preprocessing
        self.transforms = _picture_transforms(recipe, preprocessing)
        self.erase: Callable[[Tensor], Tensor] | None = None
        if recipe.random_erasing:
            from timm.data.random_erasing import RandomErasing

            self.erase = RandomErasing(recipe.random_erasing, mode="pixel", device="cpu")

    def raw(self, images: Images, rng: np.random.Generator) -> Images:
        """Return augmented raw images, (B, H, W, C)."""
        if self.recipe.crop_padding:
            images = shift(images, self.recipe.crop_padding, self.preprocessing.pad_value, rng)
        if self.recipe.hflip:
            mirrored = rng.random(len(images)) < 0.5
            images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        if self.transforms:
            images = np.stack([self._transformed(image) for image in images])
        return images

    def normalized(self, images: Tensor) -> Tensor:
        """Return augmented normalised images, (B, C, H, W)."""
        return images if self.erase is None else self.erase(images)

    def _transformed(self, image: Images) -> Images:
        picture = self.preprocessing.to_picture(image)
        for transform in self.transforms:
            picture = transform(picture)
        return self.preprocessing.read_picture(picture)


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


def _picture_transforms(recipe: Recipe, preprocessing: Preprocessing) -> list[Any]:
    transforms: list[Any] = []
    if recipe.resized_crop_scale is not None:
        from timm.data.transforms import RandomResizedCropAndInterpolation

        scale = (recipe.resized_crop_scale, 1.0)
        transforms.append(
            RandomResizedCropAndInterpolation(
                preprocessing.img_size, scale=scale, interpolation="bilinear"
            )
        )
    if recipe.rand_augment is not None:
        from timm.data.auto_augment import rand_augment_transform

        fill = tuple(
            round(255 * value / preprocessing.value_max) for value in preprocessing.pad_value
        )
        try:
            transforms.append(
                rand_augment_transform(recipe.rand_augment, {"img_mean": fill * (3 // len(fill))})
            )
        except (AssertionError, ValueError, KeyError) as error:
            raise ConfigError(
                f"timm cannot parse this RandAugment: {error}",
                where="recipe.rand_augment",
                got=recipe.rand_augment,
                expected="for instance rand-m9-mstd0.5-inc1",
            ) from error
    return transforms
