"""Generate a network's functions that make its image of a camera's picture."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.data.preprocessing import Preprocessing
from oplib.codegen.names import Names

PARAMS = """\
#include "@name@.h"

#include "oplib_picture.h"

/* How a picture became an image for training. */
static const oplib_picture_params image = {
    .img_size = @NAME@_IMG_SIZE,
    .in_chans = @NAME@_IN_CHANS,
    .value_max = @NAME@_VALUE_MAX,
    .crop = OPLIB_CROP_@CROP@,
    .resize = OPLIB_RESIZE_@RESIZE@,
};
"""
FUNCTION = """\
int32_t @name@_rows_from_@FORMAT@(uint8_t *rows, int32_t first, int32_t count, const @TYPE@ *pixels,
                                int32_t width, int32_t height)
{
    const int32_t status =
        oplib_rows_from_@FORMAT@(rows, first, count, pixels, width, height, &image);
    return status == OPLIB_PICTURE_OK ? @NAME@_OK : @NAME@_WRONG_IMAGE;
}
"""
FORMATS = {"rgb888": "uint8_t", "rgb565": "uint16_t"}


def emit_picture(preprocessing: Preprocessing, names: Names, head: Sequence[str]) -> str:
    """Emit the functions.

    Args:
        preprocessing: how pictures became images for training.
        names: names of the network.
        head: comment at the top.
    """
    params = PARAMS.replace("@CROP@", preprocessing.crop.upper())
    functions = [
        FUNCTION.replace("@FORMAT@", name).replace("@TYPE@", ctype)
        for name, ctype in FORMATS.items()
    ]
    parts = [*head, params.replace("@RESIZE@", preprocessing.resize.upper()), *functions]
    return names.fill("\n".join(parts))
