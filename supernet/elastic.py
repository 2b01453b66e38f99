"""Layers whose weights are shared by slicing: a subnet uses the leading block of every tensor.

Source: AutoFormer (Chen et al., ICCV 2021), section 3.2, weight entanglement.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from supernet.rounding import FakeQuantizable


class Linear(nn.Linear, FakeQuantizable):
    """A static linear layer, initialised and fake-quantised as the supernet's are."""

    def reset_parameters(self) -> None:
        """Initialise the weight as :func:`init_weight` does, and the bias with zeros."""
        init_weight(self.weight, self.in_features)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return self.product(x, self.weight, self.bias)


class ElasticLinear(nn.Module, FakeQuantizable):
    """A linear layer stored at its largest size, of which a subnet uses the leading part.

    Args:
        in_features: largest number of inputs.
        out_features: largest number of outputs per section.
        bias: whether there is a bias.
        sections: number of outputs stacked over one input. A fused qkv projection has three, each
            sliced from its own start, so that they stay query, key and value at every width.
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, sections: int = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(sections, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(sections, out_features)) if bias else None
        init_weight(self.weight, in_features)

    def sliced(self, in_features: int, out_features: int) -> tuple[Tensor, Tensor | None]:
        """Return a subnet's weight (sections * out, in) and its bias (sections * out,) or None."""
        weight = self.weight[:, :out_features, :in_features].reshape(-1, in_features)
        bias = None if self.bias is None else self.bias[:, :out_features].reshape(-1)
        return weight, bias

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        """Map (..., in) to (..., sections * out); the input's width selects the columns."""
        weight, bias = self.sliced(x.shape[-1], out_features)
        return self.product(x, weight, bias)


class ElasticLayerNorm(nn.Module):
    """Layer normalisation over the leading channels."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D) over D."""
        dim = x.shape[-1]
        return functional.layer_norm(x, (dim,), self.weight[:dim], self.bias[:dim], self.eps)


class ElasticBatchNorm(nn.Module):
    """Batch normalisation over the leading channels of (B, C, H, W)."""

    MOMENTUM, EPS = 0.1, 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of (B, C, H, W), in training mode by the batch's statistics."""
        dim = x.shape[1]
        return functional.batch_norm(
            x,
            self.running_mean[:dim],
            self.running_var[:dim],
            self.weight[:dim],
            self.bias[:dim],
            training=self.training,
            momentum=self.MOMENTUM,
            eps=self.EPS,
        )


def init_weight(weight: Tensor, in_features: int) -> None:
    """Fill `weight` from a truncated normal of standard deviation ``in_features ** -0.5``.

    An output sums `in_features` products, so its variance is in_features * std^2 times that of an
    input; this std makes it 1. The usual 0.02 suits widths of several hundred; at a width of 48 it
    would leave 2 % of the variance per layer.
    """
    nn.init.trunc_normal_(weight, std=in_features**-0.5)
