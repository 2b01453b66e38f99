"""Weights of a vision transformer: names and shapes, parameters by node, the float network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.errors import ArtifactError
from mcuformer.subnet import LINEARS, LinearName, SubnetConfig
from oplib.forms import DEFAULT_FORMS, Forms
from oplib.network.builder import PATHS, QKV_PARTS, build_graph
from oplib.network.low_rank import deployed_rank
from oplib.network.reference import FloatModel
from oplib.ops.attention_relative import TABLES
from oplib.ops.base import Array

NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
BATCH_NORM_EPS = 1e-5


def weight_shapes(subnet: SubnetConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight by timm's name; low-rank factors are ``.v`` and ``.u``."""
    dim = subnet.embed_dim
    norm = "fc_norm" if subnet.fc_norm else "norm"
    shapes: dict[str, tuple[int, ...]] = {
        **_tokenizer_shapes(subnet),
        f"{norm}.weight": (dim,),
        f"{norm}.bias": (dim,),
        "head.weight": (subnet.num_classes, dim),
        "head.bias": (subnet.num_classes,),
    }
    for index in range(subnet.depth):
        for part in ("norm1", "norm2"):
            shapes |= {f"blocks.{index}.{part}.{kind}": (dim,) for kind in ("weight", "bias")}
        for name in LINEARS:
            shapes |= dict(_linear_shapes(subnet, index, name))
        if subnet.relative_position is not None:
            table = (2 * subnet.relative_position + 2, subnet.blocks[index].head_dim)
            shapes |= {f"blocks.{index}.attn.relative.{name}": table for name in TABLES}
    return shapes


def _tokenizer_shapes(subnet: SubnetConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that make the first tokens."""
    dim, patch = subnet.embed_dim, subnet.patch_size
    shapes: dict[str, tuple[int, ...]] = {}
    if subnet.class_token:
        shapes["cls_token"] = (1, 1, dim)
    if subnet.absolute_position:
        shapes["pos_embed"] = (1, subnet.num_tokens, dim)
    if subnet.tokenizer == "patch":
        kernel = (dim, subnet.in_chans, patch, patch)
        return {"patch_embed.proj.weight": kernel, "patch_embed.proj.bias": (dim,), **shapes}
    for index, conv in enumerate(subnet.convs):
        shapes[f"patch_embed.convs.{index}.weight"] = (conv.out_chans, conv.in_chans, 3, 3)
        for name in NORM_PARTS:
            shapes[f"patch_embed.norms.{index}.{name}"] = (conv.out_chans,)
    return shapes


def _linear_shapes(
    subnet: SubnetConfig, index: int, name: LinearName
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of the weights of a linear layer, dense or in two factors."""
    path = f"blocks.{index}.{PATHS[name]}"
    features_in, features_out = subnet.linear_shape(index, name)
    rank = subnet.rank(index, name)
    if rank is not None:
        yield f"{path}.v.weight", (rank, features_in)
        path, features_in = f"{path}.u", rank
    yield f"{path}.weight", (features_out, features_in)
    if name != "qkv" or subnet.qkv_bias:
        yield f"{path}.bias", (features_out,)


def random_weights(subnet: SubnetConfig, rng: np.random.Generator) -> dict[str, Array]:
    """Draw random weights that keep activations near one, for tests and benchmarks."""
    weights = {}
    for name, shape in weight_shapes(subnet).items():
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 1
        values = rng.normal(0, 1 / np.sqrt(fan_in), shape)
        if "norm" in name and name.endswith(("weight", "var")):
            values = rng.uniform(0.5, 1.5, shape)
        weights[name] = (values if len(shape) > 1 else values * 0.3).astype(np.float32)
    return weights


def check_weights(subnet: SubnetConfig, weights: Mapping[str, Array], where: str) -> None:
    """Refuse weights that are not the subnet's.

    Args:
        subnet: its shape.
        weights: arrays in timm's names.
        where: source of the weights, for messages.

    Raises:
        ArtifactError: naming the first weight that is missing, unknown or of another shape.
    """
    refuse_misfits(weight_shapes(subnet), weights, where)


def refuse_misfits(
    expected: Mapping[str, tuple[int, ...]], weights: Mapping[str, Array], where: str
) -> None:
    """Refuse weights of other names or shapes than those expected.

    Raises:
        ArtifactError: naming the first that is missing, unknown or of another shape.
    """
    for name in (*expected, *weights):
        got = weights[name].shape if name in weights else "nothing"
        shape = expected.get(name, "no such weight")
        if got != shape:
            raise ArtifactError(
                f"weight {name} does not fit the network", where=where, got=got, expected=shape
            )


def node_params(
    subnet: SubnetConfig,
    weights: Mapping[str, Array],
    preprocessing: Preprocessing,
    forms: Forms = DEFAULT_FORMS,
) -> dict[str, dict[str, Array]]:
    """Return the float parameters of each node of :func:`build_graph`, by node name and kind."""
    params = _tokenizer_params(subnet, weights, preprocessing)
    for name in ("norm", "fc_norm", "head"):
        if f"{name}.weight" in weights:
            params[name] = _plain(weights, name)
    for index in range(subnet.depth):
        prefix = f"blocks.{index}"
        for name in ("norm1", "norm2"):
            params[f"{prefix}.{name}"] = _plain(weights, f"{prefix}.{name}")
        for linear in LINEARS:
            merged = deployed_rank(subnet, index, linear, forms) is None
            params |= _linear_params(subnet, weights, index, linear, merged)
        if subnet.relative_position is not None:
            tables = {name: weights[f"{prefix}.attn.relative.{name}"] for name in TABLES}
            params[f"{prefix}.attn"] = tables
    return params


def _tokenizer_params(
    subnet: SubnetConfig, weights: Mapping[str, Array], preprocessing: Preprocessing
) -> dict[str, dict[str, Array]]:
    """Return the parameters of the nodes that make the first tokens."""
    # Class token and positions are one table, which is added after the patches. Padding pixels are
    # normalised like all others. A batch norm (y - mean) / sqrt(var + eps) gamma + beta after a
    # convolution scales its output channels and becomes part of its weights and biases.
    pixel = np.array(preprocessing.pad_value, dtype=np.uint8)[None, None]
    pad = preprocessing.normalize(pixel)[0, 0]
    position = np.zeros((subnet.num_tokens, subnet.embed_dim), np.float32)
    if subnet.absolute_position:
        position = position + weights["pos_embed"][0]
    if subnet.class_token:
        position[0] += weights["cls_token"][0, 0]
    if subnet.tokenizer == "patch":
        weight, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
        matrix = {"weight": _rows(weight), "bias": bias}
        return {"patch_embed": {**matrix, "position": position, "pad": pad}}
    params: dict[str, dict[str, Array]] = {"tokens": {"position": position}}
    for index, conv in enumerate(subnet.convs):
        norm = {name: weights[f"patch_embed.norms.{index}.{name}"] for name in NORM_PARTS}
        gain = norm["weight"] / np.sqrt(norm["running_var"] + BATCH_NORM_EPS)
        kernel = weights[f"patch_embed.convs.{index}.weight"] * gain[:, None, None, None]
        params[f"patch_embed.convs.{index}"] = {
            "weight": _rows(kernel),
            "bias": norm["bias"] - norm["running_mean"] * gain,
            "pad": pad if index == 0 else np.zeros(conv.in_chans, np.float32),
        }
    return params


def _rows(kernel: Array) -> Array:
    """Return a convolution's weights (out, C, y, x) as rows in the order row, column, channel."""
    rows: Array = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    return rows


def _plain(weights: Mapping[str, Array], path: str) -> dict[str, Array]:
    weight = weights[f"{path}.weight"]
    bias = weights.get(f"{path}.bias")
    return {"weight": weight, "bias": np.zeros(len(weight), np.float32) if bias is None else bias}


def _linear_params(
    subnet: SubnetConfig, weights: Mapping[str, Array], index: int, name: LinearName, merged: bool
) -> dict[str, dict[str, Array]]:
    """Return the parameters of a linear layer's nodes: its factors, and q, k and v apart."""
    path = f"blocks.{index}.{PATHS[name]}"
    params = {}
    if subnet.rank(index, name) is None:
        last = _plain(weights, path)
    elif merged:
        last = _plain(weights, f"{path}.u")
        last["weight"] = last["weight"] @ weights[f"{path}.v.weight"]
    else:
        params[f"{path}.v"] = _plain(weights, f"{path}.v")
        last = _plain(weights, f"{path}.u")
    if name != "qkv":
        return params | {path: last}
    for part, weight, bias in zip(
        QKV_PARTS, np.split(last["weight"], 3), np.split(last["bias"], 3), strict=True
    ):
        params[f"blocks.{index}.attn.{part}"] = {"weight": weight, "bias": bias}
    return params


def float_model(
    subnet: SubnetConfig,
    weights: Mapping[str, Array],
    preprocessing: Preprocessing,
    where: str,
    forms: Forms = DEFAULT_FORMS,
) -> FloatModel:
    """Return the graph of a subnet with float weights.

    Args:
        subnet: the network's shape.
        weights: arrays by timm's names.
        preprocessing: how raw pixels are normalised.
        where: file of the weights, for messages.
        forms: forms of the integer operators; they do not change the float numbers.

    Raises:
        ArtifactError: the weights do not fit the subnet.
    """
    check_weights(subnet, weights, where)
    params = node_params(subnet, weights, preprocessing, forms)
    return FloatModel(build_graph(subnet, forms), params, preprocessing)
