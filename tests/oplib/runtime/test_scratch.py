"""The headers' scratch functions give the bytes that the planner reserves."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.subnet import SubnetConfig
from oplib.codegen.model_c import emit_structs
from oplib.codegen.names import Names
from oplib.codegen.weights_c import c_name, emit_weights_header
from oplib.forms import Forms
from oplib.graph import Graph, Node
from oplib.ops.registry import OPERATORS
from oplib.plan.param_structs import call_structs
from oplib.plan.schedule import schedule

INCLUDE = Path(__file__).resolve().parents[3] / "oplib" / "runtime" / "include"
LINEAR = "oplib_linear_s8_scratch_bytes({panel}, &{params})"
WITH_TOKENS = "{kernel}_scratch_bytes({tokens}, &{params})"
TOKENIZER = "oplib_conv_tokens_scratch_bytes({fetches}, {params}.conv0, {params}.conv1)"
PLAIN = "{kernel}_scratch_bytes(&{params})"
BLOCK_BYTES = "oplib_attention_block_s8_scratch_bytes({tokens}, &{params})"
EXPRESSIONS = {
    "oplib_attention_block_s8": BLOCK_BYTES,
    "oplib_attention_relative_block_s8": BLOCK_BYTES,
    "oplib_attention_relative_s8": WITH_TOKENS,
    "oplib_attention_s8": WITH_TOKENS,
    "oplib_conv_pool_s8": PLAIN,
    "oplib_conv_tokens_s16": TOKENIZER,
    "oplib_conv_tokens_s8": TOKENIZER,
    "oplib_linear_add_s8": "oplib_linear_add_s8_scratch_bytes({panel}, &{params})",
    "oplib_linear_s16_s8": LINEAR,
    "oplib_linear_s8": LINEAR,
    "oplib_linear_s8_s16": LINEAR,
    "oplib_mlp_block_s8": PLAIN,
    "oplib_patch_embed_passes_s16": PLAIN,
    "oplib_patch_embed_passes_s8": PLAIN,
    "oplib_patch_embed_passes_strips_s8": PLAIN,
    "oplib_patch_embed_s8": PLAIN,
    "oplib_patch_embed_strips_s8": PLAIN,
}
# the offsets that the planner stores are those that the header's layout gives
ATTENTION_LAYOUT = """
    {{
        oplib_attention_block_s8_params copy = {params};
        copy.keys_offset = copy.values_offset = copy.vectors_offset = copy.slots_offset = -1;
        copy.queries_offset = copy.work_offset = copy.outputs_offset = -1;
        oplib_attention_block_s8_lay_out({tokens}, &copy);
        if (memcmp(&copy, &{params}, sizeof copy) != 0)
            return 1;
    }}"""
LAYOUTS = {
    "oplib_attention_block_s8": ATTENTION_LAYOUT,
    "oplib_attention_relative_block_s8": ATTENTION_LAYOUT,
    "oplib_mlp_block_s8": """
    if (oplib_mlp_block_s8_hidden_offset(&{params}) != {params}.hidden_offset)
        return 1;""",
}


def with_scratch(calls: Graph) -> list[Node]:
    return [n for n in calls.nodes if OPERATORS[n.op].scratch_bytes(n, calls.inputs_of(n)) > 0]


def scratch_in_c(subnet: SubnetConfig, forms: Forms, limit: int | None, place: Path) -> list[int]:
    """Return what a C program with the network's parameter structs computes for each call."""
    scheduled = schedule(subnet, forms, limit)
    lines = []
    for node in with_scratch(scheduled.calls):
        kernel = OPERATORS[node.op].kernel
        tokens = scheduled.calls.tensors[node.output].shape[0]
        params = c_name(call_structs(scheduled.calls, node, {})[-1].node.name)
        panel = getattr(node.attrs, "panel", None)
        names = {"kernel": kernel, "params": params, "tokens": tokens, "panel": panel}
        names["fetches"] = int(OPERATORS[node.op].fetches_image)
        lines.append(LAYOUTS.get(kernel, "").format(**names))
        lines.append(f'    printf("%d\\n", (int){EXPRESSIONS[kernel].format(**names)});')
    kernels = {operator.panel_kernel for operator in OPERATORS.values()} - {None}
    unlinked = [f"#define {kernel} NULL" for kernel in sorted(kernels)]
    structs = emit_structs(scheduled.calls, {}, Names())
    weights = emit_weights_header(scheduled, Names(), [])
    source = place / "scratch.c"
    source.write_text(
        "\n".join(
            [
                "#include <stddef.h>\n#include <stdio.h>\n#include <string.h>",
                '#include "oplib.h"',
                weights,
                "const struct model_weights model_weights;",
                *unlinked,
                *structs,
                "int main(void)\n{",
                *lines,
                "    return 0;\n}\n",
            ]
        )
    )
    program = place / "scratch"
    flags = ["-std=c99", "-w", f"-I{INCLUDE}"]
    subprocess.run(["cc", *flags, str(source), "-o", str(program)], check=True)
    result = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    return [int(line) for line in result.stdout.split()]


def check(subnet: SubnetConfig, forms: Forms, limit: int | None) -> set[str]:
    """Compare every call of a network; return the kernels seen."""
    calls = schedule(subnet, forms, limit).calls
    nodes = with_scratch(calls)
    expected = [OPERATORS[node.op].scratch_bytes(node, calls.inputs_of(node)) for node in nodes]
    with tempfile.TemporaryDirectory() as place:
        assert scratch_in_c(subnet, forms, limit, Path(place)) == expected
    return {OPERATORS[node.op].kernel for node in nodes}


BLOCK = {"num_heads": 3, "head_dim": 8, "mlp_ratio": 1.3}
SUBNET = {
    "img_size": 8,
    "patch_size": 3,
    "in_chans": 3,
    "num_classes": 10,
    "embed_dim": 18,
    "rank_ratio": 0.5,
    "blocks": (BLOCK,),
}
LAYERS = {"stream_tokens": False}
CASES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({}, {}),
    ({}, {"passes": {"input": "strip"}}),
    ({}, {"passes": {"input": "strip"}, "patch_kernel": 1}),
    ({}, {"patch_kernel": 3, "passes": LAYERS}),
    ({}, {"residual": "int16", "low_rank": "int16", "passes": LAYERS}),
    ({"relative_position": 2}, {}),
    ({"relative_position": 1, "class_token": True}, {"passes": LAYERS}),
    ({"tokenizer": "conv1", "patch_size": 4}, {"passes": LAYERS}),
    ({"tokenizer": "conv1", "patch_size": 4}, {"passes": {"input": "strip"}}),
    ({"tokenizer": "conv2", "patch_size": 4, "stem_dim": 5}, {"residual": "int16"}),
)


@pytest.mark.usefixtures("host_tools")
def test_every_kernel_with_scratch_is_compared() -> None:
    seen = set()
    for change, forms in CASES:
        for limit in (None, 10**6):
            seen |= check(SubnetConfig.parse(SUBNET | change), Forms.parse(forms), limit)
    assert seen == set(EXPRESSIONS)


@st.composite
def networks(draw: st.DrawFn) -> tuple[SubnetConfig, Forms, int | None]:
    """Draw odd sizes in all schedules; the forms that a tokenizer does not take are left out."""
    tokenizer = draw(st.sampled_from(["patch", "patch", "conv1", "conv2"]))
    patch = draw(st.sampled_from([1, 2, 3, 4, 8])) if tokenizer == "patch" else 4
    blocks = tuple(
        {
            "num_heads": draw(st.integers(1, 4)),
            "head_dim": draw(st.sampled_from([4, 6, 8, 12])),
            "mlp_ratio": draw(st.sampled_from([0.7, 1.3, 2.9])),
        }
        for _ in range(draw(st.integers(1, 2)))
    )
    subnet = {
        "img_size": 8 if patch > 1 else 5,
        "patch_size": patch,
        "tokenizer": tokenizer,
        "stem_dim": draw(st.integers(3, 9)) if tokenizer == "conv2" else None,
        "in_chans": draw(st.sampled_from([1, 3])),
        "num_classes": 10,
        "embed_dim": draw(st.integers(9, 40)),
        "rank_ratio": draw(st.sampled_from([0.4, 0.9, 1.0])),
        "low_rank": ("qkv", "proj", "fc1", "fc2"),
        "class_token": draw(st.booleans()),
        "relative_position": draw(st.sampled_from([None, 1, 2])),
        "blocks": blocks,
    }
    residual = draw(st.sampled_from(["int8", "int8", "int16"]))
    stream = draw(st.booleans())
    whole = residual == "int16" if tokenizer == "patch" else not stream
    forms = {
        "softmax": draw(st.sampled_from(["table", "polynomial", "shift"])),
        "attention_weights": draw(st.sampled_from(["uint15", "int8"])),
        "residual": residual,
        "low_rank": draw(st.sampled_from(["int8", "int16"])),
        "patch_kernel": draw(st.sampled_from([None, 1, patch])) if tokenizer == "patch" else None,
        "passes": {
            "input": "image" if whole else draw(st.sampled_from(["image", "strip"])),
            "stream_tokens": stream,
            "integrate_operators": draw(st.booleans()),
            "overwrite_tokens": draw(st.booleans()),
        },
    }
    limit = draw(st.sampled_from([None, 2000, 10**6]))
    return SubnetConfig.parse(subnet), Forms.parse(forms), limit


@pytest.mark.usefixtures("host_tools")
@settings(max_examples=30)
@given(network=networks())
def test_headers_and_planner_agree_on_scratch(
    network: tuple[SubnetConfig, Forms, int | None],
) -> None:
    check(*network)
