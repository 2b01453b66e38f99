"""Batches for torch, whose order and augmentation depend only on seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import current_process
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcuformer.data.images import Images, ImageSource, PictureImages, Split
from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import DataError, InternalError
from mcuformer.seed import stream
from supernet.augment import Augmentation, Batch, draw
from supernet.recipe import Recipe, check_batch_size

DEFAULT_WORKERS = 2  # processes that prepare batches where that takes long
Indices = npt.NDArray[np.int64]
Place = tuple[int, Indices]  # epoch, and numbers of the images of a batch


def to_tensor(images: Images, preprocessing: Preprocessing) -> Tensor:
    """Normalise raw images (B, H, W, C) to a float tensor (B, C, H, W)."""
    return torch.from_numpy(preprocessing.normalize(images)).permute(0, 3, 1, 2).contiguous()


def to_device(images: Images, preprocessing: Preprocessing, device: torch.device | str) -> Tensor:
    """Normalise raw images (B, H, W, C) on a device: exactly as :func:`to_tensor`, by a table.

    Bytes are a quarter of the floats to carry there.
    """
    if torch.device(device).type == "cpu":
        return to_tensor(images, preprocessing)
    pixels = np.arange(256, dtype=np.uint8)[:, None].repeat(preprocessing.in_chans, 1)
    table = torch.from_numpy(preprocessing.normalize(pixels)).to(device)
    raw = torch.from_numpy(np.ascontiguousarray(images)).to(device).long()
    planes = [table[:, chan][raw[..., chan]] for chan in range(preprocessing.in_chans)]
    return torch.stack(planes, dim=1)


def pad_value(preprocessing: Preprocessing) -> tuple[float, ...]:
    """Return the normalised value of the padding pixel, per channel."""
    pixel = np.array(preprocessing.pad_value, dtype=np.uint8)
    return tuple(preprocessing.normalize(pixel[None, None])[0, 0].tolist())


class BatchReader(Dataset[Tensor | DataError]):
    """Prepares batches: reads their images, augments and normalises them.

    A batch depends only on seed, epoch and the numbers of its images, so that any process may
    prepare it. As a torch data set, its items are batches.

    Args:
        split: raw images and labels, in memory or on disk.
        preprocessing: normalises the images.
        recipe: batch size and augmentation.
        seed: seed of the run.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, recipe: Recipe, seed: int
    ) -> None:
        self.split, self.preprocessing, self.seed = split, preprocessing, seed
        self.augmentation = Augmentation(recipe, preprocessing)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, place: Place) -> Tensor | DataError:
        try:
            return self.prepare(*place)
        except DataError as error:
            return error  # a worker would turn it into a traceback

    @property
    def source(self) -> ImageSource:
        """The raw images that batches are made of."""
        images = self.split.images
        if self.augmentation.cut is None or not isinstance(images, PictureImages):
            return images
        if self.split.crops is None:
            raise InternalError("random crops of pictures that were loaded without them")
        return self.split.crops

    @property
    def slow(self) -> bool:
        """Whether images are decoded, or transformed one by one."""
        source = self.source
        decodes = isinstance(source, PictureImages) and source.decodes
        return decodes or self.augmentation.by_image

    def prepare(self, epoch: int, indices: Indices) -> Tensor:
        """Return the images at `indices` (B,), augmented and normalised, (B, C, H, W)."""
        draws = draw(self.seed, epoch, indices)
        pixels = self.augmentation.raw(self._read(indices), draws)
        return self.augmentation.normalized(to_tensor(pixels, self.preprocessing), draws)

    def _read(self, indices: Indices) -> Batch:
        """Return raw images, as one array if they have one shape."""
        source = self.source
        if isinstance(source, PictureImages) and source.image_shape is None:
            return [source[int(index)] for index in indices]
        return source[indices]


class BatchSource:
    """The training data, in batches that are prepared here or by worker processes.

    An epoch is one permutation for all processes, and each process takes its share of every batch.
    So neither order nor augmentation depends on the number of processes, of workers, or on the step
    resumed from.

    Args:
        split: raw images and labels, in memory or on disk.
        preprocessing: normalises the images.
        recipe: batch size, augmentation and number of workers. An incomplete last batch is dropped.
        seed: seed of the run.

    Raises:
        ConfigError: a batch is larger than the split.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, recipe: Recipe, seed: int
    ) -> None:
        check_batch_size(recipe, len(split))
        self.split, self.preprocessing = split, preprocessing
        self.reader = BatchReader(split, preprocessing, recipe, seed)
        self.batch_size, self.num_workers = recipe.batch_size, recipe.num_workers
        self.seed = seed
        self._places: list[Place] = []  # the loader reads them when an epoch begins
        self._loader: DataLoader[Tensor | DataError] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        return len(self.split) // self.batch_size

    def epoch(
        self, number: int, first_step: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's images (B, C, H, W) and labels (B,) of each step of an epoch.

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
        for indices, images in zip(batches, self._prepared(number, batches), strict=True):
            yield images, torch.from_numpy(self.split.labels[indices])

    def _prepared(self, epoch: int, batches: list[Indices]) -> Iterator[Tensor]:
        """Yield prepared batches; workers, where there are any, are ahead of their use."""
        default = DEFAULT_WORKERS if self.reader.slow else 0
        workers = default if self.num_workers is None else self.num_workers
        if workers == 0 or current_process().daemon:  # a search's worker may not start others
            yield from (self.reader.prepare(epoch, indices) for indices in batches)
            return
        self._places[:] = [(epoch, indices) for indices in batches]
        if self._loader is None:
            self._loader = DataLoader(
                self.reader,
                sampler=self._places,
                batch_size=None,
                num_workers=workers,
                collate_fn=_as_is,
                persistent_workers=True,  # small sets would wait for new ones every epoch
            )
        for images in self._loader:
            if isinstance(images, DataError):
                raise images
            yield images


def _as_is(batch: Any) -> Any:
    return batch
