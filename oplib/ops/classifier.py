"""The last linear layer: int8 features to int32 logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.base import Array, Buffers, Lowered, LoweringContext, Params, Tensors
from oplib.ops.linear import (
    LinearAttributes,
    LinearLayer,
    accumulate,
    lower_linear,
    product_work,
    smallest_weight_scale,
)
from oplib.ops.quant import QuantParams, multiply_high, quantize_weight
from oplib.ops.work import Work


class Classifier(LinearLayer):
    """``logits = x W^T + b`` as int32, in one unit for all classes.

    Logits are neither rounded to 8 bits nor saturated, which could make two classes equal.
    """

    kernel: ClassVar[str] = "oplib_classifier_s8"

    def output_type(self, node: Node[LinearAttributes], inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((node.attrs.out_features,), "int32")

    def scratch_parts(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> Mapping[str, int]:
        return {}

    def panel_sizes(
        self, node: Node[LinearAttributes], inputs: Sequence[TensorType]
    ) -> tuple[int, ...]:
        return ()

    def settings(self, node: Node[LinearAttributes]) -> Mapping[str, int]:
        return {}

    def work(self, node: Node[LinearAttributes], tensors: Tensors, *, inside: bool = False) -> Work:
        specs = self.array_specs(node, (tensors[node.inputs[0]],))
        work = product_work(1, node.attrs.out_features, specs[0].num_bytes, untiled=1)
        return work + Work(bytes_read=sum(spec.num_bytes for spec in specs))

    def unit(self, params: Params, source: QuantParams) -> float:
        """Return the real value of one integer step of every logit.

        It is four accumulator units of the class with the coarsest scale, so that every multiplier
        is at most 2^32 / 4.
        """
        floor = smallest_weight_scale(params["bias"], source)
        return 4.0 * source.scale * float(quantize_weight(params["weight"], floor)[1].max())

    def output_quant(
        self, node: Node[LinearAttributes], params: Params, context: LoweringContext
    ) -> QuantParams | None:
        return QuantParams(self.unit(params, context.of(node.inputs[0])))

    def lower(
        self, node: Node[LinearAttributes], params: Params, context: LoweringContext
    ) -> Lowered:
        source = context.of(node.inputs[0])
        unit = self.unit(params, source)
        arrays = lower_linear(params["weight"], params["bias"], source, unit, node.name)
        return Lowered(arrays, {"zero_point": 0})

    def run_integer(
        self, node: Node[LinearAttributes], lowered: Lowered, inputs: Sequence[Array]
    ) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return multiply_high(acc, lowered.arrays["multiplier"]).astype("int32")

    def call_arguments(
        self, node: Node[LinearAttributes], buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output
