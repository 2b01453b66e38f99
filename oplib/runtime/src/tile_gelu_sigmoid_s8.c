/* SPDX-License-Identifier: Apache-2.0 */
#include "gelu.h"
#include "isa.h"
#include "oplib_blocks.h"

/* The padding is undefined: as codes of int8, its results are as undefined, and not its values. */
void oplib_tile_gelu_sigmoid_s8(void *panel, int32_t n, const void *params)
{
    oplib_memory_s16 *x = panel;
    for (int32_t i = 0; i < n; i++)
        x[i] = oplib_gelu_sigmoid((int8_t)x[i], params);
}
