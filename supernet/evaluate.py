"""Accuracy of networks on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mcuformer.data.images import Split
from mcuformer.data.preprocessing import Preprocessing
from supernet.data import to_device

BATCH_SIZE = 512
MAX_PREPARED_BYTES = 2**30
FLOAT_BYTES = 4
Forward = Callable[[Tensor], Tensor]


class PreparedSplit:
    """A split whose images are normalised once and stay on the device that evaluates.

    A split of more than :data:`MAX_PREPARED_BYTES` is normalised anew in every evaluation.

    Args:
        split: raw images and labels.
        preprocessing: normalises the images.
        device: where networks compute.
    """

    def __init__(
        self, split: Split, preprocessing: Preprocessing, device: torch.device | str = "cpu"
    ) -> None:
        self.split, self.preprocessing, self.device = split, preprocessing, device
        self._labels = torch.from_numpy(split.labels).to(device)
        self._prepared: Tensor | None = None
        chans, size = preprocessing.in_chans, preprocessing.img_size
        if len(split) * chans * size**2 * FLOAT_BYTES <= MAX_PREPARED_BYTES:
            prepared = torch.empty(len(split), chans, size, size, device=device)
            for start, images in zip(self._starts(0, len(split)), self._images(), strict=True):
                prepared[start : start + len(images)] = images
            self._prepared = prepared

    def __len__(self) -> int:
        return len(self.split)

    @torch.inference_mode()
    def accuracy_percent(self, forward: Forward, first: int = 0, stop: int | None = None) -> float:
        """Return the top-1 accuracy on the images [first, stop), in percent; None is the end.

        Args:
            forward: maps normalised images (B, C, H, W) to logits (B, K).
            first: number of the first image.
            stop: number of the image after the last.
        """
        stop = len(self) if stop is None else stop
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        starts = self._starts(first, stop)
        for start, images in zip(starts, self._images(first, stop), strict=True):
            labels = self._labels[start : start + len(images)]
            correct += (forward(images).argmax(dim=1) == labels).sum()
        return 100.0 * int(correct) / (stop - first)

    def _starts(self, first: int, stop: int) -> range:
        """Return the number of the first image of every batch of [first, stop)."""
        return range(first, stop, BATCH_SIZE)

    def _images(self, first: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Yield the normalised images [first, stop) in batches (B, C, H, W)."""
        stop = len(self) if stop is None else stop
        for start in self._starts(first, stop):
            end = min(start + BATCH_SIZE, stop)
            if self._prepared is not None:
                yield self._prepared[start:end]
            else:
                yield to_device(self.split.images[start:end], self.preprocessing, self.device)


def accuracy_percent(
    forward: Forward,
    split: Split,
    preprocessing: Preprocessing,
    device: torch.device | str = "cpu",
) -> float:
    """Return the top-1 accuracy on a split, in percent; arguments as of :class:`PreparedSplit`."""
    return PreparedSplit(split, preprocessing, device).accuracy_percent(forward)
