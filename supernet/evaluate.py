"""Accuracy of networks on a split."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BATCH_SIZE = 512


@torch.inference_mode()
def accuracy_percent(forward: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> float:
    """Return the top-1 accuracy, in percent.

    Args:
        forward: images (B, C, H, W) to logits (B, K).
        images: the whole split.
        labels: (B,).
    """
    correct = sum(
        int((forward(chunk).argmax(dim=1) == target).sum())
        for chunk, target in zip(images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True)
    )
    return 100.0 * correct / len(labels)
