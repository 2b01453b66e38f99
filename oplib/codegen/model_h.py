"""Generate a network's header: how an image must look, what to call, and what it may answer."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

from mcuformer.data.preprocessing import Preprocessing
from oplib.codegen.component import Component
from oplib.network.reference import IntegerModel
from oplib.plan.arena import Plan

STATUS = """\
/* What functions return; a value of the application's fetch_rows() is passed on as it is. */
enum @name@_status {
    @NAME@_OK = 0,
    @NAME@_NOT_YET = 1,          /* fetch_rows() said so: call @name@_run() again */
    @NAME@_NOT_INITIALISED = -1, /* @name@_init() was not called, or failed */
    @NAME@_ARENA_TOO_SMALL = -2, /* or NULL */
    @NAME@_ARENA_UNALIGNED = -3, /* its address is no multiple of 8 */
    @NAME@_OTHER_WEIGHTS = -4,   /* the weights in flash are not those of this code */
    @NAME@_WRONG_IMAGE = -5,     /* its size */
    @NAME@_NO_ROWS = -6,         /* fetch_rows is NULL */
    @NAME@_WRONG_RESULT = -7     /* of @name@_selftest() */
};
"""
CONTEXT = """\
/* All that a network remembers. It is the application's, like the arena; two of each may be in use
 * at once. Set the first members, if you need them, after @name@_init(), which sets them to NULL.
 */
struct @name@_context {
@FETCH@    /* Called after each operator with its number: for a watchdog, a scheduler, a profile. */
    void (*hook)(void *user, int32_t call);
    void *user; /* passed to @USERS@ */

    /* private */
    uint8_t *arena;
@FAST@@IMAGE@    int32_t state;
};
"""
FETCH = """\
    /* Write rows [first, first + count) of the image to `rows`, @NAME@_ROW_BYTES each. Every row is
     * asked for once and in order. Return @NAME@_OK; or @NAME@_NOT_YET, and the same rows are asked
     * for at the same place when @name@_run() is called again, which keeps what was written there;
     * or a negative value of your own, -100 or less, which ends the image. */
    int32_t (*fetch_rows)(void *user, uint8_t *rows, int32_t first, int32_t count);
"""
INIT = """\
/* Check the arena, and the weights by their CRC-32, which reads all of them once. The arena has to
 * stay as it is while an image is computed; between images it is free for anything. */
int32_t @name@_init(struct @name@_context *context, void *arena, size_t arena_bytes@FAST@);
"""
WHOLE_IMAGE = """\
/* Where to write the image, @NAME@_INPUT_BYTES; @name@_run() overwrites it. */
uint8_t *@name@_input(const struct @name@_context *context);

/* Copy an image there. */
int32_t @name@_set_image(const struct @name@_context *context, const void *pixels, size_t bytes);

/* Run the network on the image. */
int32_t @name@_run(struct @name@_context *context);
"""
STRIPS = """\
/* Run the network on the image whose rows fetch_rows() supplies. */
int32_t @name@_run(struct @name@_context *context);

/* The same, with rows from another function. */
int32_t @name@_run_on(struct @name@_context *context,
                      int32_t (*fetch_rows)(void *user, uint8_t *rows, int32_t first,
                                            int32_t count),
                      void *user);

/* Drop an image that was begun, after @NAME@_NOT_YET. */
void @name@_restart(struct @name@_context *context);
"""
RESULTS = """\
/* The @NAME@_NUM_CLASSES logits, valid after @NAME@_OK until the next image. */
const int32_t *@name@_logits(const struct @name@_context *context);

/* The index of the largest logit. */
int32_t @name@_class(const struct @name@_context *context);
"""
PICTURES = """\
/* Rows [first, first + count) of the image from a picture in memory, by steps 2 to @STEPS@ above.
 * For a whole image count is @NAME@_IMG_SIZE. @NAME@_WRONG_IMAGE: a side is not 1 to 4,096, or the
 * image has no such rows. */
int32_t @name@_rows_from_rgb888(uint8_t *rows, int32_t first, int32_t count, const uint8_t *pixels,
                                int32_t width, int32_t height);
int32_t @name@_rows_from_rgb565(uint8_t *rows, int32_t first, int32_t count, const uint16_t *pixels,
                                int32_t width, int32_t height);
"""
TESTS = """\
/* Run a picture made of numbers and the built-in images, and compare every logit with the
 * reference's. Images and test are linked only if a function here is called. */
int32_t @name@_selftest(struct @name@_context *context);

/* A built-in image of @NAME@_INPUT_BYTES, its logits by the reference, and its true class. */
const uint8_t *@name@_test_image(int32_t index);
const int32_t *@name@_test_logits(int32_t index);
int32_t @name@_test_label(int32_t index);
"""


def c_string(text: str) -> str:
    """Return a C string literal; letters beyond ASCII become octal escapes of their UTF-8 bytes."""
    escaped = []
    for byte in text.encode():
        char = chr(byte)
        plain = " " <= char <= "~" and char not in '"\\?'
        escaped.append(char if plain else f"\\{byte:03o}")
    return '"' + "".join(escaped) + '"'


def emit_header(component: Component, weights: bytes, digest: str) -> str:
    """Emit the public header: the network's input, output and memory.

    Args:
        component: the network.
        weights: bytes of the constants in flash.
        digest: what tells this network from every other one.
    """
    model, plan = component.model, component.scheduled.plan
    fetches = component.fetches
    lines = [
        *component.heading,
        "#ifndef @NAME@_H",
        "#define @NAME@_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        *(["", '#include "oplib_rows.h"'] if fetches else []),
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        *_preprocessing_lines(model.preprocessing),
        *_image_lines(model),
        f"#define @NAME@_FETCHES_ROWS {int(fetches)} /* whether fetch_rows() supplies the image */",
        "",
        *_class_lines(component),
        *_memory_lines(plan),
        *_identity_lines(component, weights, digest),
        *_call_names(component),
        *_functions(component).splitlines(),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return component.names.fill("\n".join(lines))


def _functions(component: Component) -> str:
    """Return what an application calls."""
    fetches, fast = component.fetches, component.scheduled.plan.fast_bytes > 0
    arguments = ",\n                    void *fast_arena, size_t fast_arena_bytes" if fast else ""
    parts = {
        "@FETCH@": FETCH if fetches else "",
        "@USERS@": "both" if fetches else "the hook",
        "@STEPS@": str(len(steps(component.model.preprocessing))),
        "@IMAGE@": "    oplib_image_rows image;\n" if fetches else "",
    }
    texts = (
        STATUS,
        CONTEXT.replace("@FAST@", "    uint8_t *fast_arena;\n" if fast else ""),
        INIT.replace("@FAST@", arguments),
        STRIPS if fetches else WHOLE_IMAGE,
        RESULTS,
        PICTURES,
        TESTS,
    )
    text = "\n".join(texts)
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _image_lines(model: IntegerModel) -> Iterator[str]:
    """Yield the macros that describe the image."""
    pre, graph = model.preprocessing, model.graph
    for name, value in (
        ("IMG_SIZE", pre.img_size),
        ("IN_CHANS", pre.in_chans),
        ("CHANNEL_ORDER", c_string(pre.channel_order)),
        ("VALUE_MAX", pre.value_max),
        ("CROP", c_string(pre.crop)),
        ("RESIZE", c_string(pre.resize)),
        ("INPUT_BYTES", graph.tensors[graph.input].num_bytes),
        ("ROW_BYTES", "(@NAME@_IMG_SIZE * @NAME@_IN_CHANS)"),
    ):
        yield f"#define @NAME@_{name} {value}"


def _class_lines(component: Component) -> Iterator[str]:
    """Yield the macros that describe the logits."""
    graph = component.model.graph
    scale = component.model.quant[graph.output].scale
    yield f"#define @NAME@_NUM_CLASSES {graph.tensors[graph.output].size}"
    yield "#define @NAME@_CLASS_NAMES { \\"
    yield from (f"    {c_string(name)}, \\" for name in component.class_names)
    yield "}"
    yield f"#define @NAME@_LOGIT_SCALE {scale:.9g}f /* the real logit per unit of an integer one */"
    yield ""


def _memory_lines(plan: Plan) -> Iterator[str]:
    """Yield the sizes of the arena and of the fast arena, which may be 0."""
    part = "Working memory" if plan.fast_bytes else "All working memory"
    yield f"/* {part}; it holds the logits, and the image unless that is fetched. */"
    yield f"#define @NAME@_ARENA_BYTES {plan.arena_bytes}"
    if plan.fast_bytes:
        yield "/* The rest of it, in a region close to the core, which no DMA has to reach. */"
    yield f"#define @NAME@_FAST_ARENA_BYTES {plan.fast_bytes}"
    yield "#define @NAME@_ALIGNED __attribute__((aligned(8))) /* of both */"
    yield ""


def _identity_lines(component: Component, weights: bytes, digest: str) -> Iterator[str]:
    """Yield the macros that tell this network from every other one."""
    yield "/* Weights may be flashed apart from the code: @name@_init() compares their CRC-32"
    yield " * (polynomial 0xedb88320, as in zlib). The digest is the SHA-256 of calls and weights."
    yield " */"
    yield f"#define @NAME@_WEIGHTS_BYTES {len(weights)}"
    yield f"#define @NAME@_WEIGHTS_CRC32 {crc32(weights):#010x}u"
    yield "#define @NAME@_DIGEST \\"
    yield f"    {c_string(digest)}"
    yield f"#define @NAME@_DEVICE {c_string(component.device.name)}"
    count = 0 if component.tests is None else len(component.tests.images)
    yield f"#define @NAME@_TEST_IMAGES {count} /* built in for @name@_selftest() */"
    yield ""


def _call_names(component: Component) -> Iterator[str]:
    """Yield the names of the operators, by the number that the hook receives."""
    nodes = component.scheduled.calls.nodes
    yield f"#define @NAME@_NUM_CALLS {len(nodes)}"
    yield "#define @NAME@_CALL_NAMES { \\"
    yield from (f"    {c_string(node.name)}, \\" for node in nodes)
    yield "}"
    yield ""


def steps(pre: Preprocessing) -> list[str]:
    """Return how a picture became an image for training, step by step, in words."""
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
    return [
        "Turn it upright (EXIF orientation) and put transparent parts on white.",
        f"Make its channels {channels[pre.channel_order]}, of 8 bits each.",
        *ranges,
        crops[pre.crop],
        f"Resize it to {pre.img_size} x {pre.img_size}, antialiased {pre.resize} as in Pillow, "
        "its columns before its rows.",
    ]


def _preprocessing_lines(pre: Preprocessing) -> list[str]:
    """Return the comment that says how a picture becomes the image, as it did for training."""
    means = ", ".join(f"{value:g}" for value in pre.mean)
    stds = ", ".join(f"{value:g}" for value in pre.std)
    return [
        "/* The image: raw pixels (uint8), rows from the top, the channels of a pixel together.",
        " * How a picture became an image for training:",
        *(f" *   {number}. {step}" for number, step in enumerate(steps(pre), 1)),
        " * Do not normalise: the first layer does, (pixel / @NAME@_VALUE_MAX - mean) / std with",
        f" * mean {{{means}}} and std {{{stds}}}. */",
    ]
