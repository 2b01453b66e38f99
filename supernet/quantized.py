"""Building blocks of quantisation-aware training: rounding with learned steps.

The rounding is the integer reference's, half up; gradients pass straight through, and the step
learns by them (LSQ, Esser et al., 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    """Round to integers, halves upwards, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


def rounded_weight(weight: Tensor) -> Tensor:
    """Round (out, ...) to 255 symmetric levels for each output channel, as the lowering does."""
    flat = weight.flatten(1)
    scale = flat.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    codes = flat / scale
    rounded = codes + (torch.round(codes) - codes).detach()  # weights are rounded half to even
    return (rounded * scale).view_as(weight)
