"""The last linear layer: int8 features to int32 logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from oplib.graph import Node, TensorType
from oplib.ops.base import Array, Buffers, Lowered, LoweringContext, Params
from oplib.ops.linear import Linear, accumulate, lower_linear, smallest_weight_scale
from oplib.ops.quant import QuantParams, multiply_high, quantize_weight


class Classifier(Linear):
    """``logits = x W^T + b`` in one unit for all classes.

    They are neither rounded to 8 bits nor saturated, so that no tie decides a class.
    """

    kernel: ClassVar[str] = "oplib_classifier_s8"
    params: ClassVar[str] = "oplib_linear_s8_params"
    helpers: ClassVar[tuple[str, ...]] = ()
    in_place: ClassVar[tuple[int, ...]] = ()

    def output_type(self, node: Node, inputs: Sequence[TensorType]) -> TensorType:
        return TensorType((node.int_attr("out_features"),), "int32")

    def scratch_parts(self, node: Node, inputs: Sequence[TensorType]) -> Mapping[str, int]:
        return {}

    @staticmethod
    def unit(params: Params, source: QuantParams) -> float:
        """Return the value of one step of every logit.

        Four accumulator units of the coarsest class: every multiplier is then at most 2^30.
        """
        floor = smallest_weight_scale(params["bias"], source)
        return 4.0 * source.scale * float(quantize_weight(params["weight"], floor)[1].max())

    def lower(self, node: Node, params: Params, context: LoweringContext) -> Lowered:
        source = context.of(node.inputs[0])
        unit = self.unit(params, source)
        arrays = lower_linear(params["weight"], params["bias"], source, unit, node.name)
        return Lowered(arrays, {"zero_point": 0})

    def run_integer(self, node: Node, lowered: Lowered, inputs: Sequence[Array]) -> Array:
        acc = accumulate(inputs[0], lowered.arrays)
        return multiply_high(acc, lowered.arrays["multiplier"]).astype("int32")

    def call_arguments(
        self, node: Node, buffers: Buffers, types: Sequence[TensorType]
    ) -> tuple[str, ...]:
        return buffers.inputs[0], buffers.output
