"""Build a vision transformer as an operator graph: shapes only, no weights."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.subnet import LinearName, SubnetConfig
from oplib.forms import DEFAULT_FORMS, SQRT_STEPS, Forms
from oplib.graph import NO_ATTRIBUTES, Attributes, Branch, Graph, Node, Place, TensorType
from oplib.network.low_rank import deployed_rank
from oplib.ops.attention import AttentionAttributes
from oplib.ops.attention_relative import RelativeAttributes
from oplib.ops.conv_pool import ConvPoolAttributes
from oplib.ops.embed_tokens import EmbeddingAttributes
from oplib.ops.layer_norm import LayerNormAttributes
from oplib.ops.linear import LinearAttributes
from oplib.ops.mean_pool import MeanPoolAttributes
from oplib.ops.patch_operator import PassesAttributes, PatchAttributes
from oplib.ops.registry import OPERATORS

PATHS: dict[LinearName, str] = {
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
QKV_PARTS = ("q", "k", "v")


class GraphBuilder:
    """A graph under construction; each operator's shape rule gives the type of its output."""

    def __init__(self, input_name: str, input_type: TensorType) -> None:
        self._tensors = {input_name: input_type}
        self._nodes: list[Node] = []
        self._input = input_name

    def add(
        self,
        op: str,
        name: str,
        *inputs: str,
        attrs: Attributes = NO_ATTRIBUTES,
        place: Place | None = None,
    ) -> str:
        """Append a node and return the name of its output tensor, which is that of the node."""
        node = Node(name, op, inputs, name, attrs, place)
        types = tuple(self._tensors[tensor] for tensor in inputs)
        self._tensors[name] = OPERATORS[op].output_type(node, types)
        self._nodes.append(node)
        return name

    def build(self, output: str) -> Graph:
        """Return the graph that ends in `output`."""
        return Graph(dict(self._tensors), tuple(self._nodes), self._input, output)


def build_graph(subnet: SubnetConfig, forms: Forms = DEFAULT_FORMS) -> Graph:
    """Return the graph of a subnet; it has no weights, so that memory can be planned without any.

    The fused qkv projection becomes three linears, each with a scale of its own; a low-rank linear
    becomes two, with a tensor between them. Full-rank factors are merged.

    Args:
        subnet: the network's shape.
        forms: forms of the integer operators.
    """
    return _Builder(subnet, forms).build()


class _Builder:
    """The construction of one subnet's graph, part by part."""

    def __init__(self, subnet: SubnetConfig, forms: Forms) -> None:
        self.subnet, self.forms = subnet, forms
        size = subnet.img_size
        image = TensorType((size, size, subnet.in_chans), "uint8")
        self.graph = GraphBuilder("image", image)
        wide = forms.residual == "int16"
        self.suffix = "_s16" if wide else ""  # operators on the residual stream

    def build(self) -> Graph:
        """Return the whole graph."""
        subnet = self.subnet
        x = self._patches() if subnet.tokenizer == "patch" else self._convolutions()
        for index in range(subnet.depth):
            x = self._attention(index, x)
            x = self._mlp(index, x)
        suffix = self.suffix
        if subnet.global_pool == "token":  # take it first: the other tokens need no norm
            x = self.graph.add("take_token", "pool", x)
            norm = "fc_norm" if subnet.fc_norm else "norm"
            x = self._norm(norm, x, suffix)
        else:
            if not subnet.fc_norm:
                x, suffix = self._norm("norm", x, suffix), ""
            mean = MeanPoolAttributes(first=int(subnet.class_token))
            x = self.graph.add(f"mean_pool{suffix}", "pool", x, attrs=mean)
            if subnet.fc_norm:
                x = self._norm("fc_norm", x, "")
        logits = LinearAttributes(out_features=subnet.num_classes)
        return self.graph.build(self.graph.add("classifier", "head", x, attrs=logits))

    def _embedding(self) -> EmbeddingAttributes:
        """Return the attributes of positions and class token."""
        subnet = self.subnet
        return EmbeddingAttributes(
            out_features=subnet.embed_dim,
            first=int(subnet.class_token),
            positions=subnet.absolute_position or subnet.class_token,
        )

    def _patches(self) -> str:
        """Add the patch embedding and return its tokens."""
        subnet = self.subnet
        attrs = PatchAttributes(
            **vars(self._embedding()),
            patch_size=subnet.patch_size,
            grid_size=subnet.grid_size,
            pad_before=subnet.padding[0],
        )
        if not self.suffix:
            return self.graph.add("patch_embed", "patch_embed", "image", attrs=attrs)
        op = f"patch_embed_passes{self.suffix}"  # the only kernel with an int16 output
        whole = PassesAttributes(**vars(attrs), kernel=subnet.patch_size)
        return self.graph.add(op, "patch_embed", "image", attrs=whole)

    def _convolutions(self) -> str:
        """Add the convolutional tokenizer and return its tokens."""
        x = "image"
        for index, conv in enumerate(self.subnet.convs):
            attrs = ConvPoolAttributes(out_features=conv.out_chans, stride=conv.stride)
            x = self.graph.add("conv_pool", f"patch_embed.convs.{index}", x, attrs=attrs)
        return self.graph.add(f"embed_tokens{self.suffix}", "tokens", x, attrs=self._embedding())

    def _norm(self, name: str, x: str, suffix: str, place: Place | None = None) -> str:
        steps = SQRT_STEPS[self.forms.sqrt]
        attrs = LayerNormAttributes(eps=self.subnet.norm_eps, sqrt_steps=steps)
        return self.graph.add(f"layer_norm{suffix}", name, x, attrs=attrs, place=place)

    def _attention(self, index: int, x: str) -> str:
        """Add a block's attention, from its norm to its residual addition, to the stream `x`."""
        subnet, prefix = self.subnet, f"blocks.{index}"
        block = subnet.blocks[index]
        place = _Half(index, "attention")
        y = self._norm(f"{prefix}.norm1", x, self.suffix, place.role("norm"))
        rank, op = deployed_rank(subnet, index, "qkv", self.forms), "linear"
        if rank is not None:
            y, op = self._first_factor(f"{prefix}.attn.qkv", y, rank, place.role("qkv_factor"))
        width = LinearAttributes(out_features=block.attn_dim)
        parts = [
            self.graph.add(op, f"{prefix}.attn.{part}", y, attrs=width, place=place.role(part))
            for part in QKV_PARTS
        ]
        op = "attention"
        attrs = AttentionAttributes(
            num_heads=block.num_heads,
            softmax=self.forms.softmax,
            normalized=self.forms.attention_weights == "int8",
        )
        if subnet.relative_position is not None:
            op = "attention_relative"
            attrs = RelativeAttributes(
                **vars(attrs),
                grid_size=subnet.grid_size,
                max_distance=subnet.relative_position,
                first=int(subnet.class_token),
            )
        y = self.graph.add(op, f"{prefix}.attn", *parts, attrs=attrs, place=place.role("attention"))
        y = self._linear(index, "proj", y, place)
        return self.graph.add(
            f"add{self.suffix}", f"{prefix}.attn.add", x, y, place=place.role("add")
        )

    def _mlp(self, index: int, x: str) -> str:
        """Add a block's MLP, from its norm to its residual addition, to the stream `x`."""
        prefix, place = f"blocks.{index}", _Half(index, "mlp")
        y = self._norm(f"{prefix}.norm2", x, self.suffix, place.role("norm"))
        y = self._linear(index, "fc1", y, place)
        op = self.forms.activation(self.subnet.blocks[index].activation)
        y = self.graph.add(op, f"{prefix}.mlp.act", y, place=place.role("activation"))
        y = self._linear(index, "fc2", y, place)
        return self.graph.add(
            f"add{self.suffix}", f"{prefix}.mlp.add", x, y, place=place.role("add")
        )

    def _first_factor(self, path: str, x: str, rank: int, place: Place) -> tuple[str, str]:
        """Add the first of two factors; return its output and the operator of the second."""
        wide, attrs = self.forms.low_rank == "int16", LinearAttributes(out_features=rank)
        op = "linear_to_s16" if wide else "linear"
        x = self.graph.add(op, f"{path}.v", x, attrs=attrs, place=place)
        return x, "linear_from_s16" if wide else "linear"

    def _linear(self, index: int, name: LinearName, x: str, place: _Half) -> str:
        """Add a linear layer, or its two factors, and return its output."""
        path = f"blocks.{index}.{PATHS[name]}"
        attrs = LinearAttributes(out_features=self.subnet.linear_shape(index, name)[1])
        rank, op = deployed_rank(self.subnet, index, name, self.forms), "linear"
        if rank is not None:
            x, op = self._first_factor(path, x, rank, place.role(f"{name}_factor"))
        return self.graph.add(op, path, x, attrs=attrs, place=place.role(name))


@dataclass(frozen=True)
class _Half:
    """Half of a transformer block."""

    block: int
    branch: Branch

    def role(self, role: str) -> Place:
        """Return the place of the node with a role in this half."""
        return Place(self.block, self.branch, role)
