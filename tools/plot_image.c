/* Pictures of tensors for rill plot: one value of a graph, or a tensor of a file, as a PNG file. */
#include "cli_plot.h"

static int read_image(const cli *c, rill_tensor **t, const char **layout)
{
    rill_error err;
    if (plot_ends_with(c->args[0], ".json")) return plot_run_value(c, t, layout);
    if (rill_tensor_load(c->context, c->args[0], t, &err) != RILL_OK)
        return cli_fail(c, c->args[0], &err);
    if (rill_tensor_shape(*t).rank == 2) *layout = "HW";
    return EXIT_DONE;
}

static int write_image(const cli *c, const rill_tensor *t, const char *layout, int zoom)
{
    rill_tensor *image = NULL, *png = NULL;
    rill_error err;
    const char *file = cli_get(c, "o");
    rill_status st = rill_tensor_tiles(c->context, t, layout, zoom, &image, &err);
    if (st == RILL_OK) st = rill_image_png(c->context, image, &png, &err);
    if (st == RILL_OK)
        st =
            rill_file_write(c->context, file, rill_tensor_cdata(png), rill_tensor_bytes(png), &err);
    rill_tensor_destroy(png);
    rill_tensor_destroy(image);
    return st == RILL_OK ? EXIT_DONE : cli_fail(c, NULL, &err);
}

int plot_draw_image(const cli *c)
{
    rill_tensor *t = NULL;
    const char *layout = NULL;
    int64_t zoom = 4;
    if (c->n_args > 1) return cli_usage(c, "a picture is of one graph or file, got %d", c->n_args);
    if (!cli_int(c, "zoom", 1, 64, &zoom)) return EXIT_USAGE;
    int status = read_image(c, &t, &layout);
    if (cli_get(c, "layout")) layout = cli_get(c, "layout");
    if (!status && !layout)
        status = cli_usage(c,
                           "--layout is missing: the tensor has %d axes, so say what they are, as "
                           "in --layout NHW",
                           rill_tensor_shape(t).rank);
    if (!status) status = write_image(c, t, layout, (int)zoom);
    rill_tensor_destroy(t);
    return status;
}
