"""Accuracy of networks on a split."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mcuformer.data.images import Split
from mcuformer.data.preprocessing import Preprocessing
from supernet.data import to_tensor

BATCH_SIZE = 512


@torch.inference_mode()
def accuracy_percent(
    forward: Callable[[Tensor], Tensor],
    split: Split,
    preprocessing: Preprocessing,
    device: torch.device | str = "cpu",
) -> float:
    """Return the top-1 accuracy on a split, in percent.

    Args:
        forward: maps normalised images (B, C, H, W) to logits (B, K).
        split: raw images and labels.
        preprocessing: normalises the images.
        device: where `forward` computes.
    """
    correct = 0
    for start in range(0, len(split), BATCH_SIZE):
        chosen = slice(start, start + BATCH_SIZE)
        images = to_tensor(split.images[chosen], preprocessing).to(device)
        labels = torch.from_numpy(split.labels[chosen]).to(device)
        correct += int((forward(images).argmax(dim=1) == labels).sum())
    return 100.0 * correct / len(split)
