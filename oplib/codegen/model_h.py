"""Generate ``model.h``: how an image must look, and what to call."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from mcuformer.data.preprocessing import Preprocessing
from oplib.network.reference import IntegerModel
from oplib.ops.registry import OPERATORS
from oplib.plan.arena import Plan
from oplib.plan.schedule import Schedule


def c_string(text: str) -> str:
    """Return a C string literal; letters beyond ASCII become octal escapes of their UTF-8 bytes."""
    escaped = []
    for byte in text.encode():
        char = chr(byte)
        plain = " " <= char <= "~" and char not in '"\\?'
        escaped.append(char if plain else f"\\{byte:03o}")
    return '"' + "".join(escaped) + '"'


IMAGE_INPUT = (
    "/* Where to write the image: MODEL_INPUT_BYTES bytes. model_run() overwrites them. */",
    "uint8_t *model_input(void);",
)
STRIP_INPUT = (
    "/* The image is fetched in strips by a function of the application. model_run() calls it for",
    " * rows [first, first + count), each once and in order; it writes them at rows. */",
    "#define MODEL_FETCHES_ROWS 1",
    "#define MODEL_ROW_BYTES (MODEL_IMG_SIZE * MODEL_IN_CHANS)",
    "void model_fetch_rows(uint8_t *rows, int32_t first, int32_t count);",
)


def fetches_image(scheduled: Schedule) -> bool:
    """Return whether the firmware asks the application for the image, strip by strip."""
    return any(OPERATORS[node.op].fetches_image for node in scheduled.calls.nodes)


def emit_header(
    model: IntegerModel,
    scheduled: Schedule,
    class_names: Sequence[str],
    weights: bytes,
    head: Sequence[str],
) -> str:
    """Emit the public header: the network's input, output and memory.

    Args:
        model: integer network.
        scheduled: calls of the network and their memory plan.
        class_names: name of each logit's class.
        weights: bytes of the constants in flash.
        head: comment at the top.
    """
    graph, pre = model.graph, model.preprocessing
    return "\n".join(
        [
            *head,
            "#ifndef MODEL_H",
            "#define MODEL_H",
            "",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *_preprocessing_lines(pre),
            f"#define MODEL_IMG_SIZE {pre.img_size}",
            f"#define MODEL_IN_CHANS {pre.in_chans}",
            f"#define MODEL_CHANNEL_ORDER {c_string(pre.channel_order)}",
            f"#define MODEL_VALUE_MAX {pre.value_max}",
            f"#define MODEL_INPUT_BYTES {graph.tensors[graph.input].num_bytes}",
            "",
            f"#define MODEL_NUM_CLASSES {graph.tensors[graph.output].size}",
            "#define MODEL_CLASS_NAMES { \\",
            *(f"    {c_string(name)}, \\" for name in class_names),
            "}",
            "",
            *_memory_lines(scheduled.plan),
            *_weights_lines(weights),
            *(STRIP_INPUT if fetches_image(scheduled) else IMAGE_INPUT),
            "",
            "/* Run the network; return MODEL_NUM_CLASSES logits, valid until the next image. */",
            "const int32_t *model_run(void);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif",
            "",
        ]
    )


def _memory_lines(plan: Plan) -> list[str]:
    """Return the declarations of the arena and, if there is one, of the fast arena."""
    fast = [
        "/* The rest of it, in a region close to the core, which no DMA has to reach. */",
        f"#define MODEL_FAST_ARENA_BYTES {plan.fast_bytes}",
        "extern uint8_t model_fast_arena[MODEL_FAST_ARENA_BYTES];",
        "",
    ]
    part = "Working memory" if plan.fast_bytes else "All working memory"
    return [
        f"/* {part}; it holds the logits, and the image unless that is fetched. */",
        f"#define MODEL_ARENA_BYTES {plan.arena_bytes}",
        "extern uint8_t model_arena[MODEL_ARENA_BYTES];",
        "",
        *(fast if plan.fast_bytes else []),
    ]


def _weights_lines(weights: bytes) -> list[str]:
    """Return the CRC-32 of the weights (polynomial 0xedb88320, as in zlib) and its check."""
    return [
        "/* Weights may be flashed apart from the code. This returns 1 if they are those that it",
        " * was generated for, 0 if a byte differs. model_run() does not ask. */",
        f"#define MODEL_WEIGHTS_CRC32 {crc32(weights):#010x}u",
        "int32_t model_weights_match(void);",
        "",
    ]


def _preprocessing_lines(pre: Preprocessing) -> list[str]:
    """Return the comment that says how a picture becomes the image, as it did for training."""
    means = ", ".join(f"{value:g}" for value in pre.mean)
    stds = ", ".join(f"{value:g}" for value in pre.std)
    channels = {
        "L": "grey, (19595 red + 38470 green + 7471 blue + 32768) >> 16",
        "RGB": "red, green, blue",
    }
    crops = {
        "center": "Cut out the square of its shorter side in the centre.",
        "stretch": "Do not crop: a picture that is not square is stretched.",
    }
    top = pre.value_max
    ranges = (
        [] if top == 255 else [f"Bring values from 0..255 to 0..{top}: round(v * {top} / 255)."]
    )
    steps = [
        "Turn it upright (EXIF orientation) and put transparent parts on white.",
        f"Make its channels {channels[pre.channel_order]}, of 8 bits each.",
        *ranges,
        crops[pre.crop],
        f"Resize it to {pre.img_size} x {pre.img_size}, antialiased {pre.resize} as in Pillow.",
    ]
    return [
        "/* The image: raw pixels (uint8), rows from the top, the channels of a pixel together.",
        " * How a picture became an image for training:",
        *(f" *   {number}. {step}" for number, step in enumerate(steps, 1)),
        " * Do not normalise: the first layer does, (pixel / MODEL_VALUE_MAX - mean) / std with",
        f" * mean {{{means}}} and std {{{stds}}}. */",
    ]
