"""Generate a network's test on the chip: built-in images, and the logits that they must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oplib.codegen.names import Names
from oplib.codegen.weights_c import WeightsForm, number_lines, take_in
from oplib.network.reference import IntegerModel, run_integer
from oplib.ops.base import Array

TESTS_SECTION = ".rodata.oplib_test"  # whose name linker scripts know
IMAGES = """\
const uint8_t *@name@_test_image(int32_t index)
{
    return @name@_test_images + index * @NAME@_INPUT_BYTES;
}

int32_t @name@_test_label(int32_t index)
{
    return labels[index];
}
"""
NO_IMAGES = """\
const uint8_t *@name@_test_image(int32_t index)
{
    (void)index;
    return NULL;
}

int32_t @name@_test_label(int32_t index)
{
    (void)index;
    return -1;
}
"""
WHOLE = """\
/* Run an image, or with index -1 the pattern. */
static int32_t run(struct @name@_context *context, int32_t index)
{
    if (context->arena == NULL)
        return @name@_run(context); /* which says what is wrong */
    if (index >= 0)
        (void)@name@_set_image(context, @name@_test_image(index), @NAME@_INPUT_BYTES);
    else
        oplib_test_pattern(@name@_input(context), 0, @NAME@_INPUT_BYTES, @NAME@_VALUE_MAX);
    return @name@_run(context);
}
"""
STRIPS = """\
/* Rows of an image, or with index -1 of the pattern. */
static int32_t rows_of(void *user, uint8_t *rows, int32_t first, int32_t count)
{
    const int32_t index = *(const int32_t *)user;
    const int32_t start = first * @NAME@_ROW_BYTES, bytes = count * @NAME@_ROW_BYTES;
    if (index < 0)
        oplib_test_pattern(rows, start, bytes, @NAME@_VALUE_MAX);
    else
        oplib_copy(rows, @name@_test_image(index) + start, (size_t)bytes);
    return @NAME@_OK;
}

static int32_t run(struct @name@_context *context, int32_t index)
{
    @name@_restart(context);
    return @name@_run_on(context, rows_of, &index);
}
"""
SELFTEST = """\
const int32_t *@name@_test_logits(int32_t index)
{
    return expected[index + 1];
}

int32_t @name@_selftest(struct @name@_context *context)
{
    for (int32_t index = -1; index < @NAME@_TEST_IMAGES; index++) {
        const int32_t status = run(context, index);
        if (status != @NAME@_OK)
            return status;
        const int32_t *const logits = @name@_logits(context);
        for (int32_t i = 0; i < @NAME@_NUM_CLASSES; i++)
            if (logits[i] != expected[index + 1][i])
                return @NAME@_WRONG_RESULT;
    }
    return @NAME@_OK;
}
"""


@dataclass(frozen=True)
class BuiltInImages:
    """Images that a firmware has built in.

    Args:
        images: raw pixels (T, H, W, C).
        labels: class numbers (T,).
    """

    images: Array
    labels: Array

    @classmethod
    def none(cls, model: IntegerModel) -> BuiltInImages:
        """Return no images of a network's size."""
        pre = model.preprocessing
        shape = (0, pre.img_size, pre.img_size, pre.in_chans)
        return cls(np.empty(shape, np.uint8), np.empty(0, np.int64))

    def first(self, count: int) -> BuiltInImages:
        """Return the first of them, at most `count`."""
        return BuiltInImages(self.images[:count], self.labels[:count])


def pattern_image(model: IntegerModel) -> Array:
    """Return the picture made of numbers, (H, W, C): oplib_test_pattern() of oplib_support.h."""
    pre = model.preprocessing
    size = pre.img_size * pre.img_size * pre.in_chans
    words = (np.arange(1, size + 1, dtype=np.uint64) * 2654435761) % (1 << 32)
    values = (words ^ words >> 16) % (pre.value_max + 1)
    return values.astype(np.uint8).reshape(pre.img_size, pre.img_size, pre.in_chans)


def emit_selftest(
    model: IntegerModel,
    tests: BuiltInImages,
    form: WeightsForm,
    names: Names,
    head: Sequence[str],
    *,
    fetches: bool,
) -> dict[str, bytes]:
    """Emit the source of the test and, in the binary form, the images' file.

    Args:
        model: integer network, whose reference says what the logits must be.
        tests: the built-in images.
        form: ``binary`` for a file of bytes that gcc or clang take in, ``text`` for C.
        names: names of the network.
        head: comment at the top.
        fetches: whether the application supplies the image in strips.
    """
    images = np.concatenate([pattern_image(model)[None], tests.images])
    logits = run_integer(model, images)
    lines = [*head, '#include "@name@.h"', "", '#include "oplib_support.h"', ""]
    lines += [f"static const int32_t expected[{len(logits)}][@NAME@_NUM_CLASSES] = {{"]
    for row in logits:
        lines += ["    {", *number_lines(row), "    },"]
    lines += ["};", ""]
    files = {}
    if len(tests.images):
        pixels = np.ascontiguousarray(tests.images, dtype=np.uint8)
        label_lines = number_lines(tests.labels)
        lines += [f"static const int32_t labels[{len(pixels)}] = {{", *label_lines, "};", ""]
        size = f"[{len(pixels)} * @NAME@_INPUT_BYTES]"
        if form == "binary":
            symbol = names.symbol("test_images")
            lines += [f"extern const uint8_t @name@_test_images{size};", ""]
            lines += [take_in(names, "_test", symbol, TESTS_SECTION), ""]
            files[names.file("_test.bin")] = pixels.tobytes()
        else:
            values = number_lines(pixels)
            lines += [f"static const uint8_t @name@_test_images{size} = {{", *values, "};", ""]
    parts = (STRIPS if fetches else WHOLE, SELFTEST)
    text = "\n".join([*lines, "\n".join((IMAGES if len(tests.images) else NO_IMAGES, *parts))])
    return {names.file("_test.c"): names.fill(text).encode(), **files}
