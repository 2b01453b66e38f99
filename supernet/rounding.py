"""Rounding to codes inside a float network, with gradients passed straight through.

Two kinds. *Fake quantisation* of the last epochs of supernet training takes its ranges from each
batch, so that subnets are ranked by weights that expect int8. *Learned rounding* of
quantisation-aware training has the integer reference's arithmetic, half up, and learns the step by
the straight-through gradient (LSQ, Esser et al., 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


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


class FakeQuantizable:
    """A layer whose product with a weight can be fake-quantised; mixed into a module's class."""

    fake_quant: bool = False

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return ``x W^T + b``, with input and weight rounded to int8 where `fake_quant` is set.

        Args:
            x: (..., in).
            weight: (out, in).
            bias: (out,), or None.

        Returns:
            (..., out).
        """
        if self.fake_quant:
            x, weight = fake_quantize_input(x), fake_quantize_weight(weight)
        return functional.linear(x, weight, bias)


def set_fake_quant(model: nn.Module, on: bool) -> None:
    """Switch fake quantisation of every layer of `model` that is :class:`FakeQuantizable`."""
    for module in model.modules():
        if isinstance(module, FakeQuantizable):
            module.fake_quant = on


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    return x + torch.detach(rounded - x)


class LearnedRounding(nn.Module):
    """Rounds to codes of one scale, whose logarithm is learned; the zero point stays.

    Args:
        scale: to start from. zero_point: of the codes. low, high: smallest and largest code.
    """

    def __init__(self, scale: float, zero_point: int, low: int, high: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([scale]).log())
        self.low, self.high = low - zero_point, high - zero_point

    @property
    def scale(self) -> Tensor:
        """The value of one code, (1,)."""
        return self.log_scale.exp()

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x` less the zero point, as integers with gradients."""
        return round_half_up((x / self.scale).clamp(self.low, self.high))

    def forward(self, x: Tensor) -> Tensor:
        """Round `x`."""
        return self.codes(x) * self.scale


def round_half_up(x: Tensor) -> Tensor:
    """Round to integers, halves upwards, with the gradient of the identity.

    >>> round_half_up(torch.tensor([-1.5, -0.5, 0.5, 1.5])).tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """
    return x + (torch.floor(x + 0.5) - x).detach()


def rounded_weight(weight: Tensor) -> Tensor:
    """Round (out, ...) to 255 symmetric levels for each output channel, as the lowering does."""
    flat = weight.flatten(1)
    scale = flat.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    codes = flat / scale
    rounded = codes + (torch.round(codes) - codes).detach()  # weights are rounded half to even
    return (rounded * scale).view_as(weight)
