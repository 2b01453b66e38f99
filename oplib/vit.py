"""A vision transformer as an operator graph, and its weights by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mcuformer.data import Preprocessing
from mcuformer.errors import ArtifactError, LoweringError
from mcuformer.subnet import LINEARS, LinearName, SubnetConfig
from oplib.graph import Graph, GraphBuilder, TensorType
from oplib.operator import Array

PATHS: dict[LinearName, str] = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
QKV_PARTS = ("q", "k", "v")


def build_graph(subnet: SubnetConfig) -> Graph:
    """Build the graph of a subnet; shapes alone, so that it costs no weights to plan memory.

    The fused qkv projection becomes three linears, each with a scale of its own; a low-rank linear
    becomes two, with an int8 tensor between them. Full-rank factors are merged.

    Raises:
        LoweringError: the operator library has no such part yet.
    """
    refuse_missing_operators(subnet)
    subnet = subnet.merged
    size = subnet.img_size
    image = TensorType((size, size, subnet.in_chans), "uint8")
    builder = GraphBuilder("image", image)
    x = builder.add(
        "patch_embed",
        "patch_embed",
        "image",
        patch_size=subnet.patch_size,
        grid_size=subnet.grid_size,
        pad_before=subnet.padding[0],
        out_features=subnet.embed_dim,
    )
    for index in range(subnet.depth):
        x = _add_attention(builder, subnet, index, x)
        x = _add_mlp(builder, subnet, index, x)
    if not subnet.fc_norm:
        x = builder.add("layer_norm", "norm", x, eps=subnet.norm_eps)
    x = builder.add("mean_pool", "pool", x)
    if subnet.fc_norm:
        x = builder.add("layer_norm", "fc_norm", x, eps=subnet.norm_eps)
    return builder.build(builder.add("classifier", "head", x, out_features=subnet.num_classes))


def refuse_missing_operators(subnet: SubnetConfig) -> None:
    """Refuse parts that no integer operator exists for.

    Raises:
        LoweringError: naming the field.
    """
    missing = {
        "tokenizer": subnet.tokenizer != "patch",
        "class_token": subnet.class_token,
        "relative_position": subnet.relative_position is not None,
        "absolute_position": not subnet.absolute_position,
    }
    for name, absent in missing.items():
        if absent:
            raise LoweringError(
                "the operator library has no integer form of it yet",
                where=f"subnet.{name}",
                got=getattr(subnet, name),
                expected=SubnetConfig.model_fields[name].default,
            )


def _add_attention(builder: GraphBuilder, subnet: SubnetConfig, index: int, x: str) -> str:
    block, prefix = subnet.blocks[index], f"blocks.{index}"
    y = builder.add("layer_norm", f"{prefix}.norm1", x, eps=subnet.norm_eps)
    rank = subnet.rank(index, "qkv")
    if rank is not None:
        y = builder.add("linear", f"{prefix}.attn.qkv.v", y, out_features=rank)
    parts = [
        builder.add("linear", f"{prefix}.attn.{part}", y, out_features=block.attn_dim)
        for part in QKV_PARTS
    ]
    y = builder.add("attention", f"{prefix}.attn", *parts, num_heads=block.num_heads)
    y = _add_linear(builder, subnet, index, "proj", y)
    return builder.add("add", f"{prefix}.attn.add", x, y)


def _add_mlp(builder: GraphBuilder, subnet: SubnetConfig, index: int, x: str) -> str:
    prefix = f"blocks.{index}"
    y = builder.add("layer_norm", f"{prefix}.norm2", x, eps=subnet.norm_eps)
    y = _add_linear(builder, subnet, index, "fc1", y)
    y = builder.add("gelu", f"{prefix}.mlp.gelu", y)
    y = _add_linear(builder, subnet, index, "fc2", y)
    return builder.add("add", f"{prefix}.mlp.add", x, y)


def _add_linear(
    builder: GraphBuilder, subnet: SubnetConfig, index: int, name: LinearName, x: str
) -> str:
    path = f"blocks.{index}.{PATHS[name]}"
    out_features = subnet.linear_shape(index, name)[1]
    rank = subnet.rank(index, name)
    if rank is not None:
        x = builder.add("linear", f"{path}.v", x, out_features=rank)
    return builder.add("linear", path, x, out_features=out_features)


def weight_shapes(subnet: SubnetConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight, in timm's spelling (factors are ``.v`` and ``.u``)."""
    dim, patch = subnet.embed_dim, subnet.patch_size
    norm = "fc_norm" if subnet.fc_norm else "norm"
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (dim, subnet.in_chans, patch, patch),
        "patch_embed.proj.bias": (dim,),
        "pos_embed": (1, subnet.num_tokens, dim),
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
    return shapes


def _linear_shapes(
    subnet: SubnetConfig, index: int, name: LinearName
) -> Iterator[tuple[str, tuple[int, ...]]]:
    path = f"blocks.{index}.{PATHS[name]}"
    features_in, features_out = subnet.linear_shape(index, name)
    rank = subnet.rank(index, name)
    if rank is not None:
        yield f"{path}.v.weight", (rank, features_in)
        path, features_in = f"{path}.u", rank
    yield f"{path}.weight", (features_out, features_in)
    if name != "qkv" or subnet.qkv_bias:
        yield f"{path}.bias", (features_out,)


def check_weights(subnet: SubnetConfig, weights: Mapping[str, Array], where: str) -> None:
    """Refuse weights that are not the subnet's.

    Raises:
        ArtifactError: naming the first weight that is missing, unknown or of another shape.
    """
    shapes = weight_shapes(subnet)
    for name in (*shapes, *weights):
        got = weights[name].shape if name in weights else "nothing"
        expected = shapes.get(name, "no such weight")
        if got != expected:
            raise ArtifactError(
                f"weight {name} does not fit the network", where=where, got=got, expected=expected
            )


def node_params(
    subnet: SubnetConfig, weights: Mapping[str, Array], preprocessing: Preprocessing
) -> dict[str, dict[str, Array]]:
    """Return the float parameters of each node of :func:`build_graph`, by name."""
    kernel = weights["patch_embed.proj.weight"]
    pad = np.array(preprocessing.pad_value, dtype=np.uint8)[None, None]
    params: dict[str, dict[str, Array]] = {
        "patch_embed": {
            "weight": kernel.transpose(0, 2, 3, 1).reshape(
                len(kernel), -1
            ),  # NCHW -> row, column, channel
            "bias": weights["patch_embed.proj.bias"],
            "position": weights["pos_embed"][0],
            "pad": preprocessing.normalize(pad)[0, 0],
        }
    }
    for name in ("norm", "fc_norm", "head"):
        if f"{name}.weight" in weights:
            params[name] = _plain(weights, name)
    for index in range(subnet.depth):
        prefix = f"blocks.{index}"
        for name in ("norm1", "norm2"):
            params[f"{prefix}.{name}"] = _plain(weights, f"{prefix}.{name}")
        for linear in LINEARS:
            params |= _linear_params(subnet, weights, index, linear)
    return params


def _plain(weights: Mapping[str, Array], path: str) -> dict[str, Array]:
    weight = weights[f"{path}.weight"]
    bias = weights.get(f"{path}.bias")
    return {"weight": weight, "bias": np.zeros(len(weight), np.float32) if bias is None else bias}


def _linear_params(
    subnet: SubnetConfig, weights: Mapping[str, Array], index: int, name: LinearName
) -> dict[str, dict[str, Array]]:
    path = f"blocks.{index}.{PATHS[name]}"
    params = {}
    if subnet.rank(index, name) is None:
        last = _plain(weights, path)
    elif subnet.merged.rank(index, name) is None:  # full-rank factors: one matrix is smaller
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
