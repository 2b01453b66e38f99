"""ONNX files of a network: in float, and in int8 by quantise / dequantise pairs (QDQ).

Both take raw pixels (N, H, W, C) as uint8 and give logits (N, K) as float. In the QDQ file every
tensor that the firmware keeps in int8 is rounded with the firmware's scale and zero point, and the
weights are the firmware's; what lies between (softmax, GELU, norms) is float, so that logits agree
with the integer reference closely but not bit for bit. Tensors of 16 bits stay float.

onnxruntime runs the pairs on int8 kernels. On x86 processors with AVX2 or AVX-512 but without VNNI
these add pairs of uint8 x int8 products in saturating 16 bits: 2 x 255 x 127 does not fit. There
the session needs the option ``session.x64quantprecision`` = "1", which has no effect elsewhere;
without it the logits' mean error was 7 to 13 times as large (onnxruntime 1.32, Haswell). The QDQ
file says so in its ``doc_string``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mcuformer.errors import ToolMissingError
from oplib.graph import Node
from oplib.network.reference import FloatModel, IntegerModel
from oplib.ops.attention import pair_rows, scores_name
from oplib.ops.base import Array
from oplib.ops.linear import smallest_weight_scale
from oplib.ops.patch_embed import PIXELS, fold_normalisation
from oplib.ops.quant import QuantParams, quantize_weight
from oplib.ops.registry import family

OPSET = 17
SATURATION = (
    'onnxruntime on x86 without VNNI: set the session option session.x64quantprecision to "1"; '
    "its default int8 kernels saturate there."
)


def export_onnx(floating: FloatModel, integer: IntegerModel | None) -> bytes:
    """Return an ONNX file: of the float network, or with the integer one's scales and weights.

    Raises:
        ToolMissingError: the onnx package is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ToolMissingError("onnx is not installed; pip install 'mcuformer[onnx]'") from error
    return _Writer(floating, integer).write()


class _Writer:
    """Collects ONNX nodes and constants, one graph node after the other."""

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
            output = getattr(self, f"_{family(node.op)}")(node)
            self._rename(self._rounded(output, node.output), node.output)
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
        """Add one ONNX node; return its output."""
        from onnx import helper

        self.count += 1
        output = f"{kind}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        self.count += 1
        name = f"constant_{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def _rename(self, output: str, name: str) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [output], [name]))

    def _rounded(self, x: str, tensor: str) -> str:
        """Quantise and dequantise a tensor that the firmware keeps in int8."""
        kind = self.model.graph.tensors.get(tensor)
        inside = kind is None and tensor in self.quant
        if self.integer is None or not (inside or (kind is not None and kind.dtype == "int8")):
            return x
        quant = self.quant[tensor]
        scale = self.constant(quant.scale)
        zero_point = self.constant(quant.zero_point, np.int8)
        codes = self.op("QuantizeLinear", x, scale, zero_point)
        return self.op("DequantizeLinear", codes, scale, zero_point)

    def _weight(self, weight: Array, bias: Array, source: QuantParams | None) -> str:
        """Return a weight (out, ...), as the firmware's codes where there is one."""
        if self.integer is None or source is None:
            return self.constant(weight)
        rows = weight.reshape(len(weight), -1)
        codes, scale = quantize_weight(rows, smallest_weight_scale(bias, source))
        name = self.constant(codes.reshape(weight.shape), np.int8)
        zero = self.constant(np.zeros(len(scale)), np.int8)
        return self.op("DequantizeLinear", name, self.constant(scale), zero, axis=0)

    def _patch_embed(self, node: Node) -> str:
        params, pre = self.model.params[node.name], self.model.preprocessing
        weight, bias = fold_normalisation(params["weight"], params["bias"], pre)
        side, chans = node.int_attr("patch_size"), pre.in_chans
        size = self.model.graph.tensors[node.inputs[0]].shape[0]
        before = node.int_attr("pad_before")
        after = node.int_attr("grid_size") * side - size - before
        x = self.op("Cast", node.inputs[0], to=1)
        x = self._padded(x, np.array(pre.pad_value), before, after)
        kernel = weight.reshape(len(weight), side, side, chans).transpose(0, 3, 1, 2)
        filters = self._weight(kernel, bias, PIXELS)
        x = self.op("Transpose", x, perm=[0, 3, 1, 2])
        x = self.op("Conv", x, filters, self.constant(bias), strides=[side, side])
        x = self.op("Transpose", x, perm=[0, 2, 3, 1])
        return self._placed(node, x)

    def _padded(self, x: str, value: Array, before: int, after: int) -> str:
        """Pad (N, H, W, C) with a value for each channel."""
        if not before and not after:
            return x
        pads = self.constant([0, before, before, 0, 0, after, after, 0], np.int64)
        level = self.constant(value)
        return self.op("Add", self.op("Pad", self.op("Sub", x, level), pads), level)

    def _placed(self, node: Node, x: str) -> str:
        """Make (N, H, W, D) tokens, behind the class token, with positions."""
        dim = node.int_attr("out_features")
        x = self.op("Reshape", x, self.constant([0, -1, dim], np.int64))
        if not node.int_attr("positions"):
            return x
        if node.int_attr("first"):
            x = self.op("Pad", x, self.constant([0, 1, 0, 0, 0, 0], np.int64))
        position = self.model.params[node.name]["position"]
        kind = self.model.graph.tensors[node.output].dtype
        if self.integer is not None and kind == "int8":
            scale = self.quant[node.output].scale
            position = QuantParams(scale).dequantize(QuantParams(scale).quantize(position))
        return self.op("Add", x, self.constant(position))

    def _conv_pool(self, node: Node) -> str:
        params, pre = self.model.params[node.name], self.model.preprocessing
        weight, bias, pad = params["weight"], params["bias"], params["pad"]
        source, x = self.quant.get(node.inputs[0]), node.inputs[0]
        if x == self.model.graph.input:
            weight, bias = fold_normalisation(weight, bias, pre)
            source, pad = PIXELS, np.array(pre.pad_value)
            x = self.op("Cast", x, to=1)
        kernel = weight.reshape(len(weight), 3, 3, -1).transpose(0, 3, 1, 2)
        stride = node.int_attr("stride")
        x = self.op("Transpose", self._padded(x, pad, 1, 1), perm=[0, 3, 1, 2])
        filters = self._weight(kernel, bias, source)
        x = self.op("Conv", x, filters, self.constant(bias), strides=[stride, stride])
        x = self.op(
            "MaxPool", self.op("Relu", x), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4
        )
        return self.op("Transpose", x, perm=[0, 2, 3, 1])

    def _embed_tokens(self, node: Node) -> str:
        return self._placed(node, node.inputs[0])

    def _linear(self, node: Node) -> str:
        params = self.model.params[node.name]
        source = self.quant.get(node.inputs[0])
        weight = self._weight(params["weight"], params["bias"], source)
        x = self.op("MatMul", node.inputs[0], self.op("Transpose", weight, perm=[1, 0]))
        return self.op("Add", x, self.constant(params["bias"]))

    def _classifier(self, node: Node) -> str:
        return self._linear(node)

    def _layer_norm(self, node: Node) -> str:
        params = self.model.params[node.name]
        scale, bias = self.constant(params["weight"]), self.constant(params["bias"])
        eps = float(node.attrs["eps"])
        return self.op("LayerNormalization", node.inputs[0], scale, bias, axis=-1, epsilon=eps)

    def _attention(self, node: Node) -> str:
        heads = node.int_attr("num_heads")
        width = self.model.graph.tensors[node.inputs[0]].shape[-1]
        shape = self.constant([0, 0, heads, width // heads], np.int64)
        split = [self.op("Reshape", name, shape) for name in node.inputs]
        q, k, v = (self.op("Transpose", name, perm=[0, 2, 1, 3]) for name in split)
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        if node.op == "attention_relative":
            added = self._relative(node, "key")
            scores = self.op("Add", scores, self.op("Einsum", q, added, equation="bhid,ijd->bhij"))
        scores = self.op("Mul", scores, self.constant((width // heads) ** -0.5))
        scores = self._rounded(scores, scores_name(node))
        weights = self.op("Softmax", scores, axis=-1)
        out = self.op("MatMul", weights, v)
        if node.op == "attention_relative":
            added = self._relative(node, "value")
            out = self.op("Add", out, self.op("Einsum", weights, added, equation="bhij,ijd->bhid"))
        out = self.op("Transpose", out, perm=[0, 2, 1, 3])
        return self.op("Reshape", out, self.constant([0, 0, width], np.int64))

    def _relative(self, node: Node, kind: str) -> str:
        names = ("grid_size", "max_distance", "first")
        rows, cols = pair_rows(*(node.int_attr(name) for name in names))
        params = self.model.params[node.name]
        by_row, by_col = params[f"{kind}_rows"], params[f"{kind}_cols"]
        if self.integer is not None:
            scale = self.quant[node.inputs[1 if kind == "key" else 2]].scale
            plain = QuantParams(scale)
            by_row, by_col = (plain.dequantize(plain.quantize(t)) for t in (by_row, by_col))
        return self.constant(by_row[rows] + by_col[cols])

    def _gelu(self, node: Node) -> str:
        x = node.inputs[0]
        erf = self.op("Erf", self.op("Mul", x, self.constant(np.sqrt(0.5))))
        half = self.op("Mul", x, self.constant(0.5))
        return self.op("Mul", half, self.op("Add", erf, self.constant(1.0)))

    def _add(self, node: Node) -> str:
        return self.op("Add", *node.inputs)

    def _mean_pool(self, node: Node) -> str:
        first = int(node.attrs.get("first", 0))
        ends = [[first], [2**31 - 1], [1]]
        x = self.op("Slice", node.inputs[0], *(self.constant(e, np.int64) for e in ends))
        return self.op("ReduceMean", x, axes=[1], keepdims=0)

    def _take_token(self, node: Node) -> str:
        return self.op("Gather", node.inputs[0], self.constant(0, np.int64), axis=1)
