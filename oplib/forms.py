"""Forms of the integer operators, and memory passes; the defaults are those that measured best."""

from __future__ import annotations

from typing import Literal, get_args

from mcuformer.limits import PatchSize
from mcuformer.subnet import Activation
from mcuformer.value import Value

SoftmaxForm = Literal["table", "polynomial", "shift"]
SOFTMAX_FORMS: tuple[SoftmaxForm, ...] = get_args(SoftmaxForm)  # C knows a form by its index
SQRT_STEPS = {"newton4": 4, "newton3": 3, "exact": 0}


class Passes(Value):
    """Memory passes, which can be switched off one by one (DESIGN.md, "Memory schedules").

    Args:
        integrate_operators: whether activation and residual addition run in the epilogue of the
            layer before.
        overwrite_tokens: whether an output takes the place of an input that dies with it.
        stream_tokens: whether a block's attention and MLP run in place, a tile of tokens at a time,
            and a convolutional tokenizer row by row.
        merge_low_rank: whether two factors become one dense matrix where that is not larger. The
            float network stays the same, its integers do not.
        input: ``image`` keeps the whole image in the arena; with ``strip`` the application supplies
            its rows strip by strip.
    """

    integrate_operators: bool = True
    overwrite_tokens: bool = True
    stream_tokens: bool = True
    merge_low_rank: bool = False
    input: Literal["image", "strip"] = "image"


class Forms(Value):
    """Forms of the integer operators, and the memory passes.

    Args:
        gelu: GELU by a table of all 256 inputs, by the paper's ``x sigmoid(1.702 x)`` or by
            I-BERT's polynomial.
        softmax: the exponential by a table, by I-BERT's polynomial or by I-ViT's shifts.
        attention_weights: softmax weights of 15 bits, unnormalised, or normalised to int8 before
            they multiply the values.
        sqrt: the square root by the paper's 4 or 3 Newton steps, or by I-BERT's stopping rule.
        residual: type of the residual stream.
        low_rank: type of the tensor between two factors.
        patch_kernel: side in pixels of the passes that the patch embedding is decomposed into; null
            computes whole patches.
        passes: the memory passes that are on.
    """

    gelu: Literal["table", "sigmoid", "polynomial"] = "table"
    softmax: SoftmaxForm = "table"
    attention_weights: Literal["uint15", "int8"] = "uint15"
    sqrt: Literal["newton4", "newton3", "exact"] = "newton4"
    residual: Literal["int8", "int16"] = "int8"
    low_rank: Literal["int8", "int16"] = "int8"
    patch_kernel: PatchSize | None = None
    passes: Passes = Passes()

    def activation(self, name: Activation) -> str:
        """Return the operator of an MLP's activation; a field of its name chooses its form."""
        form: str = getattr(self, name, "table")
        return name if form == "table" else f"{name}_{form}"

    @property
    def arithmetic(self) -> Forms:
        """The forms without the settings that change no integer; equal ones give equal integers."""
        passes = Passes(merge_low_rank=self.passes.merge_low_rank)
        return self.model_copy(update={"passes": passes, "patch_kernel": None})


DEFAULT_FORMS = Forms()
