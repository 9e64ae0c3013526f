/* explorer_value.c: a tensor as the page holds it.
 *
 *   {"shape":[2,8],"data":[...]}                        up to `whole` elements: all, row by row
 *   {"shape":[128,784],"data":[...],"stats":{...}}      larger: the first few, and
 *       "stats"    min, max, mean, std of the finite elements; zeros, nan, inf: how many; histogram
 *   "picture"      {"width","height","tiles","of","low","high","scale","pixels"}: tiles of pixels,
 *                  one byte each in base64: 0..254 from low to high, 255 for NaN
 *
 * A picture has the channels of the first image, or the images themselves if they have one channel
 * or three; the windows of a filter; rows or columns that are as long as an image that the graph
 * takes flat; else the matrix, each pixel the mean of scale x scale elements. */
#include "draw/explorer.h"

#include <math.h>

enum { FIRST_FEW = 8, BINS = 24, MOST_TILES = 32, MOST_SIDE = 48 };

/* ---- statistics --------------------------------------------------------------------------------
 */

typedef struct statistics {
    double low, high, sum, squares;
    int64_t n, zeros, nan, inf;
    int64_t bins[BINS];
} statistics;

static void gather(const rill_tensor *t, statistics *s)
{
    *s = (statistics){.low = INFINITY, .high = -INFINITY};
    for (int64_t i = 0; i < t->count; i++) {
        const double v = rill_tensor_get(t, i);
        s->nan += v != v;
        s->inf += v == v && !isfinite(v);
        if (!isfinite(v)) continue;
        s->zeros += v == 0;
        s->n++;
        s->sum += v;
        s->low = v < s->low ? v : s->low;
        s->high = v > s->high ? v : s->high;
    }
    const double mean = s->n ? s->sum / (double)s->n : 0, width = s->high - s->low;
    for (int64_t i = 0; i < t->count; i++) {
        const double v = rill_tensor_get(t, i);
        if (!isfinite(v)) continue;
        s->squares += (v - mean) * (v - mean);
        const double at = width > 0 ? (v - s->low) / width * BINS : 0;
        s->bins[at >= BINS ? BINS - 1 : (int)at]++;
    }
}

static void add_statistics(rill_text *t, const rill_tensor *x)
{
    const bool f32 = x->type.dtype == RILL_F32;
    statistics s;
    gather(x, &s);
    rill_text_add(t, ",\"stats\":{\"zeros\":%lld,\"nan\":%lld,\"inf\":%lld", (long long)s.zeros,
                  (long long)s.nan, (long long)s.inf);
    if (s.n) {
        rill_text_add(t, ",\"min\":");
        rill_json_write_float(t, s.low, f32);
        rill_text_add(t, ",\"max\":");
        rill_json_write_float(t, s.high, f32);
        rill_text_add(t, ",\"mean\":");
        rill_json_write_float(t, s.sum / (double)s.n, true);
        rill_text_add(t, ",\"std\":");
        rill_json_write_float(t, sqrt(s.squares / (double)s.n), true);
        rill_text_add(t, ",\"histogram\":[");
        for (int i = 0; i < BINS; i++)
            rill_text_add(t, "%s%lld", i ? "," : "", (long long)s.bins[i]);
        rill_text_add(t, "]");
    }
    rill_text_add(t, "}");
}

/* ---- pictures ----------------------------------------------------------------------------------
 */

/* Pixel (i, j) of tile k is element k_step k + i_step i + j_step j, or the mean of a square. */
typedef struct picture {
    int64_t tiles, of, height, width;
    int64_t minor; /* tile k begins at (k / minor) major_step + (k % minor) minor_step */
    int64_t major_step, minor_step, row_step, column_step;
    int64_t scale;
    const char *what;
} picture;

/* The side of the square images that the graph takes as rows of this length, or 0. */
static int64_t side_of_image(const rill_graph *g, int64_t length)
{
    const int64_t side = (int64_t)(sqrt((double)length) + 0.5);
    if (side < 8 || side * side != length) return 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].kind != RILL_NODE_INPUT) continue;
        const rill_shape *s = &g->values[g->nodes[i].first_value].type.shape;
        if (s->rank == 2 && s->dims[1] == length) return side;
    }
    return 0;
}

/* Images: [n, height, width, channels], or channels before height if only that looks like one. */
static void picture_images(const int64_t *d, bool planes, picture *p)
{
    const int64_t h = planes ? d[2] : d[1], w = planes ? d[3] : d[2], c = planes ? d[1] : d[3];
    p->height = h;
    p->width = w;
    p->row_step = planes ? w : w * c;
    p->column_step = planes ? 1 : c;
    const bool whole_images = c == 1 || c == 3;
    p->of = whole_images ? d[0] * c : c;
    p->minor = c;
    p->minor_step = planes ? h * w : 1;
    p->major_step = h * w * c;
    p->what = whole_images ? "images" : "channels of the first image";
}

/* Filters: [height, width, in, out], or [out, in, height, width]. */
static void picture_filters(const int64_t *d, bool planes, picture *p)
{
    const int64_t in = planes ? d[1] : d[2], out = planes ? d[0] : d[3];
    p->height = planes ? d[2] : d[0];
    p->width = planes ? d[3] : d[1];
    p->row_step = planes ? d[3] : d[1] * in * out;
    p->column_step = planes ? 1 : in * out;
    p->of = in * out;
    p->minor = out; /* all filters of the first input channel, then of the second */
    p->minor_step = planes ? in * p->height * p->width : 1;
    p->major_step = planes ? p->height * p->width : out;
    p->what = "filters";
}

static void picture_matrix(const rill_graph *g, const rill_shape *s, int64_t count, picture *p)
{
    const int64_t columns = s->rank ? s->dims[s->rank - 1] : 1, rows = count / columns;
    const int64_t across = s->rank == 2 ? side_of_image(g, columns) : 0;
    const int64_t down = s->rank == 2 && !across ? side_of_image(g, rows) : 0;
    if (!across && !down) {
        *p = (picture){.tiles = 1,
                       .of = 1,
                       .height = rows,
                       .width = columns,
                       .minor = 1,
                       .row_step = columns,
                       .column_step = 1,
                       .what = "matrix"};
        return;
    }
    const int64_t side = across ? across : down, one = across ? 1 : columns;
    *p = (picture){.of = across ? rows : columns,
                   .height = side,
                   .width = side,
                   .minor = 1,
                   .major_step = across ? columns : 1,
                   .row_step = side * one,
                   .column_step = one,
                   .what = across ? "rows as images" : "columns as images"};
}

static picture choose_picture(const rill_explorer *x, const rill_tensor *t, bool filter)
{
    const rill_shape *s = &t->type.shape;
    const int64_t *d = s->dims;
    picture p = {0};
    if (s->rank == 4 && filter)
        picture_filters(d, d[2] == d[3] && d[0] != d[1], &p);
    else if (s->rank == 4)
        picture_images(d, d[2] == d[3] && d[1] != d[2], &p);
    else
        picture_matrix(x->graph, s, t->count, &p);
    p.tiles = p.of < MOST_TILES ? p.of : MOST_TILES;
    const int64_t longest = p.height > p.width ? p.height : p.width;
    p.scale = (longest - 1) / MOST_SIDE + 1;
    return p;
}

/* Mean of the finite elements that a pixel stands for; NaN if there is none. */
static double pixel(const rill_tensor *t, const picture *p, int64_t tile, int64_t i, int64_t j)
{
    const int64_t base = tile / p->minor * p->major_step + tile % p->minor * p->minor_step;
    double sum = 0;
    int64_t n = 0;
    for (int64_t a = i * p->scale; a < (i + 1) * p->scale && a < p->height; a++)
        for (int64_t b = j * p->scale; b < (j + 1) * p->scale && b < p->width; b++) {
            const double v = rill_tensor_get(t, base + a * p->row_step + b * p->column_step);
            if (!isfinite(v)) continue;
            sum += v;
            n++;
        }
    return n ? sum / (double)n : NAN;
}

static void add_base64(rill_text *t, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t more = i + 1 < n ? bytes[i + 1] : 0, most = i + 2 < n ? bytes[i + 2] : 0;
        const uint32_t word = (uint32_t)bytes[i] << 16 | more << 8 | most;
        const char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
                              i + 1 < n ? digits[word >> 6 & 63] : '=',
                              i + 2 < n ? digits[word & 63] : '='};
        rill_text_append(t, four, 4);
    }
}

static void write_picture(rill_text *out, const rill_tensor *t, const picture *p, double *values,
                          uint8_t *bytes)
{
    const int64_t h = (p->height - 1) / p->scale + 1, w = (p->width - 1) / p->scale + 1;
    size_t n = 0;
    double low = INFINITY, high = -INFINITY;
    for (int64_t k = 0; k < p->tiles; k++)
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j++) {
                const double v = values[n++] = pixel(t, p, k, i, j);
                if (v < low) low = v;
                if (v > high) high = v;
            }
    if (!(low <= high)) low = high = 0;
    for (size_t i = 0; i < n; i++)
        bytes[i] = values[i] != values[i] ? 255
                   : high > low           ? (uint8_t)((values[i] - low) / (high - low) * 254 + 0.5)
                                          : 127;
    rill_text_add(out,
                  ",\"picture\":{\"what\":\"%s\",\"width\":%lld,\"height\":%lld,\"tiles\":%lld,"
                  "\"of\":%lld,\"scale\":%lld,\"low\":",
                  p->what, (long long)w, (long long)h, (long long)p->tiles, (long long)p->of,
                  (long long)p->scale);
    rill_json_write_float(out, low, true);
    rill_text_add(out, ",\"high\":");
    rill_json_write_float(out, high, true);
    rill_text_add(out, ",\"pixels\":\"");
    add_base64(out, bytes, n);
    rill_text_add(out, "\"}");
}

static void add_picture(rill_explorer *x, const rill_tensor *t, bool filter)
{
    const picture p = choose_picture(x, t, filter);
    const int64_t h = (p.height - 1) / p.scale + 1, w = (p.width - 1) / p.scale + 1;
    const size_t n = (size_t)(h * w * p.tiles);
    double *values = rill_alloc(x->ctx, n * sizeof *values);
    uint8_t *bytes = rill_alloc(x->ctx, n);
    if (values && bytes)
        write_picture(&x->text, t, &p, values, bytes);
    else
        x->missing = true;
    rill_free(x->ctx, values, n * sizeof *values);
    rill_free(x->ctx, bytes, n);
}

void rill_explorer_add_value(rill_explorer *x, const rill_tensor *t, bool drawn, bool filter)
{
    rill_text *out = &x->text;
    const bool whole = t->count <= (int64_t)x->o.whole;
    const int64_t n = whole ? t->count : FIRST_FEW < t->count ? FIRST_FEW : t->count;
    rill_text_add(out, "{\"shape\":[");
    for (int32_t i = 0; i < t->type.shape.rank; i++)
        rill_text_add(out, "%s%lld", i ? "," : "", (long long)t->type.shape.dims[i]);
    rill_text_add(out, "],\"data\":[");
    for (int64_t i = 0; i < n; i++) {
        if (i) rill_text_append(out, ",", 1);
        rill_json_write_element(out, t, i);
    }
    rill_text_add(out, "]");
    if (!whole) add_statistics(out, t);
    if (drawn && t->count > 0 && (!whole || (t->type.shape.rank == 4 && t->count > 16)))
        add_picture(x, t, filter);
    rill_text_add(out, "}");
}
