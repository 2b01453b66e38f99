/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "oplib_picture.h"

/* Both passes compute sum(weight * value) under a filter, as Pillow's Resample.c does, with weights
 * of WEIGHT_BITS. To store little and to compute little twice, COLUMNS of the image are made at a
 * time, from top to bottom: they share the weights of a row, and each keeps TAPS weights of its own
 * and what its first pass made of the last LINES rows of the picture. */
enum { WEIGHT_BITS = 22, TAPS = 24, LINES = 32, BAND = 8, COLUMNS = 2, MAX_CHANS = 3 };

/* A line of `length` values that becomes one of another length. Both lengths are stretched by one
 * power of two, so that unit, the filter's argument 1, has 14 bits whatever they are. */
typedef struct {
    int32_t resize; /* OPLIB_RESIZE_... */
    int32_t length; /* of the line, in pixels */
    int32_t in;     /* the same, stretched */
    int32_t out;    /* that of the result, stretched */
    int32_t unit;   /* twice the longer of both, in [2^13, 2^14) */
} oplib_axis;

/* What the filter covers of a line for one value of the result. */
typedef struct {
    int32_t center; /* the filter's; value i of the line lies at (2 * i + 1) * out */
    int32_t first;  /* the values under the filter */
    int32_t end;
    int32_t shift;      /* their sum of weights, shifted by it, is in [2^29, 2^30) */
    int32_t reciprocal; /* 2^59 / sum */
    int32_t begin;      /* weights[] are those of the values from here; -1 before there are any */
    int32_t weights[TAPS];
} oplib_window;

static void open_axis(oplib_axis *axis, int32_t length, const oplib_picture_params *params)
{
    const int32_t longer = length > params->img_size ? length : params->img_size;
    const int32_t stretch = oplib_count_leading_zeros((uint32_t)longer) - 19;
    axis->resize = params->resize;
    axis->length = length;
    axis->in = length << stretch;
    axis->out = params->img_size << stretch;
    axis->unit = longer << (stretch + 1);
}

/* The filter at a distance from its centre, times unit^3 (bicubic: twice that). Bicubic, a = -1/2:
 * at a distance of d units, 2 w = (3 d - 5) d^2 + 2 below 1, and (1 - d) (2 - d)^2 below 2. */
static int64_t filter_at(const oplib_axis *axis, int32_t offset)
{
    const int32_t distance = offset < 0 ? -offset : offset, unit = axis->unit;
    const int32_t squared = unit * unit;
    if (axis->resize == OPLIB_RESIZE_BOX)
        return 2 * offset > -unit && 2 * offset <= unit ? (int64_t)unit * squared : 0;
    if (axis->resize == OPLIB_RESIZE_BILINEAR)
        return distance < unit ? (int64_t)(unit - distance) * squared : 0;
    if (distance < unit)
        return 2 * (int64_t)unit * squared -
               (int64_t)(5 * unit - 3 * distance) * (distance * distance);
    const int32_t rest = 2 * unit - distance;
    return rest > 0 ? (int64_t)(unit - distance) * (rest * rest) : 0;
}

/* Centre the window on one value of the result. */
static void move_window(oplib_window *window, const oplib_axis *axis, int32_t position)
{
    static const uint8_t supports[] = {1, 2, 4}; /* in halves of unit, by OPLIB_RESIZE_... */
    const int32_t support = supports[axis->resize] * (axis->unit / 2), step = 2 * axis->out;
    const int32_t center = (2 * position + 1) * axis->in;
    const int32_t first = center - support + axis->out;
    const int32_t end = (center + support + axis->out) / step;
    window->center = center;
    window->first = first < 0 ? 0 : first / step;
    window->end = end < axis->length ? end : axis->length;
    int32_t offset = (2 * window->first + 1) * axis->out - center;
    int64_t sum = 0;
    for (int32_t i = window->first; i < window->end; i++, offset += step)
        sum += filter_at(axis, offset);
    window->shift = 26 - oplib_count_leading_zeros((uint32_t)(sum >> 24));
    window->reciprocal = (int32_t)((((uint64_t)1 << 59) - 1u) / (uint64_t)(sum >> window->shift));
    window->begin = -1;
}

/* Weights, times 2^WEIGHT_BITS, of the values from `begin`, at most TAPS of them. */
static const int32_t *weights_from(oplib_window *window, const oplib_axis *axis, int32_t begin)
{
    if (window->begin == begin)
        return window->weights;
    window->begin = begin;
    int32_t offset = (2 * begin + 1) * axis->out - window->center;
    for (int32_t i = 0; i < TAPS && begin + i < window->end; i++, offset += 2 * axis->out) {
        const int32_t part = (int32_t)(filter_at(axis, offset) >> window->shift);
        const int64_t product = (int64_t)part * window->reciprocal;
        window->weights[i] =
            (int32_t)((product + ((int64_t)1 << (58 - WEIGHT_BITS))) >> (59 - WEIGHT_BITS));
    }
    return window->weights;
}

/* round(value * value_max / 255): x / 255 = (x + 1 + (x >> 8)) >> 8 below 65535 */
OPLIB_INLINE int32_t in_range(int32_t value, int32_t value_max)
{
    const int32_t product = value * value_max + 127;
    return (product + 1 + (product >> 8)) >> 8;
}

OPLIB_INLINE void load_rgb(const void *pixels, int32_t place, int32_t is_565, int32_t *rgb)
{
    if (is_565) {
        const int32_t pixel = ((const oplib_memory_u16 *)pixels)[place];
        rgb[0] = (pixel >> 8 & 0xf8) | pixel >> 13;
        rgb[1] = (pixel >> 3 & 0xfc) | (pixel >> 9 & 3);
        rgb[2] = (pixel << 3 & 0xf8) | (pixel >> 2 & 7);
    } else {
        const uint8_t *from = (const uint8_t *)pixels + 3 * place;
        for (int32_t c = 0; c < 3; c++)
            rgb[c] = from[c];
    }
}

/* Add `taps` weighted pixels of a row, from that at `place`, to one sum per channel. */
OPLIB_INLINE void add_pixels(int32_t *sums, const void *pixels, int32_t place, int32_t is_565,
                             const int32_t *weights, int32_t taps,
                             const oplib_picture_params *params)
{
    const int32_t value_max = params->value_max;
    int32_t rgb[3];
    if (params->in_chans == 1) {
        int32_t sum = sums[0];
        for (int32_t i = 0; i < taps; i++) {
            load_rgb(pixels, place + i, is_565, rgb);
            const int32_t grey = (19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16;
            sum += weights[i] * in_range(grey, value_max);
        }
        sums[0] = sum;
        return;
    }
    int32_t red = sums[0], green = sums[1], blue = sums[2];
    for (int32_t i = 0; i < taps; i++) {
        load_rgb(pixels, place + i, is_565, rgb);
        red += weights[i] * in_range(rgb[0], value_max);
        green += weights[i] * in_range(rgb[1], value_max);
        blue += weights[i] * in_range(rgb[2], value_max);
    }
    sums[0] = red;
    sums[1] = green;
    sums[2] = blue;
}

static int32_t byte_of(int32_t sum)
{
    const int32_t value = sum >> WEIGHT_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* What both formats of pixels have in common. */
typedef struct {
    const void *pixels;
    int32_t width; /* of the picture */
    int32_t left;  /* of what is not cut off */
    int32_t top;
    oplib_axis across;
    oplib_axis down;
    const oplib_picture_params *params;
} oplib_picture;

/* A column of the image: what the first pass made of the picture's rows from begin to end. */
typedef struct {
    oplib_window window;
    int32_t begin;
    int32_t end;
    uint8_t lines[LINES][MAX_CHANS]; /* row i at i % LINES */
} oplib_column;

/* Cut, and set both axes; return OPLIB_PICTURE_... */
static int32_t open_picture(oplib_picture *picture, int32_t first, int32_t count, int32_t width,
                            int32_t height, const oplib_picture_params *params)
{
    if (width < 1 || width > OPLIB_PICTURE_MAX_SIDE || height < 1 ||
        height > OPLIB_PICTURE_MAX_SIDE)
        return OPLIB_PICTURE_WRONG_SIZE;
    if (first < 0 || count < 0 || count > params->img_size || first > params->img_size - count)
        return OPLIB_PICTURE_WRONG_ROWS;
    const int32_t shorter = width < height ? width : height;
    const int32_t cuts = params->crop == OPLIB_CROP_CENTER;
    const int32_t columns = cuts ? shorter : width, lines = cuts ? shorter : height;
    picture->width = width;
    picture->left = (width - columns) / 2;
    picture->top = (height - lines) / 2;
    picture->params = params;
    open_axis(&picture->across, columns, params);
    open_axis(&picture->down, lines, params);
    return OPLIB_PICTURE_OK;
}

/* The first pass: rows [from, to) of the picture, at most BAND, under one column. */
OPLIB_INLINE void add_lines(oplib_column *column, const oplib_picture *picture, int32_t from,
                            int32_t to, int32_t is_565)
{
    int32_t sums[BAND][MAX_CHANS];
    oplib_window *window = &column->window;
    for (int32_t i = 0; i < to - from; i++)
        for (int32_t c = 0; c < MAX_CHANS; c++)
            sums[i][c] = 1 << (WEIGHT_BITS - 1);
    for (int32_t begin = window->first; begin < window->end; begin += TAPS) {
        const int32_t *weights = weights_from(window, &picture->across, begin);
        const int32_t rest = window->end - begin, taps = rest < TAPS ? rest : TAPS;
        int32_t place = (picture->top + from) * picture->width + picture->left + begin;
        for (int32_t i = 0; i < to - from; i++, place += picture->width)
            add_pixels(sums[i], picture->pixels, place, is_565, weights, taps, picture->params);
    }
    for (int32_t i = 0; i < to - from; i++)
        for (int32_t c = 0; c < MAX_CHANS; c++)
            column->lines[(uint32_t)(from + i) % LINES][c] = (uint8_t)byte_of(sums[i][c]);
}

/* Have rows [line, end) of the picture in a column. */
OPLIB_INLINE void need_lines(oplib_column *column, const oplib_picture *picture, int32_t line,
                             int32_t end, int32_t is_565)
{
    if (line < column->begin || line > column->end)
        column->begin = column->end = line;
    if (column->end >= end)
        return;
    add_lines(column, picture, column->end, end, is_565);
    column->end = end;
    if (column->begin < end - LINES)
        column->begin = end - LINES;
}

/* The second pass: one pixel of each of `count` columns, in the row on which `down` is centred. */
OPLIB_INLINE void resize_pixels(uint8_t *pixels, oplib_column *columns, int32_t count,
                                oplib_window *down, const oplib_picture *picture, int32_t is_565)
{
    const int32_t chans = picture->params->in_chans;
    int32_t sums[COLUMNS][MAX_CHANS];
    for (int32_t x = 0; x < count; x++)
        for (int32_t c = 0; c < MAX_CHANS; c++)
            sums[x][c] = 1 << (WEIGHT_BITS - 1);
    for (int32_t line = down->first; line < down->end; line += BAND) {
        const int32_t tap = (line - down->first) % TAPS;
        const int32_t *weights = weights_from(down, &picture->down, line - tap) + tap;
        const int32_t end = down->end < line + BAND ? down->end : line + BAND;
        for (int32_t x = 0; x < count; x++) {
            need_lines(&columns[x], picture, line, end, is_565);
            for (int32_t i = line; i < end; i++)
                for (int32_t c = 0; c < chans; c++)
                    sums[x][c] += weights[i - line] * columns[x].lines[(uint32_t)i % LINES][c];
        }
    }
    for (int32_t x = 0; x < count; x++)
        for (int32_t c = 0; c < chans; c++)
            pixels[x * chans + c] = (uint8_t)byte_of(sums[x][c]);
}

OPLIB_INLINE void resize_rows(uint8_t *rows, int32_t first, int32_t count,
                              const oplib_picture *picture, int32_t is_565)
{
    const int32_t side = picture->params->img_size, chans = picture->params->in_chans;
    oplib_column columns[COLUMNS];
    oplib_window down;
    for (int32_t x = 0; x < side; x += COLUMNS) {
        const int32_t together = side - x < COLUMNS ? side - x : COLUMNS;
        for (int32_t i = 0; i < together; i++) {
            move_window(&columns[i].window, &picture->across, x + i);
            columns[i].begin = columns[i].end = 0;
        }
        for (int32_t row = 0; row < count; row++) {
            move_window(&down, &picture->down, first + row);
            uint8_t *pixels = rows + (row * side + x) * chans;
            resize_pixels(pixels, columns, together, &down, picture, is_565);
        }
    }
}

int32_t oplib_rows_from_rgb888(uint8_t *rows, int32_t first, int32_t count, const uint8_t *pixels,
                               int32_t width, int32_t height, const oplib_picture_params *params)
{
    oplib_picture picture;
    const int32_t status = open_picture(&picture, first, count, width, height, params);
    if (status != OPLIB_PICTURE_OK)
        return status;
    picture.pixels = pixels;
    resize_rows(rows, first, count, &picture, 0);
    return OPLIB_PICTURE_OK;
}

int32_t oplib_rows_from_rgb565(uint8_t *rows, int32_t first, int32_t count, const uint16_t *pixels,
                               int32_t width, int32_t height, const oplib_picture_params *params)
{
    oplib_picture picture;
    const int32_t status = open_picture(&picture, first, count, width, height, params);
    if (status != OPLIB_PICTURE_OK)
        return status;
    picture.pixels = pixels;
    resize_rows(rows, first, count, &picture, 1);
    return OPLIB_PICTURE_OK;
}
