"""Which form of each integer operator a firmware uses; the defaults are what measuring favours."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from mcuformer.subnet import Activation
from mcuformer.value import Value

SoftmaxForm = Literal["table", "polynomial", "shift"]
SOFTMAX_FORMS: tuple[SoftmaxForm, ...] = get_args(SoftmaxForm)  # the C struct holds the index
SQRT_STEPS = {"newton4": 4, "newton3": 3, "exact": 0}


class Passes(Value):
    """Memory schedules, each a pass that can be switched off (DESIGN.md, "Memory schedules").

    Args:
        integrate_operators: GELU and the residual addition in the epilogue of the layer before.
        overwrite_tokens: an output takes the place of an input that dies with it, token by token.
        stream_tokens: attention and MLP of a block a tile of tokens at a time, in place.
        merge_low_rank: two factors become one dense matrix where that is not larger. The float
            network stays the same, its integers do not.
        input: the whole image lies in the arena, or the application hands over its rows.
    """

    integrate_operators: bool = True
    overwrite_tokens: bool = True
    stream_tokens: bool = True
    merge_low_rank: bool = False
    input: Literal["image", "strip"] = "image"


class Forms(Value):
    """Operator forms, and the schedule they run in.

    Args:
        gelu: a table of all 256 inputs; the paper's ``x sigmoid(1.702 x)``; I-BERT's polynomial.
        softmax: the exponential by table, by I-BERT's polynomial or by I-ViT's shifts.
        attention_weights: unnormalised with 15 bits, or normalised to int8 before A*V.
        sqrt: the paper's 4 or 3 Newton steps, or I-BERT's stopping rule.
        residual: width of the residual stream.
        low_rank: width of what lies between two factors.
        patch_kernel: side of the passes that the patch embedding is decomposed into; null is whole.
        passes: of the memory schedule.
    """

    gelu: Literal["table", "sigmoid", "polynomial"] = "table"
    softmax: SoftmaxForm = "table"
    attention_weights: Literal["uint15", "int8"] = "uint15"
    sqrt: Literal["newton4", "newton3", "exact"] = "newton4"
    residual: Literal["int8", "int16"] = "int8"
    low_rank: Literal["int8", "int16"] = "int8"
    patch_kernel: Annotated[int, Field(gt=0)] | None = None
    passes: Passes = Passes()

    def activation(self, name: Activation) -> str:
        """Return the operator that computes an MLP's activation; GELU has several forms."""
        form = {"gelu": self.gelu}.get(name, "table")
        return name if form == "table" else f"{name}_{form}"

    @property
    def arithmetic(self) -> Forms:
        """The forms without what changes no integer: equal where two networks compute the same."""
        passes = Passes(merge_low_rank=self.passes.merge_low_rank)
        return self.model_copy(update={"passes": passes, "patch_kernel": None})


DEFAULT_FORMS = Forms()
