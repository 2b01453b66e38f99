"""Batches for torch, in an order that depends only on seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcuformer.data.dataset import Split
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.data.readers import Images, LazyImages
from mcuformer.seed import stream
from supernet.augment import Augmentation
from supernet.recipe import Recipe, check_batch_size

LOADER_WORKERS = 2  # processes that read images from disk


def to_tensor(images: Images, preprocessing: Preprocessing) -> Tensor:
    """Normalise raw images (B, H, W, C) to a float tensor (B, C, H, W)."""
    return torch.from_numpy(preprocessing.normalize(images)).permute(0, 3, 1, 2).contiguous()


def pad_value(preprocessing: Preprocessing) -> tuple[float, ...]:
    """Return the normalised value of the padding pixel, per channel."""
    pixel = np.array(preprocessing.pad_value, dtype=np.uint8)
    return tuple(preprocessing.normalize(pixel[None, None])[0, 0].tolist())


class BatchSource:
    """The training data; images stay raw until their batch is augmented and normalised.

    An epoch is one permutation for all processes, and each process takes its share of every batch.
    So the order depends neither on the number of processes nor on the step resumed from.

    Args:
        split: raw images and labels, in memory or on disk.
        preprocessing: normalises the images.
        recipe: batch size and augmentation. An incomplete last batch is dropped.
        seed: seed of the run.

    Raises:
        ConfigError: a batch is larger than the split.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, recipe: Recipe, seed: int
    ) -> None:
        check_batch_size(recipe, len(split))
        self.split, self.preprocessing = split, preprocessing
        self.augmentation = Augmentation(recipe, preprocessing)
        self.batch_size = recipe.batch_size
        self.seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        return len(self.split) // self.batch_size

    def epoch(
        self, number: int, first_step: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Images, Tensor]]:
        """Yield this process's raw images (B, H, W, C) and labels (B,) of each step of an epoch.

        Args:
            number: the epoch, from 0.
            first_step: step to start from.
            share: (rank, world size) of the process; world size divides the batch size.
        """
        rank, world_size = share
        order = stream(self.seed, "data", number).permutation(len(self.split))
        size = self.batch_size // world_size
        starts = [
            step * self.batch_size + rank * size for step in range(first_step, self.steps_per_epoch)
        ]
        batches = [order[start : start + size] for start in starts]
        for indices, images in zip(batches, _read(self.split, batches), strict=True):
            yield images, torch.from_numpy(self.split.labels[indices])

    def prepare(self, images: Images, rng: np.random.Generator) -> Tensor:
        """Augment and normalise raw images (B, H, W, C) to (B, C, H, W)."""
        tensor = to_tensor(self.augmentation.raw(images, rng), self.preprocessing)
        return self.augmentation.normalized(tensor)


def _read(split: Split, batches: list[np.ndarray]) -> Iterator[Images]:
    """Yield the images of each batch; worker processes read those on disk ahead of their use."""
    images = split.images
    if not isinstance(images, LazyImages):
        yield from (images[indices] for indices in batches)
        return
    loader: DataLoader[Images] = DataLoader(
        _Reader(images),
        batch_sampler=[indices.tolist() for indices in batches],
        num_workers=LOADER_WORKERS,
        collate_fn=np.stack,
    )
    yield from loader


class _Reader(Dataset[Images]):
    """Lazy images as a torch data set, so that a DataLoader can read them."""

    def __init__(self, images: LazyImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Images:
        return self.images[index]
