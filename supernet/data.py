"""Batches for torch, in an order that depends only on seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcuformer.data.images import Images, ImageSource, PictureImages, Split
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError, InternalError
from mcuformer.seed import stream
from supernet.augment import Augmentation, Batch
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
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Yield this process's raw images and labels (B,) of each step of an epoch.

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
        source: ImageSource = self.split.images
        if self.augmentation.cut is not None and isinstance(source, PictureImages):
            if self.split.crops is None:
                raise InternalError("random crops of pictures that were loaded without them")
            source = self.split.crops
        for indices, images in zip(batches, _read(source, batches), strict=True):
            yield images, torch.from_numpy(self.split.labels[indices])

    def prepare(self, images: Batch, rng: np.random.Generator) -> Tensor:
        """Augment and normalise raw images to (B, C, H, W)."""
        tensor = to_tensor(self.augmentation.raw(images, rng), self.preprocessing)
        return self.augmentation.normalized(tensor)


def _read(source: ImageSource, batches: list[np.ndarray]) -> Iterator[Batch]:
    """Yield the images of each batch; worker processes decode pictures ahead of their use."""
    if not isinstance(source, PictureImages):
        yield from (source[indices] for indices in batches)
        return
    reader = _Reader(source)
    if not source.decodes:
        yield from (reader.images(indices) for indices in batches)
        return
    loader: DataLoader[Batch | DataError] = DataLoader(
        reader, sampler=batches, batch_size=None, num_workers=LOADER_WORKERS, collate_fn=_as_is
    )
    for images in loader:
        if isinstance(images, DataError):
            raise images
        yield images


class _Reader(Dataset[Batch | DataError]):
    """Pictures as a torch data set whose items are batches, so that a DataLoader can read them."""

    def __init__(self, source: PictureImages) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: np.ndarray) -> Batch | DataError:
        try:
            return self.images(indices)
        except DataError as error:
            return error  # a worker would turn it into a traceback

    def images(self, indices: np.ndarray) -> Batch:
        """Return the images at `indices`, as one array if they have one shape."""
        if self.source.image_shape is not None:
            return self.source[indices]
        return [self.source[int(index)] for index in indices]


def _as_is(batch: Batch | DataError) -> Batch | DataError:
    return batch
