"""Batches for torch, in an order that depends on the seed, the epoch and the step alone."""

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
from supernet.recipe import Recipe

LOADER_WORKERS = 2  # processes that read images from disk


def to_tensor(images: Images, preprocessing: Preprocessing) -> Tensor:
    """Normalise raw images (B, H, W, C) to float tensors (B, C, H, W)."""
    return torch.from_numpy(preprocessing.normalize(images)).permute(0, 3, 1, 2).contiguous()


def pad_value(preprocessing: Preprocessing) -> tuple[float, ...]:
    """Return the normalised value, per channel, of the raw pixels that padding consists of."""
    pixel = np.array(preprocessing.pad_value, dtype=np.uint8)
    return tuple(preprocessing.normalize(pixel[None, None])[0, 0].tolist())


class BatchSource:
    """The training data; images stay raw and are augmented and normalised a batch at a time.

    The order of an epoch is one permutation for all processes: each takes its share of every batch,
    so that a training keeps its order on another number of processes and from any step.

    Args:
        split: raw images and labels, in memory or on disk.
        preprocessing: normalises the images.
        recipe: batch size (the last, smaller batch of an epoch is left out unless it is the only
            one) and augmentation.
        seed: of the run.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, recipe: Recipe, seed: int
    ) -> None:
        self.split, self.preprocessing = split, preprocessing
        self.augmentation = Augmentation(recipe, preprocessing)
        self.batch_size = min(recipe.batch_size, len(split))
        self.seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.split) // self.batch_size

    def epoch(
        self, number: int, first_step: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Images, Tensor]]:
        """Yield raw images and labels of epoch `number`, from `first_step` on.

        Args:
            share: (rank, world size); the batch size is a multiple of the latter.
        """
        rank, world_size = share
        order = stream(self.seed, "data", number).permutation(len(self.split))
        part = self.batch_size // world_size
        starts = [
            step * self.batch_size + rank * part for step in range(first_step, self.steps_per_epoch)
        ]
        chosen = [order[start : start + part] for start in starts]
        for indices, images in zip(chosen, _read(self.split, chosen), strict=True):
            yield images, torch.from_numpy(self.split.labels[indices])

    def prepare(self, images: Images, rng: np.random.Generator) -> Tensor:
        """Augment and normalise raw images (B, H, W, C) to (B, C, H, W)."""
        tensor = to_tensor(self.augmentation.raw(images, rng), self.preprocessing)
        return self.augmentation.normalized(tensor)


def _read(split: Split, chosen: list[np.ndarray]) -> Iterator[Images]:
    """Yield the images of each batch; from disk through worker processes, ahead of their use."""
    images = split.images
    if not isinstance(images, LazyImages):
        yield from (images[indices] for indices in chosen)
        return
    loader: DataLoader[Images] = DataLoader(
        _Reader(images),
        batch_sampler=[indices.tolist() for indices in chosen],
        num_workers=LOADER_WORKERS,
        collate_fn=np.stack,
    )
    yield from loader


class _Reader(Dataset[Images]):
    def __init__(self, images: LazyImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Images:
        return self.images[index]
