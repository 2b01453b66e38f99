"""Layers of pruning: gradients at pruned weights, noise with the right moments, divergences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.subnet import SubnetConfig
from supernet.data import pad_value
from supernet.elastic import Linear
from supernet.pruning.groups import GroupSet
from supernet.pruning.layers import (
    BayesianLinear,
    MaskedLinear,
    SparseLinear,
    layers_of,
    noisy,
    scale_free_divergence,
)
from supernet.pruning.settings import BayesianCompression, SparseDropout
from supernet.pruning.variational import Bayesian, Sparse
from supernet.vit import Vit


def test_the_gradient_is_taken_at_the_pruned_weight_and_moves_the_whole() -> None:
    """y = W x without the first two inputs: |y|^2 / 2 has the gradient y x^T in every column."""
    torch.manual_seed(0)
    layer = MaskedLinear(Linear(6, 3), 3)
    layer.kept[0] = False
    x = torch.randn(6)
    y = layer(x)
    expected = layer.weight[:, 2:].detach() @ x[2:]
    assert torch.allclose(y, expected, atol=1e-6)
    (y.square().sum() / 2).backward()
    assert torch.allclose(layer.weight.grad, torch.outer(expected, x), atol=1e-6)
    layer.on.fill_(False)
    torch.nn.init.ones_(layer.bias)
    assert torch.equal(layer(x), torch.zeros(3))


def test_moments_of_random_weights_by_definition() -> None:
    """Against 20,000 draws of the weights themselves."""
    torch.manual_seed(0)
    mean, variance, x = torch.randn(2, 5), torch.rand(2, 5), torch.randn(5)
    count = 20_000
    drawn = (mean + torch.randn(count, 2, 5) * variance.sqrt()) @ x
    found = noisy(x.expand(count, 5), (mean @ x).expand(count, 2), variance)
    assert torch.allclose(found.mean(0), drawn.mean(0), atol=0.05)
    assert torch.allclose(found.var(0), drawn.var(0), rtol=0.05)


def test_the_divergence_is_the_integral() -> None:
    """KL(N(1, alpha) || log-uniform) = c - log(alpha) / 2 + E log|e|, which vanishes at infinity.

    E log|e| of a standard normal is -(Euler's gamma + log 2) / 2, so c is its negative.
    """
    constant = (np.euler_gamma + np.log(2)) / 2
    z = (np.arange(2_000_000) + 0.5) / 2_000_000 * 20 - 10
    weight = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * 20 / len(z)
    for log_alpha in (-4.0, -1.0, 0.0, 1.0, 4.0):
        mean_log = float(np.sum(weight * np.log(np.abs(1 + np.exp(log_alpha / 2) * z))))
        expected = constant - log_alpha / 2 + mean_log
        assert float(scale_free_divergence(torch.tensor([log_alpha]))) == pytest.approx(
            expected, abs=0.01
        )


def test_noisy_groups_go_and_the_means_stay(
    small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    torch.manual_seed(0)
    vit = Vit(small_subnet, pad_value(preprocessing)).eval()
    method = Bayesian(BayesianCompression(name="bayesian"), 10, 100)
    method.install(vit)
    for _, layer in layers_of(vit, BayesianLinear):
        torch.nn.init.uniform_(layer.scale, 0.5, 1.5)
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        expected = vit(images)
        assert torch.allclose(method.finish(vit)(images), expected, atol=1e-5)
    hidden, proj = vit.blocks[0].mlp.fc2.v, vit.blocks[1].attn.proj
    with torch.no_grad():  # log(alpha) = 2: five hidden units, and all heads but the quieter one
        hidden.scale_log_variance[:5] = 2 * hidden.scale[:5].log() + 2
        proj.scale_log_variance.copy_(2 * proj.scale.log() + torch.tensor([3.0, 2.0, 3.0]))
    small = method.finish(vit).subnet
    assert small.hidden_dim(0) == small_subnet.hidden_dim(0) - 5
    assert [block.num_heads for block in small.blocks] == [2, 1]
    assert GroupSet("block", 0, None, 1) not in dict(method._readers(small)).values()


def test_noisy_weights_become_zero(
    small_subnet: SubnetConfig, preprocessing: Preprocessing
) -> None:
    torch.manual_seed(0)
    vit = Vit(small_subnet, pad_value(preprocessing)).eval()
    method = Sparse(SparseDropout(name="sparse"), 10, 100)
    method.install(vit)
    names = {path for path, _ in layers_of(vit, SparseLinear)}
    assert {"head", "blocks.0.attn.qkv.u", "blocks.1.mlp.fc2.v"} < names
    with torch.no_grad():
        vit.head.weight_log_variance[3] = vit.head.weight[3].square().log() + 3.1
        vit.head.weight_log_variance[4] = vit.head.weight[4].square().log() + 2.9
    images = torch.randn(3, 1, 8, 8)
    sparse = method.finish(vit)
    assert sparse.subnet.num_params == small_subnet.num_params
    with torch.no_grad():
        assert torch.equal(sparse(images), vit(images))
        assert torch.equal(sparse(images)[:, 3], vit.head.bias[3].expand(3))
        assert sparse.head.weight[4].abs().min() > 0
