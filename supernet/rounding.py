"""Rounding to integer codes inside a float network, with straight-through gradients.

There are two kinds. *Fake quantisation*, in the last epochs of supernet training, takes its ranges
from each batch; it adapts the weights to int8 before the search ranks subnets by them.
*Learned rounding*, in quantisation-aware training, rounds half up as the integer reference does and
learns the scale by the straight-through gradient (LSQ, Esser et al., 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def fake_quantize_weight(weight: Tensor) -> Tensor:
    """Round `weight` (out, in) to 255 symmetric levels per output channel."""
    scale = weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
    return straight_through(weight, (weight / scale).round() * scale)


def fake_quantize_input(x: Tensor) -> Tensor:
    """Round `x` (any shape) to 256 levels from its minimum to its maximum; 0 is a level."""
    low, high = x.detach().amin().clamp(max=0), x.detach().amax().clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-8)
    zero_point = (-low / scale).round()
    quantized = ((x / scale).round() + zero_point).clamp(0, 255) - zero_point
    return straight_through(x, quantized * scale)


class FakeQuantizable:
    """Mixin of layers whose product with a weight can be fake-quantised."""

    fake_quant: bool = False

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return ``x W^T + b``, with input and weight rounded to int8 where `fake_quant` is set.

        Args:
            x: input, (..., in).
            weight: weight, (out, in).
            bias: bias, (out,), or None.

        Returns:
            Output, (..., out).
        """
        if self.fake_quant:
            x, weight = fake_quantize_input(x), fake_quantize_weight(weight)
        return functional.linear(x, weight, bias)


def set_fake_quant(model: nn.Module, on: bool) -> None:
    """Switch fake quantisation on or off in every :class:`FakeQuantizable` layer of `model`."""
    for module in model.modules():
        if isinstance(module, FakeQuantizable):
            module.fake_quant = on


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """Return `rounded`, with the gradient of `x`."""
    return x + torch.detach(rounded - x)


class LearnedRounding(nn.Module):
    """Rounding to integer codes; the logarithm of the scale is learned, the zero point is fixed.

    Args:
        scale: initial value of one code step.
        zero_point: code of the value 0.
        low: smallest code.
        high: largest code.
    """

    def __init__(self, scale: float, zero_point: int, low: int, high: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([scale]).log())
        self.low, self.high = low - zero_point, high - zero_point

    @property
    def scale(self) -> Tensor:
        """Value of one code step, (1,)."""
        return self.log_scale.exp()

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x` minus the zero point: whole floats, with gradients."""
        return round_half_up((x / self.scale).clamp(self.low, self.high))

    def forward(self, x: Tensor) -> Tensor:
        """Round `x` (any shape) to the nearest representable value."""
        return self.codes(x) * self.scale


def round_half_up(x: Tensor) -> Tensor:
    """Round to integers, halves upwards, with the gradient of the identity.

    >>> round_half_up(torch.tensor([-1.5, -0.5, 0.5, 1.5])).tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """
    return straight_through(x, torch.floor(x + 0.5))


def rounded_weight(weight: Tensor) -> Tensor:
    """Round (out, ...) to 255 symmetric levels per output channel, as the lowering does."""
    flat = weight.flatten(1)
    scale = flat.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    codes = flat / scale
    rounded = straight_through(codes, torch.round(codes))  # half to even, as the lowering
    return (rounded * scale).view_as(weight)
