"""Rounding to int8 inside a float network, with gradients passed straight through.

For the last epochs of supernet training: subnets are then ranked by weights that expect int8. The
ranges are those of each batch; the exact arithmetic of a firmware is :mod:`oplib`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """Round `weight` (out, in) to 255 symmetric levels for each output channel."""
    scale = weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
    return _straight_through(weight, (weight / scale).round() * scale)


def fake_quantize_input(x: Tensor) -> Tensor:
    """Round `x` to 256 levels between its smallest and largest value, zero among them."""
    low, high = x.detach().amin().clamp(max=0), x.detach().amax().clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-8)
    zero_point = (-low / scale).round()
    quantized = ((x / scale).round() + zero_point).clamp(0, 255) - zero_point
    return _straight_through(x, quantized * scale)


def set_fake_quant(model: nn.Module, on: bool) -> None:
    """Switch fake quantisation of every linear layer of `model`."""
    for module in model.modules():
        if hasattr(module, "fake_quant"):
            module.fake_quant = on


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    return x + torch.detach(rounded - x)
