"""Linear layers that take part in pruning; they keep the parameters of the layers they replace."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from supernet.elastic import Linear
from supernet.modules import ModuleT
from supernet.rounding import straight_through

INITIAL_LOG_VARIANCE = -8.0  # of a scale or weight; in sparse dropout, relative to its square
K1, K2, K3 = 0.63576, 1.87320, 1.48695  # Molchanov et al., 2017, equation 14


class PrunedLinear(Linear):
    """A linear layer that takes the place of another one of the network.

    Args:
        replaced: layer whose weight (out, in) and bias it shares.
        groups: number of groups that its inputs belong to, in equal parts and in order.
    """

    def __init__(self, replaced: Linear, groups: int) -> None:
        out_features, in_features = replaced.weight.shape
        # the meta device has no memory, so nothing is initialised and no random number is drawn
        bias = replaced.bias is not None
        super().__init__(in_features, out_features, bias=bias, device="meta")
        self.weight = replaced.weight
        self.bias = replaced.bias
        self.groups = groups
        self.train(replaced.training)


class MaskedLinear(PrunedLinear):
    """A layer some of whose inputs, in groups, are left out; or which gives nothing at all.

    The mask is on the columns that read a group, not on the rows that give it: a group whose rows
    and columns were both zero would have a gradient of zero and could not come back. The gradient
    is taken at the masked weight and moves the whole weight (Lin et al., 2020).
    """

    kept: Tensor
    on: Tensor

    def __init__(self, replaced: Linear, groups: int) -> None:
        super().__init__(replaced, groups)
        device = replaced.weight.device
        self.register_buffer("kept", torch.ones(groups, dtype=torch.bool, device=device))
        self.register_buffer("on", torch.ones(1, dtype=torch.bool, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        columns = self.kept.repeat_interleave(self.in_features // self.groups) & self.on
        weight = straight_through(self.weight, self.weight * columns)
        bias = None if self.bias is None else straight_through(self.bias, self.bias * self.on)
        return self.product(x, weight, bias)


class RandomLinear(PrunedLinear):
    """A layer whose weights are random while it trains."""

    @abstractmethod
    def divergence(self) -> Tensor:
        """Return the divergence of the weights' posterior from their prior, a scalar."""


class BayesianLinear(RandomLinear):
    """A layer whose input groups have random scales, and whose weights are random.

    A scale z ~ N(mean, var) is drawn per image and group, a weight w ~ N(weight, var) by local
    reparameterisation: the output's mean and variance follow from those of the weights. Source:
    Louizos et al., 2017, section 3.1. In evaluation all are their means.
    """

    def __init__(self, replaced: Linear, groups: int) -> None:
        super().__init__(replaced, groups)
        start = torch.full((groups,), INITIAL_LOG_VARIANCE, device=replaced.weight.device)
        self.scale = nn.Parameter(torch.ones_like(start))
        self.scale_log_variance = nn.Parameter(start)
        self.weight_log_variance = nn.Parameter(torch.full_like(self.weight, INITIAL_LOG_VARIANCE))

    @property
    def log_alpha(self) -> Tensor:
        """Logarithm of var(z) / mean(z)^2, (groups,)."""
        return self.scale_log_variance - torch.log(self.scale.square() + 1e-8)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ..., in) to (B, ..., out)."""
        if not self.training:
            return self.product(x, self.mean_weight, self.bias)
        shape = (len(x), *(1 for _ in x.shape[1:-1]), self.groups)
        noise = torch.randn(shape, device=x.device) * (self.scale_log_variance / 2).exp()
        x = x * (self.scale + noise).repeat_interleave(self.in_features // self.groups, dim=-1)
        return noisy(x, self.product(x, self.weight, self.bias), self.weight_log_variance.exp())

    @property
    def mean_weight(self) -> Tensor:
        """Mean of scale times weight, (out, in)."""
        return self.weight * self.scale.repeat_interleave(self.in_features // self.groups)

    def divergence(self) -> Tensor:
        """Return the divergence from a scale-free prior of z and N(0, z^2) of the weights."""
        variance = self.weight_log_variance.exp()
        weights = variance + self.weight.square() - 1 - self.weight_log_variance
        return scale_free_divergence(self.log_alpha) + weights.sum() / 2


class SparseLinear(RandomLinear):
    """A layer whose weights are random, w ~ N(weight, alpha weight^2), with a scale-free prior.

    Args:
        replaced: layer whose weight and bias it shares.
        log_alpha: weights whose log(alpha) exceeds this are zero in evaluation.

    Source: Molchanov et al., 2017, section 4.
    """

    def __init__(self, replaced: Linear, log_alpha: float) -> None:
        super().__init__(replaced, 1)
        self.threshold = log_alpha
        start = torch.log(self.weight.detach().square() + 1e-8) + INITIAL_LOG_VARIANCE
        self.weight_log_variance = nn.Parameter(start)

    @property
    def log_alpha(self) -> Tensor:
        """Logarithm of var(w) / w^2, (out, in)."""
        return self.weight_log_variance - torch.log(self.weight.square() + 1e-8)

    @property
    def sparse_weight(self) -> Tensor:
        """Weight with zeros where it is all noise, (out, in)."""
        return self.weight * (self.log_alpha <= self.threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        if not self.training:
            return self.product(x, self.sparse_weight, self.bias)
        return noisy(x, self.product(x, self.weight, self.bias), self.weight_log_variance.exp())

    def divergence(self) -> Tensor:
        """Return the divergence from a scale-free prior."""
        return scale_free_divergence(self.log_alpha)


def noisy(x: Tensor, mean: Tensor, weight_variance: Tensor) -> Tensor:
    """Return a draw of the output of random weights: its mean, and noise of its variance."""
    variance = functional.linear(x.square(), weight_variance)
    return mean + torch.randn_like(mean) * (variance + 1e-8).sqrt()


def scale_free_divergence(log_alpha: Tensor) -> Tensor:
    """Return the summed divergence from the log-uniform prior, approximated within 0.01 each.

    It is 0 for an infinite alpha. Source: Molchanov et al., 2017, equation 14, with the constant
    that makes it so.
    """
    gain = K1 * torch.sigmoid(K2 + K3 * log_alpha) - functional.softplus(-log_alpha) / 2
    return (K1 - gain).sum()


def linear_at(model: nn.Module, path: str) -> Linear:
    """Return the linear layer called `path`."""
    return cast(Linear, model.get_submodule(path))


def put_layer(model: nn.Module, path: str, layer: PrunedLinear) -> None:
    """Put `layer` in the place of the module called `path`."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layer)


def layers_of(model: nn.Module, kind: type[ModuleT]) -> list[tuple[str, ModuleT]]:
    """Return path and layer of every layer of a kind."""
    return [(path, module) for path, module in model.named_modules() if isinstance(module, kind)]
