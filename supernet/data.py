"""Batches for torch: small data sets live in memory as tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mcuformer.data import Preprocessing, Split
from mcuformer.seed import stream


def to_tensor(images: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    """Normalise raw images (B, H, W, C) to float tensors (B, C, H, W)."""
    return torch.from_numpy(preprocessing.normalize(images)).permute(0, 3, 1, 2).contiguous()


def pad_value(preprocessing: Preprocessing) -> tuple[float, ...]:
    """Return the normalised value, per channel, of the raw pixels that padding consists of."""
    pixel = np.array(preprocessing.pad_value, dtype=np.uint8)
    return tuple(preprocessing.normalize(pixel[None, None])[0, 0].tolist())


class BatchSource:
    """A split in memory; the order of every epoch depends on the seed and the epoch alone.

    Args:
        split: raw images and labels.
        preprocessing: normalises the images once.
        batch_size: the last, smaller batch of an epoch is left out unless it is the only one.
        seed: of the run.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, batch_size: int, seed: int
    ) -> None:
        self.images = to_tensor(split.images, preprocessing)
        self.labels = torch.from_numpy(split.labels)
        self.batch_size = min(batch_size, len(split))
        self.seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.labels) // self.batch_size

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the (images, labels) batches of epoch `number`."""
        order = torch.from_numpy(stream(self.seed, "data", number).permutation(len(self.labels)))
        for step in range(self.steps_per_epoch):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self.images[chosen], self.labels[chosen]
