/* Pictures in the report of rill train: what the first layer looks for, and what convolutions make
 * of the first row. */
#include "cli_report.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_UNITS = 64 };

/* ---- pictures as part of the page ------------------------------------------------------------ */

static void add_base64(FILE *out, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned)p[i + 2] : 0);
        fputc(digits[v >> 18], out);
        fputc(digits[v >> 12 & 63], out);
        fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', out);
        fputc(i + 2 < n ? digits[v & 63] : '=', out);
    }
}

int report_add_image(const report *r, FILE *out, const rill_tensor *t, const char *layout, int zoom,
                     const char *words)
{
    rill_tensor *image = NULL, *png = NULL;
    rill_error err;
    rill_status st = rill_tensor_tiles(r->c->context, t, layout, zoom, &image, &err);
    if (st == RILL_OK) st = rill_image_png(r->c->context, image, &png, &err);
    if (st == RILL_OK) {
        fputs("<img alt=\"", out);
        report_escape(out, words);
        fputs("\" src=\"data:image/png;base64,", out);
        add_base64(out, rill_tensor_cdata(png), rill_tensor_bytes(png));
        fputs("\">", out);
    }
    rill_tensor_destroy(png);
    rill_tensor_destroy(image);
    return st == RILL_OK ? EXIT_DONE : cli_fail(r->c, NULL, &err);
}

const rill_tensor *report_pictures(const report *r)
{
    const rill_tensor *t;
    for (size_t i = 0; i < rill_dataset_n_columns(r->data); i++) {
        (void)rill_dataset_column(r->data, i, &t);
        rill_shape s = rill_tensor_shape(t);
        if (rill_tensor_dtype(t) == RILL_U8 && (s.rank == 3 || (s.rank == 4 && s.dims[3] == 3)))
            return t;
    }
    return NULL;
}

/* ---- what is inside -------------------------------------------------------------------------- */

static bool is_planes(const rill_node_info *info)
{
    for (uint32_t k = 0; k < info->op->n_attrs; k++)
        if (strcmp(info->op->attrs[k].name, "data_format") == 0)
            return strcmp(info->attrs[k].u.s, "NCHW") == 0;
    return false;
}

static int add_maps(const report *r, FILE *out, const rill_node_info *info)
{
    rill_tensor *maps = NULL;
    rill_error err;
    if (rill_run_rows(r->session, r->data, 0, 1, &info->output, 1, &maps, &err) != RILL_OK)
        return cli_fail(r->c, NULL, &err);
    fputs("<h2>Feature maps of ", out);
    report_escape(out, info->name);
    fputs(" for the first row</h2>\n<p>Black is 0; where there are negative numbers, blue is below "
          "0, "
          "orange above.</p>\n<div class=\"scroll\">",
          out);
    int status =
        report_add_image(r, out, maps, is_planes(info) ? "NKHW" : "NHWK", 3, "feature maps");
    fputs("</div>\n", out);
    rill_tensor_destroy(maps);
    return status;
}

static int add_filters(const report *r, FILE *out, const rill_node_info *info,
                       const rill_tensor *filter)
{
    rill_shape s = rill_tensor_shape(filter);
    bool planes = is_planes(info);
    bool colours = s.dims[planes ? 1 : 2] == 3;
    fputs("<h2>Filters of ", out);
    report_escape(out, info->name);
    fputs("</h2>\n<p>Blue is below 0, orange above.</p>\n<div class=\"scroll\">", out);
    int status = report_add_image(
        r, out, filter, planes ? (colours ? "OCHW" : "OIHW") : (colours ? "HWCO" : "HWIO"),
        s.dims[planes ? 3 : 1] < 8 ? 8 : 4, "filters");
    fputs("</div>\n", out);
    return status;
}

/* The weights of a dense layer that reads pictures, each unit's as a picture. */
static int add_units(const report *r, FILE *out, const rill_node_info *info,
                     const rill_tensor *weight, const rill_tensor *pictures)
{
    rill_shape p = rill_tensor_shape(pictures), s = rill_tensor_shape(weight);
    int64_t units = s.dims[1] < MOST_UNITS ? s.dims[1] : MOST_UNITS, n = s.dims[0];
    rill_tensor *shown;
    rill_error err;
    if (rill_tensor_create(r->c->context, RILL_F32, RILL_SHAPE(p.dims[1], p.dims[2], units), &shown,
                           &err) != RILL_OK)
        return cli_fail(r->c, NULL, &err);
    float *to = rill_tensor_data(shown);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < units; k++)
            to[i * units + k] = (float)rill_tensor_get(weight, i * s.dims[1] + k);
    fputs("<h2>Weights of ", out);
    report_escape(out, info->name);
    fprintf(out,
            "</h2>\n<p>A picture for each of %lld units; blue is below 0, orange above.</p>\n"
            "<div class=\"scroll\">",
            (long long)units);
    int status = report_add_image(r, out, shown, "HWK", 2, "weights");
    fputs("</div>\n", out);
    rill_tensor_destroy(shown);
    return status;
}

int report_add_inside(const report *r, FILE *out)
{
    rill_node_info info;
    const rill_tensor *pictures = report_pictures(r);
    int status = EXIT_DONE, convolutions = 0;
    bool first = true;
    for (size_t i = 0; rill_graph_node(r->graph, i, &info) == RILL_OK && !status; i++) {
        if (!info.op || info.gradient_of >= 0 || info.n_inputs < 2) continue;
        bool conv = strcmp(info.op->name, "conv2d") == 0;
        bool dense = strcmp(info.op->name, "dense") == 0 || strcmp(info.op->name, "matmul") == 0;
        if (!conv && !dense) continue;
        const rill_tensor *weight = rill_session_get(r->session, info.inputs[1]);
        if (!weight) continue;
        rill_shape s = rill_tensor_shape(weight);
        if (conv && first) status = add_filters(r, out, &info, weight);
        if (conv && convolutions++ < 2 && !status) status = add_maps(r, out, &info);
        if (dense && first && pictures && s.rank == 2) {
            rill_shape p = rill_tensor_shape(pictures);
            if (p.rank == 3 && p.dims[1] * p.dims[2] == s.dims[0])
                status = add_units(r, out, &info, weight, pictures);
        }
        first = false;
    }
    return status;
}
