"""Every form of every operator: error against exact arithmetic, instructions, accuracy.

    python tools/compare_operators.py [--run runs/demo] [--json] [--markdown]

Errors are those of the form itself, before its output is rounded to int8 (GELU over [-4, 4],
exponentials over [0, 16], roots relative to the exact one), or in steps of the int8 output (layer
norm, linear layers, patch embedding). Instructions are counted on an emulated Cortex-M7, by calling
a kernel twice in a network of 17 tokens with 48 channels. --run adds the int8 accuracy of that
run's network on the test part under each form.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tool
from compare_quantization import read_run
from tool import Parser, Table

from mcuformer.data.preprocessing import Preprocessing
from mcuformer.device import Device
from mcuformer.run.presets import load
from mcuformer.run.progress import track
from mcuformer.subnet import SubnetConfig, build_block
from oplib.codegen.component import Component
from oplib.forms import SQRT_STEPS, Forms, Passes
from oplib.network.reference import run_integer
from oplib.network.vit import float_model, random_weights
from oplib.ops.gelu import Gelu, GeluPolynomial, GeluSigmoid
from oplib.ops.layer_norm import isqrt
from oplib.ops.softmax import (
    NORMALIZED_SUM,
    ONE,
    SoftmaxAttributes,
    exp2_polynomial,
    exp_shift,
    exp_table,
    softmax_weights,
)
from oplib.plan.schedule import schedule
from oplib.quantize.lower import quantize
from oplib.target import host, qemu
from oplib.target.firmware import COMPONENT, write_firmware

PRE = Preprocessing(img_size=16, channel_order="RGB", mean=(0.5,) * 3, std=(0.25,) * 3)
BLOCK = build_block(3, 16, 2.0)
PLAIN: dict[str, Any] = {
    "img_size": 16,
    "patch_size": 4,
    "in_chans": 3,
    "num_classes": 10,
    "embed_dim": 48,
    "blocks": [BLOCK.dump()],
    "class_token": True,
    "rank_ratio": 0.5,
}
GELU_SCALE, SCORE_SCALE = 4 / 127, 16 / 255


@dataclass(frozen=True)
class Case:
    """One form of an operator.

    Args:
        operator: name of the operator in the result.
        form: name of the form in the result.
        kernel: C function to call twice.
        elements: number of elements that the kernel computes in a subnet.
        forms: settings that switch the form on.
        change: fields of the subnet that the form needs.
        node: end of the name of the node to measure.
        error: returns largest and mean error of the form; None measures the node's output.
    """

    operator: str
    form: str
    kernel: str
    elements: Callable[[SubnetConfig], int]
    forms: dict[str, Any]
    change: dict[str, Any]
    node: str
    error: Callable[[], tuple[float, float]] | None = None


def relative(got: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Return the largest and mean relative error."""
    error = np.abs(got - exact) / exact
    return float(error.max()), float(error.mean())


def absolute(got: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Return the largest and mean error."""
    error = np.abs(got - exact)
    return float(error.max()), float(error.mean())


def gelu_error(form: GeluSigmoid | GeluPolynomial | None) -> tuple[float, float]:
    """Return the errors of a form of GELU over [-4, 4]; None is the table, which is exact."""
    if form is None:
        return 0.0, 0.0
    t = np.arange(-127, 128)
    factor = round(GELU_SCALE * form.input_factor * 2**16)
    got = t * GELU_SCALE * form.factor(np.abs(t) * factor, t < 0) / 2**form.bits
    return absolute(got, Gelu().real(t * GELU_SCALE))


def exponential_error(form: str) -> tuple[float, float]:
    """Return the errors of e^-x over [0, 16]."""
    d = np.arange(256)
    exact = np.exp(-d * SCORE_SCALE)
    if form == "table":
        return absolute(exp_table(SCORE_SCALE) / ONE, exact)
    scale = SCORE_SCALE * (np.log2(np.e) if form == "polynomial" else 1.0)
    function = exp2_polynomial if form == "polynomial" else exp_shift
    return absolute(function(d * round(scale * 2**16)) / ONE, exact)


def normalized_error() -> tuple[float, float]:
    """Return the errors of a softmax normalised to int8, over random rows of 17 scores."""
    codes = np.random.default_rng(0).integers(-128, 128, (10_000, 17)).astype(np.int8)
    arrays = {"exp_table": exp_table(SCORE_SCALE)}
    weights, _ = softmax_weights(SoftmaxAttributes(normalized=True), codes, arrays, 0)
    exact = np.exp((codes - codes.max(axis=1, keepdims=True).astype(np.float64)) * SCORE_SCALE)
    return absolute(weights / NORMALIZED_SUM, exact / exact.sum(axis=1, keepdims=True))


def root_error(form: str) -> tuple[float, float]:
    """Return the relative errors of the square root over the range of layer norm."""
    numbers = np.random.default_rng(0).integers(2**30, 2**32, 10**6)
    return relative(isqrt(numbers, SQRT_STEPS[form]), np.sqrt(numbers))


def scores(subnet: SubnetConfig) -> int:
    """Return the number of scores of all heads and queries."""
    return BLOCK.num_heads * subnet.num_tokens**2


def tokens(width: int) -> Callable[[SubnetConfig], int]:
    """Return a function that counts the elements of tokens with `width` channels."""
    return lambda subnet: subnet.num_tokens * width


CONV = {"tokenizer": "conv2", "stem_dim": 8}
CASES = [
    Case("gelu", "table", "oplib_table_s8", tokens(96), {}, {}, "act", lambda: gelu_error(None)),
    Case(
        "gelu",
        "sigmoid",
        "oplib_gelu_sigmoid_s8",
        tokens(96),
        {"gelu": "sigmoid"},
        {},
        "act",
        lambda: gelu_error(GeluSigmoid()),
    ),
    Case(
        "gelu",
        "polynomial",
        "oplib_gelu_polynomial_s8",
        tokens(96),
        {"gelu": "polynomial"},
        {},
        "act",
        lambda: gelu_error(GeluPolynomial()),
    ),
    *(
        Case(
            "softmax",
            form,
            "oplib_softmax_s8",
            scores,
            {"softmax": form},
            {},
            "attn",
            partial(exponential_error, form),
        )
        for form in ("table", "polynomial", "shift")
    ),
    Case(
        "softmax",
        "table, normalised to int8",
        "oplib_softmax_s8",
        scores,
        {"attention_weights": "int8"},
        {},
        "attn",
        normalized_error,
    ),
    *(
        Case(
            "layer_norm",
            form,
            "oplib_layer_norm_s8",
            tokens(48),
            {"sqrt": form},
            {},
            "norm1",
            partial(root_error, form),
        )
        for form in SQRT_STEPS
    ),
    Case(
        "layer_norm",
        "int16",
        "oplib_layer_norm_s16",
        tokens(48),
        {"residual": "int16"},
        {},
        "norm1",
    ),
    Case("add", "int8", "oplib_add_s8", tokens(48), {}, {}, "attn.add"),
    Case("add", "int16", "oplib_add_s16", tokens(48), {"residual": "int16"}, {}, "attn.add"),
    Case("linear", "int8", "oplib_linear_s8", tokens(48), {}, {}, "attn.proj"),
    Case(
        "linear", "to int16", "oplib_linear_s8_s16", tokens(24), {"low_rank": "int16"}, {}, "fc1.v"
    ),
    Case(
        "linear", "from int16", "oplib_linear_s16_s8", tokens(96), {"low_rank": "int16"}, {}, "fc1"
    ),
    Case("patch_embed", "whole", "oplib_patch_embed_s8", tokens(48), {}, {}, "patch_embed"),
    *(
        Case(
            "patch_embed",
            f"passes of {side} x {side}",
            "oplib_patch_embed_passes_s8",
            tokens(48),
            {"patch_kernel": side},
            {},
            "patch_embed",
        )
        for side in (1, 2, 4)
    ),
    Case("conv_pool", "3 x 3", "oplib_conv_pool_s8", lambda s: 4 * 4 * 48, {}, CONV, "convs.1"),
    Case("attention", "plain", "oplib_attention_s8", tokens(48), {}, {}, "attn"),
    Case(
        "attention",
        "relative position",
        "oplib_attention_relative_s8",
        tokens(48),
        {},
        {"relative_position": 3},
        "attn",
    ),
    Case("mean_pool", "int8", "oplib_mean_pool_s8", tokens(48), {}, {}, "pool"),
]


APART = Passes(stream_tokens=False, integrate_operators=False)  # one kernel per operator


def measure(case: Case, device: Device) -> dict[str, Any]:
    """Export the small network with a form, compare it and count the kernel's instructions."""
    subnet, forms = SubnetConfig.parse(PLAIN | case.change), Forms(**case.forms, passes=APART)
    rng = np.random.default_rng(0)
    weights = random_weights(subnet, rng)
    images = rng.integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    floating = float_model(subnet, weights, PRE, "random weights", forms)
    integer = quantize(floating, images)
    scheduled = schedule(subnet, forms)
    expected = run_integer(integer, images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [str(label) for label in range(10)]
        write_firmware(folder, Component(integer, scheduled, device, names))
        library = host.build(folder, folder / "host")
        exact = bool(np.array_equal(host.run_images(library, images, 10), expected))
        counts: list[np.ndarray] = []
        for _ in range(2):
            elf = qemu.build(folder, folder / "emulated")
            result = qemu.run_images(elf, device, images[:4], 10)
            if not counts:
                exact &= bool(np.array_equal(result.logits, expected[:4]))
            counts.append(result.instructions)
            repeat(case, folder / COMPONENT)
    instructions = float(np.mean(counts[1] - counts[0]))
    error = error_in_steps(case, floating, integer, images) if case.error is None else case.error()
    return {
        "operator": case.operator,
        "form": case.form,
        "max_error": error[0],
        "mean_error": error[1],
        "instructions_per_element": instructions / case.elements(subnet),
        "bit_exact": exact,
    }


def repeat(case: Case, firmware: Path) -> None:
    """Make the generated C, or for the softmax the attention kernel, call a kernel twice."""
    if case.kernel == "oplib_softmax_s8":
        source = firmware / "oplib" / "src" / "tile_attention_rows_s8.c"
        text = source.read_text()
        start = text.index("    oplib_tile_softmax_s8(")
        call = text[start : text.index(";", start) + 1]
        source.write_text(text.replace(call, f"{call}\n{call}"))
        return
    source = firmware / "model.c"
    text = source.read_text()
    for call in re.findall(rf"^    {case.kernel}\([^;]*;\n", text, re.MULTILINE):
        if call.rstrip(");\n").endswith(c_suffix(case.node)):
            text = text.replace(call, call + call)
    source.write_text(text)


def c_suffix(node: str) -> str:
    """Return the end of a node's name as it appears in C."""
    return node.replace(".", "_")


def error_in_steps(
    case: Case, floating: Any, integer: Any, images: np.ndarray
) -> tuple[float, float]:
    """Return the errors of a node's output, in its steps, for the integer network's inputs."""
    from oplib.ops.registry import OPERATORS

    node = next(n for n in integer.graph.nodes if n.name.endswith(case.node))
    codes: dict[str, np.ndarray] = {integer.graph.input: images}
    run_integer(integer, images, lambda name, values: codes.update({name: values}))
    real = [
        integer.preprocessing.normalize(codes[name])
        if name == integer.graph.input
        else integer.quant[name].dequantize(codes[name]).astype(np.float32)
        for name in node.inputs
    ]
    exact = OPERATORS[node.op].run_float(node, floating.params.get(node.name, {}), real)
    quant = integer.quant[node.output]
    return absolute(codes[node.output], exact / quant.scale + quant.zero_point)


def accuracies(run: Path) -> dict[str, float]:
    """Return the test accuracy of a run's network under every form, by ``operator form``."""
    network, data = read_run(run)
    percent = {}
    for case in CASES:
        kernel = case.forms.get("patch_kernel")
        if case.change or (kernel is not None and network.subnet.patch_size % kernel):
            continue
        model = network.float_model(data.preprocessing, Forms(**case.forms))
        integer = quantize(model, data.steering.images[:256])
        logits = run_integer(integer, data.test.images[:])
        accuracy = float((logits.argmax(axis=1) == data.test.labels).mean())
        percent[f"{case.operator} {case.form}"] = round(100 * accuracy, 4)
    return percent


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every form."""
    known = {} if options.run is None else accuracies(options.run)
    device = load("device", "stm32f746", Device)
    rows = [measure(case, device) for case in track(CASES, "forms")]
    for row in rows:
        row["accuracy_percent"] = known.get(f"{row['operator']} {row['form']}")
    return {"forms": rows}


def tables(result: dict[str, Any]) -> list[Table]:
    """Return a row per form."""
    header = ("operator", "form", "largest error", "mean error", "instructions", "= numpy", "int8")
    rows = [
        (
            row["operator"],
            row["form"],
            f"{row['max_error']:.2g}",
            f"{row['mean_error']:.2g}",
            f"{row['instructions_per_element']:.1f}",
            "yes" if row["bit_exact"] else "NO",
            "" if row["accuracy_percent"] is None else f"{row['accuracy_percent']:.2f} %",
        )
        for row in result["forms"]
    ]
    return [Table(header, rows, words=2)]


def main() -> int:
    """Run the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--run", type=Path, help="a finished run directory, for accuracies")
    return tool.run(
        parser,
        compare,
        tables,
        wrong=lambda result: not all(row["bit_exact"] for row in result["forms"]),
    )


if __name__ == "__main__":
    raise SystemExit(main())
