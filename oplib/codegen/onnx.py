"""ONNX files of a network: in float, and in int8 by quantise / dequantise pairs (QDQ).

Both take raw pixels (N, H, W, C) as uint8 and give logits (N, K) as float. In the QDQ file every
tensor that the firmware keeps in int8 is rounded with the firmware's scale and zero point, and the
weights are the firmware's. The operators between them (softmax, activations, norms) are float, so
that logits agree with the integer reference closely but not bit for bit. Int16 tensors stay float.

onnxruntime runs the pairs on int8 kernels. On x86 processors with AVX2 or AVX-512 but without VNNI
these add pairs of uint8 x int8 products in saturating 16 bits: 2 x 255 x 127 does not fit. There
the session needs the option ``session.x64quantprecision`` = "1", which has no effect elsewhere;
without it the logits' mean error was 7 to 13 times as large (onnxruntime 1.32, Haswell). The QDQ
file says so in its ``doc_string``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mcuformer.errors import ToolMissingError
from oplib.graph import Node
from oplib.network.reference import FloatModel, IntegerModel
from oplib.ops.attention import AttentionAttributes, scores_name
from oplib.ops.attention_relative import RelativeAttributes, pair_rows
from oplib.ops.base import Array
from oplib.ops.conv_pool import ConvPoolAttributes
from oplib.ops.embed_tokens import EmbeddingAttributes
from oplib.ops.layer_norm import LayerNormAttributes
from oplib.ops.linear import smallest_weight_scale
from oplib.ops.mean_pool import MeanPoolAttributes
from oplib.ops.patch_operator import PIXELS, PatchAttributes, fold_normalisation
from oplib.ops.quant import QuantParams, quantize_weight
from oplib.ops.registry import OPERATORS

OPSET = 17
SATURATION = (
    'onnxruntime on x86 without VNNI: set the session option session.x64quantprecision to "1"; '
    "its default int8 kernels saturate there."
)


def export_onnx(floating: FloatModel, integer: IntegerModel | None) -> bytes:
    """Return the bytes of an ONNX file.

    Args:
        floating: the float network.
        integer: the integer network, whose scales and weights go into the file; None writes the
            float network.

    Raises:
        ToolMissingError: the onnx package is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ToolMissingError("onnx is not installed; pip install 'mcuformer[onnx]'") from error
    return Writer(floating, integer).write()


class Writer:
    """An ONNX graph under construction; nodes and constants are added one graph node at a time."""

    def __init__(self, floating: FloatModel, integer: IntegerModel | None) -> None:
        self.model, self.integer = floating, integer
        self.quant = {} if integer is None else dict(integer.quant)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.count = 0

    def write(self) -> bytes:
        """Return the serialised model."""
        from onnx import TensorProto, checker, helper

        graph = self.model.graph
        for node in graph.nodes:
            output = ONNX_FORMS[OPERATORS[node.op].family](self, node)
            self._rename(self.rounded(output, node.output), node.output)
        image = graph.tensors[graph.input].shape
        inputs = [helper.make_tensor_value_info(graph.input, TensorProto.UINT8, ["N", *image])]
        logits: list[str | int | None] = ["N", graph.tensors[graph.output].size]
        outputs = [helper.make_tensor_value_info(graph.output, TensorProto.FLOAT, logits)]
        content = helper.make_graph(self.nodes, "mcuformer", inputs, outputs, self.constants)
        model = helper.make_model(content, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        model.doc_string = "" if self.integer is None else SATURATION
        checker.check_model(model)
        result: bytes = model.SerializeToString()
        return result

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an ONNX node and return the name of its output."""
        from onnx import helper

        self.count += 1
        output = f"{kind}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        self.count += 1
        name = f"constant_{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def _rename(self, output: str, name: str) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [output], [name]))

    def rounded(self, x: str, tensor: str) -> str:
        """Return `x` quantised and dequantised if the firmware keeps `tensor` in int8, else `x`."""
        known = self.model.graph.tensors.get(tensor)
        inside = known is None and tensor in self.quant  # an intermediate of an operator
        if self.integer is None or not (inside or (known is not None and known.dtype == "int8")):
            return x
        quant = self.quant[tensor]
        scale = self.constant(quant.scale)
        zero_point = self.constant(quant.zero_point, np.int8)
        codes = self.op("QuantizeLinear", x, scale, zero_point)
        return self.op("DequantizeLinear", codes, scale, zero_point)

    def weight(self, weight: Array, bias: Array, source: QuantParams | None) -> str:
        """Return a weight (out, ...): the firmware's codes if there is an integer network."""
        if self.integer is None or source is None:
            return self.constant(weight)
        rows = weight.reshape(len(weight), -1)
        codes, scale = quantize_weight(rows, smallest_weight_scale(bias, source))
        name = self.constant(codes.reshape(weight.shape), np.int8)
        zero = self.constant(np.zeros(len(scale)), np.int8)
        return self.op("DequantizeLinear", name, self.constant(scale), zero, axis=0)


def patch_embed(writer: Writer, node: Node) -> str:
    """Embed the patches of raw pixels (N, H, W, C), with normalisation folded in."""
    attrs, pre = node.attributes(PatchAttributes), writer.model.preprocessing
    params = writer.model.params[node.name]
    weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
    side, chans = attrs.patch_size, pre.in_chans
    before = attrs.pad_before
    after = attrs.pad_after(writer.model.graph.tensors[node.inputs[0]].shape[0])
    x = writer.op("Cast", node.inputs[0], to=1)
    x = padded(writer, x, np.array(pre.pad_value), before, after)
    kernel = weight.reshape(len(weight), side, side, chans).transpose(0, 3, 1, 2)
    filters = writer.weight(kernel, bias, PIXELS)
    x = writer.op("Transpose", x, perm=[0, 3, 1, 2])
    x = writer.op("Conv", x, filters, writer.constant(bias), strides=[side, side])
    x = writer.op("Transpose", x, perm=[0, 2, 3, 1])
    return placed(writer, node, x)


def padded(writer: Writer, x: str, value: Array, before: int, after: int) -> str:
    """Pad (N, H, W, C) with one value per channel."""
    if not before and not after:
        return x
    pads = writer.constant([0, before, before, 0, 0, after, after, 0], np.int64)
    level = writer.constant(value)
    return writer.op("Add", writer.op("Pad", writer.op("Sub", x, level), pads), level)


def placed(writer: Writer, node: Node, x: str) -> str:
    """Turn (N, H, W, D) into tokens, with the class token first and positions added."""
    attrs = node.attributes(EmbeddingAttributes)
    x = writer.op("Reshape", x, writer.constant([0, -1, attrs.out_features], np.int64))
    if not attrs.positions:
        return x
    if attrs.first:
        x = writer.op("Pad", x, writer.constant([0, 1, 0, 0, 0, 0], np.int64))
    position = writer.model.params[node.name]["position"]
    kind = writer.model.graph.tensors[node.output].dtype
    if writer.integer is not None and kind == "int8":
        scale = writer.quant[node.output].scale
        position = QuantParams(scale).dequantize(QuantParams(scale).quantize(position))
    return writer.op("Add", x, writer.constant(position))


def conv_pool(writer: Writer, node: Node) -> str:
    """Apply convolution, ReLU and max pooling to (N, H, W, C)."""
    params, pre = writer.model.params[node.name], writer.model.preprocessing
    weight, bias, pad = params["weight"], params["bias"], params["pad"]
    source, x = writer.quant.get(node.inputs[0]), node.inputs[0]
    if x == writer.model.graph.input:
        weight, bias = fold_normalisation(weight, bias, pre)
        source, pad = PIXELS, np.array(pre.pad_value)
        x = writer.op("Cast", x, to=1)
    kernel = weight.reshape(len(weight), 3, 3, -1).transpose(0, 3, 1, 2)
    stride = node.attributes(ConvPoolAttributes).stride
    x = writer.op("Transpose", padded(writer, x, pad, 1, 1), perm=[0, 3, 1, 2])
    filters = writer.weight(kernel, bias, source)
    x = writer.op("Conv", x, filters, writer.constant(bias), strides=[stride, stride])
    x = writer.op(
        "MaxPool", writer.op("Relu", x), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
    )
    return writer.op("Transpose", x, perm=[0, 2, 3, 1])


def embed_tokens(writer: Writer, node: Node) -> str:
    """Turn a feature map (N, H, W, D) into tokens."""
    return placed(writer, node, node.inputs[0])


def linear(writer: Writer, node: Node) -> str:
    """Apply a linear layer, (..., in) to (..., out)."""
    params = writer.model.params[node.name]
    source = writer.quant.get(node.inputs[0])
    weight = writer.weight(params["weight"], params["bias"], source)
    x = writer.op("MatMul", node.inputs[0], writer.op("Transpose", weight, perm=[1, 0]))
    return writer.op("Add", x, writer.constant(params["bias"]))


def layer_norm(writer: Writer, node: Node) -> str:
    """Normalise the last axis."""
    params = writer.model.params[node.name]
    scale, bias = writer.constant(params["weight"]), writer.constant(params["bias"])
    eps = node.attributes(LayerNormAttributes).eps
    return writer.op("LayerNormalization", node.inputs[0], scale, bias, axis=-1, epsilon=eps)


def attention(writer: Writer, node: Node) -> str:
    """Apply attention to queries, keys and values (N, tokens, heads * head_dim)."""
    heads = node.attributes(AttentionAttributes).num_heads
    is_relative = isinstance(node.attrs, RelativeAttributes)
    width = writer.model.graph.tensors[node.inputs[0]].shape[-1]
    shape = writer.constant([0, 0, heads, width // heads], np.int64)
    split = [writer.op("Reshape", name, shape) for name in node.inputs]
    q, k, v = (writer.op("Transpose", name, perm=[0, 2, 1, 3]) for name in split)
    scores = writer.op("MatMul", q, writer.op("Transpose", k, perm=[0, 1, 3, 2]))
    if is_relative:
        added = relative(writer, node, "key")
        scores = writer.op("Add", scores, writer.op("Einsum", q, added, equation="bhid,ijd->bhij"))
    scores = writer.op("Mul", scores, writer.constant((width // heads) ** -0.5))
    scores = writer.rounded(scores, scores_name(node))
    weights = writer.op("Softmax", scores, axis=-1)
    out = writer.op("MatMul", weights, v)
    if is_relative:
        added = relative(writer, node, "value")
        out = writer.op("Add", out, writer.op("Einsum", weights, added, equation="bhij,ijd->bhid"))
    out = writer.op("Transpose", out, perm=[0, 2, 1, 3])
    return writer.op("Reshape", out, writer.constant([0, 0, width], np.int64))


def relative(writer: Writer, node: Node, kind: str) -> str:
    """Return the vectors that pairs of tokens add, (tokens, tokens, head_dim).

    Args:
        writer: the ONNX graph.
        node: the attention node.
        kind: ``key`` or ``value``.
    """
    attrs = node.attributes(RelativeAttributes)
    rows, cols = pair_rows(attrs.grid_size, attrs.max_distance, attrs.first)
    params = writer.model.params[node.name]
    by_row, by_col = params[f"{kind}_rows"], params[f"{kind}_columns"]
    if writer.integer is not None:
        scale = writer.quant[node.inputs[1 if kind == "key" else 2]].scale
        plain = QuantParams(scale)
        by_row, by_col = (plain.dequantize(plain.quantize(t)) for t in (by_row, by_col))
    return writer.constant(by_row[rows] + by_col[cols])


def gelu(writer: Writer, node: Node) -> str:
    """Apply the exact GELU, by the error function."""
    x = node.inputs[0]
    erf = writer.op("Erf", writer.op("Mul", x, writer.constant(np.sqrt(0.5))))
    half = writer.op("Mul", x, writer.constant(0.5))
    return writer.op("Mul", half, writer.op("Add", erf, writer.constant(1.0)))


def add(writer: Writer, node: Node) -> str:
    """Add the residual."""
    return writer.op("Add", *node.inputs)


def mean_pool(writer: Writer, node: Node) -> str:
    """Average the tokens."""
    first = node.attributes(MeanPoolAttributes).first
    ends = [[first], [2**31 - 1], [1]]
    x = writer.op("Slice", node.inputs[0], *(writer.constant(e, np.int64) for e in ends))
    return writer.op("ReduceMean", x, axes=[1], keepdims=0)


def take_token(writer: Writer, node: Node) -> str:
    """Take the class token."""
    return writer.op("Gather", node.inputs[0], writer.constant(0, np.int64), axis=1)


def unary(kind: str) -> OnnxForm:
    """Return the form of a function that is an ONNX operator of its own."""
    return lambda writer, node: writer.op(kind, node.inputs[0])


OnnxForm = Callable[[Writer, Node], str]
ONNX_FORMS: dict[str, OnnxForm] = {  # by the operators' family
    "add": add,
    "attention": attention,
    "conv_pool": conv_pool,
    "embed_tokens": embed_tokens,
    "gelu": gelu,
    "hard_swish": unary("HardSwish"),
    "layer_norm": layer_norm,
    "linear": linear,
    "mean_pool": mean_pool,
    "patch_embed": patch_embed,
    "relu": unary("Relu"),
    "take_token": take_token,
}
