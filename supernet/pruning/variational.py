"""Variational methods: Bayesian compression of groups, sparse dropout of single weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mcuformer.subnet import SubnetConfig
from supernet.elastic import Linear
from supernet.pruning.compact import compact
from supernet.pruning.groups import GroupSet
from supernet.pruning.layers import (
    BayesianLinear,
    RandomLinear,
    SparseLinear,
    layers_of,
    linear_at,
    put_layer,
)
from supernet.pruning.method import Method, readers
from supernet.pruning.settings import BayesianCompression, SparseDropout
from supernet.vit import Vit


class _Variational(Method):
    """A method that adds a divergence from a prior to the loss.

    With N images, of which a step's loss is the mean, the step descends loss + w KL / N, where w
    rises from 0 to 1 during the warm-up (Sonderby et al., 2016).
    """

    def __init__(self, warmup: float, total_steps: int, num_images: int) -> None:
        self.warmup_steps, self.num_images = warmup * total_steps, num_images

    def before_step(self, vit: Vit, step: int) -> None:
        """Change nothing: noise is drawn as the network runs."""

    def penalty(self, vit: Vit, step: int) -> Tensor | None:
        """Return the weighted divergence, a scalar."""
        weight = min(1.0, (step + 1) / max(1.0, self.warmup_steps))
        parts = [m.divergence() for m in vit.modules() if isinstance(m, RandomLinear)]
        return weight * torch.stack(parts).sum() / self.num_images


class Bayesian(_Variational):
    """Bayesian compression of heads, hidden units and rank components."""

    def __init__(self, settings: BayesianCompression, total_steps: int, num_images: int) -> None:
        super().__init__(settings.warmup, total_steps, num_images)
        self.settings = settings

    def install(self, vit: Vit) -> None:
        """Give random scales to the groups of the chosen kinds."""
        for path, group_set in self._readers(vit.subnet):
            put_layer(vit, path, BayesianLinear(linear_at(vit, path), group_set.size))

    @torch.no_grad()
    def finish(self, vit: Vit) -> Vit:
        """Return the network of means without the groups that are noise.

        The least noisy group of every set stays.
        """
        masks = {}
        for path, group_set in self._readers(vit.subnet):
            layer = cast(BayesianLinear, vit.get_submodule(path))
            log_alpha = layer.log_alpha
            kept = log_alpha <= self.settings.log_alpha
            kept[log_alpha.argmin()] = True
            masks[group_set] = kept.cpu().numpy()
            layer.weight.copy_(layer.mean_weight)
        return compact(vit, masks)

    def _readers(self, subnet: SubnetConfig) -> list[tuple[str, GroupSet]]:
        """Return the chosen sets of groups, each with the matrix that reads it."""
        kinds = self.settings.kinds(subnet)
        return [(path, s) for path, s in readers(subnet).items() if s.kind in kinds]


class Sparse(_Variational):
    """Sparse variational dropout of the weights of all linear layers."""

    def __init__(self, settings: SparseDropout, total_steps: int, num_images: int) -> None:
        super().__init__(settings.warmup, total_steps, num_images)
        self.settings = settings

    def install(self, vit: Vit) -> None:
        """Make the weights of all linear layers random."""
        for path, layer in layers_of(vit, Linear):
            put_layer(vit, path, SparseLinear(layer, self.settings.log_alpha))

    @torch.no_grad()
    def finish(self, vit: Vit) -> Vit:
        """Return the network with zeros for the weights that are noise."""
        for _, layer in layers_of(vit, SparseLinear):
            layer.weight.copy_(layer.sparse_weight)
        return compact(vit, {})
