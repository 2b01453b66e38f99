"""A vision transformer as an operator graph; shapes alone, no weights."""

from __future__ import annotations

from mcuformer.subnet import LinearName, SubnetConfig
from oplib.forms import DEFAULT_FORMS, SOFTMAX_FORMS, SQRT_STEPS, Forms
from oplib.graph import Graph, Node, TensorType
from oplib.network.low_rank import deployed_rank
from oplib.ops.registry import OPERATORS

PATHS: dict[LinearName, str] = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
QKV_PARTS = ("q", "k", "v")


class GraphBuilder:
    """Collect nodes; each operator's shape rule gives its output's type."""

    def __init__(self, input_name: str, input_type: TensorType) -> None:
        self._tensors = {input_name: input_type}
        self._nodes: list[Node] = []
        self._input = input_name

    def add(self, op: str, name: str, *inputs: str, **attrs: int | float) -> str:
        """Append a node called `name` and return its output tensor, which bears the same name."""
        node = Node(name, op, inputs, name, attrs)
        types = tuple(self._tensors[tensor] for tensor in inputs)
        self._tensors[name] = OPERATORS[op].output_type(node, types)
        self._nodes.append(node)
        return name

    def build(self, output: str) -> Graph:
        """Return the graph that ends in `output`."""
        return Graph(dict(self._tensors), tuple(self._nodes), self._input, output)


def build_graph(subnet: SubnetConfig, forms: Forms = DEFAULT_FORMS) -> Graph:
    """Build the graph of a subnet; shapes alone, so that it costs no weights to plan memory.

    The fused qkv projection becomes three linears, each with a scale of its own; a low-rank linear
    becomes two, with a tensor between them. Full-rank factors are merged.

    Args:
        forms: which form of each operator the graph names.

    """
    return _Builder(subnet, forms).build()


class _Builder:
    """Adds one part of the network after the other."""

    def __init__(self, subnet: SubnetConfig, forms: Forms) -> None:
        self.subnet, self.forms = subnet, forms
        size = subnet.img_size
        image = TensorType((size, size, subnet.in_chans), "uint8")
        self.graph = GraphBuilder("image", image)
        wide = forms.residual == "int16"
        self.suffix = "_s16" if wide else ""

    def build(self) -> Graph:
        """Return the whole graph."""
        subnet = self.subnet
        x = self._patches() if subnet.tokenizer == "patch" else self._convolutions()
        for index in range(subnet.depth):
            x = self._attention(index, x)
            x = self._mlp(index, x)
        suffix = self.suffix
        if subnet.global_pool == "token":  # the other tokens need no norm
            x = self.graph.add("take_token", "pool", x)
            norm = "fc_norm" if subnet.fc_norm else "norm"
            x = self._norm(norm, x, suffix)
        else:
            first = int(subnet.class_token)
            if not subnet.fc_norm:
                x, suffix = self._norm("norm", x, suffix), ""
            x = self.graph.add(f"mean_pool{suffix}", "pool", x, first=first)
            if subnet.fc_norm:
                x = self._norm("fc_norm", x, "")
        head = self.graph.add("classifier", "head", x, out_features=subnet.num_classes)
        return self.graph.build(head)

    def _embedding(self) -> dict[str, int]:
        """Return the attributes of what adds positions and class token."""
        subnet = self.subnet
        return {
            "out_features": subnet.embed_dim,
            "first": int(subnet.class_token),
            "positions": int(subnet.absolute_position or subnet.class_token),
        }

    def _patches(self) -> str:
        subnet = self.subnet
        attrs = {
            "patch_size": subnet.patch_size,
            "grid_size": subnet.grid_size,
            "pad_before": subnet.padding[0],
            **self._embedding(),
        }
        if not self.suffix:
            return self.graph.add("patch_embed", "patch_embed", "image", **attrs)
        op = f"patch_embed_passes{self.suffix}"
        return self.graph.add(op, "patch_embed", "image", kernel=subnet.patch_size, **attrs)

    def _convolutions(self) -> str:
        x = "image"
        for index, conv in enumerate(self.subnet.convs):
            name, out = f"patch_embed.convs.{index}", conv.out_chans
            x = self.graph.add("conv_pool", name, x, stride=conv.stride, out_features=out)
        return self.graph.add(f"embed_tokens{self.suffix}", "tokens", x, **self._embedding())

    def _norm(self, name: str, x: str, suffix: str) -> str:
        steps = SQRT_STEPS[self.forms.sqrt]
        eps = self.subnet.norm_eps
        return self.graph.add(f"layer_norm{suffix}", name, x, eps=eps, sqrt_steps=steps)

    def _add(self, name: str, x: str, y: str) -> str:
        return self.graph.add(f"add{self.suffix}", name, x, y)

    def _attention(self, index: int, x: str) -> str:
        subnet, prefix = self.subnet, f"blocks.{index}"
        block = subnet.blocks[index]
        y = self._norm(f"{prefix}.norm1", x, self.suffix)
        rank, op = deployed_rank(subnet, index, "qkv", self.forms), "linear"
        if rank is not None:
            y, op = self._first_factor(f"{prefix}.attn.qkv", y, rank)
        parts = [
            self.graph.add(op, f"{prefix}.attn.{part}", y, out_features=block.attn_dim)
            for part in QKV_PARTS
        ]
        attrs = {
            "num_heads": block.num_heads,
            "softmax": SOFTMAX_FORMS.index(self.forms.softmax),
            "normalized": int(self.forms.attention_weights == "int8"),
        }
        kind = "attention"
        if subnet.relative_position is not None:
            kind, attrs["max_distance"] = "attention_relative", subnet.relative_position
            attrs |= {"grid_size": subnet.grid_size, "first": int(subnet.class_token)}
        y = self.graph.add(kind, f"{prefix}.attn", *parts, **attrs)
        y = self._linear(index, "proj", y)
        return self._add(f"{prefix}.attn.add", x, y)

    def _mlp(self, index: int, x: str) -> str:
        prefix = f"blocks.{index}"
        y = self._norm(f"{prefix}.norm2", x, self.suffix)
        y = self._linear(index, "fc1", y)
        form = self.forms.gelu
        op = "gelu" if form == "table" else f"gelu_{form}"
        y = self.graph.add(op, f"{prefix}.mlp.gelu", y)
        y = self._linear(index, "fc2", y)
        return self._add(f"{prefix}.mlp.add", x, y)

    def _first_factor(self, path: str, x: str, rank: int) -> tuple[str, str]:
        """Add the first of two factors; return its output and the second one's operator."""
        wide = self.forms.low_rank == "int16"
        x = self.graph.add("linear_to_s16" if wide else "linear", f"{path}.v", x, out_features=rank)
        return x, "linear_from_s16" if wide else "linear"

    def _linear(self, index: int, name: LinearName, x: str) -> str:
        path = f"blocks.{index}.{PATHS[name]}"
        out_features = self.subnet.linear_shape(index, name)[1]
        rank, op = deployed_rank(self.subnet, index, name, self.forms), "linear"
        if rank is not None:
            x, op = self._first_factor(path, x, rank)
        return self.graph.add(op, path, x, out_features=out_features)
