/* cli_plot.h: what the files of `rill plot` share: columns of numbers, whether they come from a
 * file or from a run of a graph. */
#ifndef RILL_TOOLS_CLI_PLOT_H
#define RILL_TOOLS_CLI_PLOT_H

#include "cli.h"

typedef struct plot_column {
    char *name;
    double *values;
    size_t n;
} plot_column;

typedef struct plot_table {
    char label[64]; /* the file's name without folder and ending */
    plot_column *columns;
    size_t n, cap;
} plot_table;

/* Adds a tensor: of rank 0 or 1 as one column, of rank 2 as the columns NAME.0, NAME.1 ... */
int plot_add_tensor(const cli *c, plot_table *t, const char *name, const rill_tensor *tensor);
/* Reads a .csv, .npy, .npz or .safetensors file. */
int plot_read_file(const cli *c, const char *path, plot_table *t);
void plot_free(plot_table *t);
/* The column of that name, or NULL after a message that proposes the nearest. */
const plot_column *plot_find(const cli *c, const plot_table *t, const char *option,
                             const char *name);
bool plot_ends_with(const char *text, const char *ending);

/* Runs args[0], a graph, with --input, --params and --sweep, and fetches -x and -y
 * (plot_graph.c).
 */
int plot_run_graph(const cli *c, plot_table *t);
/* The same for a picture: the one value of -y as it is; *layout is what its op says of its axes, or
 * NULL. */
int plot_run_value(const cli *c, rill_tensor **out, const char **layout);

/* Writes a picture of a tensor of a file or of a value of a graph (plot_image.c). */
int plot_draw_image(const cli *c);

#endif
