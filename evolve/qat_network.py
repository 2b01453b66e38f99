"""The exporter's graph in torch, which rounds every tensor that the firmware rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from oplib.graph import Node
from oplib.network.model_file import SEPARATOR
from oplib.network.reference import FloatModel
from oplib.ops.attention import AttentionAttributes, scores_name
from oplib.ops.attention_relative import RelativeAttributes, pair_rows
from oplib.ops.conv_pool import ConvPoolAttributes
from oplib.ops.embed_tokens import EmbeddingAttributes
from oplib.ops.layer_norm import LayerNormAttributes
from oplib.ops.mean_pool import MeanPoolAttributes
from oplib.ops.patch_operator import PatchAttributes, fold_normalisation
from oplib.ops.quant import CODES, QuantParams
from oplib.ops.registry import OPERATORS
from supernet.modules import TypedModuleDict
from supernet.rounding import LearnedRounding, rounded_weight, straight_through


class RoundedNetwork(nn.Module):
    """A trainable float graph that rounds where the firmware does.

    Args:
        model: graph and initial float parameters.
        quant: initial scale, and zero point, of every tensor and of values inside operators.
    """

    def __init__(self, model: FloatModel, quant: Mapping[str, QuantParams]) -> None:
        super().__init__()
        self.graph, self.pre = model.graph, model.preprocessing
        self.values = nn.ParameterDict()
        for name, arrays in model.params.items():
            for kind, array in arrays.items():
                tensor = torch.from_numpy(np.array(array, np.float32))
                learned = kind != "pad"
                key = f"{name}{SEPARATOR}{kind}".replace(".", "/")
                self.values[key] = nn.Parameter(tensor, requires_grad=learned)
        rounding: dict[str, LearnedRounding] = {}
        for name, params in quant.items():
            dtype = self.graph.tensors[name].dtype if name in self.graph.tensors else "int8"
            if dtype in CODES:
                low, high = CODES[dtype]
                learned_scale = LearnedRounding(params.scale, params.zero_point, low, high)
                rounding[name.replace(".", "/")] = learned_scale
        self.rounding = TypedModuleDict(rounding)

    def value(self, node: str, kind: str) -> Tensor:
        """Return the parameter `kind` of a node, for instance its ``weight``."""
        parameter: Tensor = self.values[f"{node}{SEPARATOR}{kind}".replace(".", "/")]
        return parameter

    def rounded(self, x: Tensor, name: str) -> Tensor:
        """Round `x` as the firmware rounds the tensor `name`; not every tensor is rounded."""
        key = name.replace(".", "/")
        if key in self.rounding:
            x = self.rounding[key](x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, C, H, W) to logits (B, K)."""
        tensors = {self.graph.input: images.permute(0, 2, 3, 1)}  # NCHW -> NHWC
        for node in self.graph.nodes:
            tensors[node.output] = self.apply_node(node, [tensors[name] for name in node.inputs])
        return tensors[self.graph.output]

    def apply_node(self, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        """Return the rounded output of one node of the graph."""
        output = TORCH_FORMS[OPERATORS[node.op].family](self, node, *inputs)
        return self.rounded(output, node.output)

    def weight(self, node: Node, *, pixels: bool = False) -> Tensor:
        """Return a node's rounded weight (out, in).

        Args:
            node: node with a weight.
            pixels: whether its input is the image. The firmware's first layer takes raw pixels, so
                its weight is rounded with the normalisation folded in.
        """
        weight = self.value(node.name, "weight")
        if not pixels:
            return rounded_weight(weight)
        ones = np.ones(weight.shape, np.float32)
        gain = torch.from_numpy(fold_normalisation(ones, np.zeros(1), self.pre)[0].astype("f4"))
        return rounded_weight(weight * gain) / gain

    def position(self, node: Node, x: Tensor) -> Tensor:
        """Add positions to tokens (B, n, D), the class token in front; positions hold its value."""
        attrs = node.attributes(EmbeddingAttributes)
        if not attrs.positions:
            return x
        class_tokens = x.new_zeros(len(x), attrs.first, x.shape[-1])
        # positions are stored as codes at the output's scale, rounded half to even
        scale = self.rounding[node.output.replace(".", "/")].scale
        codes = self.value(node.name, "position") / scale
        rounded = straight_through(codes, torch.round(codes))
        return torch.cat([class_tokens, x], dim=1) + rounded * scale

    def learned(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the parameters by ``node|kind``, and the scale of every rounded tensor by name."""
        params, scales = {}, {}
        for name, tensor in self.state_dict().items():
            part, _, key = name.partition(".")
            values = tensor.detach().cpu().numpy()
            if part == "values":
                params[key.replace("/", ".")] = values
            else:
                rounded = key.removesuffix(".log_scale").replace("/", ".")
                scales[rounded] = float(np.exp(values.astype(np.float64))[0])
        return params, scales


def patch_embed(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Embed the patches of images (B, H, W, C) as tokens (B, N, D)."""
    attrs = node.attributes(PatchAttributes)
    side, before, after = attrs.patch_size, attrs.pad_before, attrs.pad_after(x.shape[1])
    pad = network.value(node.name, "pad")
    x = functional.pad(x - pad, (0, 0, before, after, before, after)) + pad
    batch, height, width, chans = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, chans)
    x = x.transpose(2, 3).reshape(batch, -1, side * side * chans)
    bias = network.value(node.name, "bias")
    return network.position(node, functional.linear(x, network.weight(node, pixels=True), bias))


def conv_pool(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Apply convolution, ReLU and max pooling to (B, H, W, C)."""
    pixels = node.inputs[0] == network.graph.input
    pad, stride = network.value(node.name, "pad"), node.attributes(ConvPoolAttributes).stride
    x = functional.pad(x - pad, (0, 0, 1, 1, 1, 1)) + pad
    weight = network.weight(node, pixels=pixels)
    kernel = weight.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
    bias = network.value(node.name, "bias")
    x = functional.conv2d(x.permute(0, 3, 1, 2), kernel, bias, stride=stride)
    x = network.rounded(functional.relu(x), node.output)
    return functional.max_pool2d(x, 3, stride=2, padding=1).permute(0, 2, 3, 1)


def embed_tokens(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Flatten a map (B, H, W, D) to tokens and add positions, (B, N, D)."""
    return network.position(node, x.flatten(1, 2))


def linear(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Map (..., in) to (..., out)."""
    return functional.linear(x, network.weight(node), network.value(node.name, "bias"))


def layer_norm(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Normalise (B, N, D) over D."""
    eps = node.attributes(LayerNormAttributes).eps
    weight, bias = (network.value(node.name, kind) for kind in ("weight", "bias"))
    return functional.layer_norm(x, x.shape[-1:], weight, bias, eps)


def attention(network: RoundedNetwork, node: Node, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend with q, k and v (B, N, Q); return (B, N, Q)."""
    heads = node.attributes(AttentionAttributes).num_heads
    is_relative = isinstance(node.attrs, RelativeAttributes)
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-2, -1)
    if is_relative:
        added = relative(network, node, "key", node.inputs[1])
        scores = scores + torch.einsum("bhid,ijd->bhij", q, added)
    scores = network.rounded(scores * q.shape[-1] ** -0.5, scores_name(node))
    weights = scores.softmax(dim=-1)
    out = weights @ v
    if is_relative:
        added = relative(network, node, "value", node.inputs[2])
        out = out + torch.einsum("bhij,ijd->bhid", weights, added)
    return out.transpose(1, 2).flatten(2)


def relative(network: RoundedNetwork, node: Node, kind: str, tensor: str) -> Tensor:
    """Return the relative position vector of every pair of tokens, (N, N, head_dim).

    Args:
        network: network with the tables.
        node: attention with relative position.
        kind: ``key`` or ``value``.
        tensor: name of the tensor of keys or values, whose scale the tables share.
    """
    attrs = node.attributes(RelativeAttributes)
    rows, cols = pair_rows(attrs.grid_size, attrs.max_distance, attrs.first)
    by_row, by_col = (
        network.rounded(network.value(node.name, f"{kind}_{axis}"), tensor)
        for axis in ("rows", "columns")
    )
    return by_row[torch.from_numpy(rows)] + by_col[torch.from_numpy(cols)]


def add(network: RoundedNetwork, node: Node, a: Tensor, b: Tensor) -> Tensor:
    """Add two tensors of one shape."""
    return a + b


def mean_pool(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Average the patch tokens of (B, N, D) to (B, D)."""
    return x[:, node.attributes(MeanPoolAttributes).first :].mean(dim=1)


def take_token(network: RoundedNetwork, node: Node, x: Tensor) -> Tensor:
    """Take the class token of (B, N, D), (B, D)."""
    return x[:, 0]


def unary(function: Callable[[Tensor], Tensor]) -> TorchForm:
    """Return the torch form of an operator that applies `function` to its one input."""
    return lambda network, node, x: function(x)


TorchForm = Callable[..., Tensor]  # of (network, node, *inputs)
TORCH_FORMS: dict[str, TorchForm] = {  # by the operator's family
    "add": add,
    "attention": attention,
    "conv_pool": conv_pool,
    "embed_tokens": embed_tokens,
    "gelu": unary(functional.gelu),
    "hard_swish": unary(functional.hardswish),
    "layer_norm": layer_norm,
    "linear": linear,
    "mean_pool": mean_pool,
    "patch_embed": patch_embed,
    "relu": unary(functional.relu),
    "take_token": take_token,
}
