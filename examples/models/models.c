/* Writes the graph of a well-known network for 224 x 224 images, with random initial weights:
 *
 *   cc models.c $(pkg-config --cflags --libs rill) && ./a.out resnet50 resnet50.json
 *
 * vgg16 (Simonyan and Zisserman 2014, configuration D), resnet50 (He et al. 2015; the stride stands
 * in the 3 x 3 convolution, as is usual today) and mobilenet (Howard et al. 2017, width 1). The
 * input is x: f32[batch,224,224,3], the output the 1000 logits.
 */
#include <rill/rill.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rill_value he_variable(rill_graph *g, const char *name, rill_shape shape)
{
    return rill_variable_of(g, name, RILL_F32, shape, RILL_INIT_HE_NORMAL);
}

static rill_value channels(rill_graph *g, const char *name, rill_dim n, rill_init_kind kind)
{
    return rill_variable_of(g, name, RILL_F32, RILL_SHAPE(n), kind);
}

/* A statistic of batch normalisation: a variable that is not trained. */
static rill_value statistic(rill_graph *g, const char *name, rill_dim n, rill_init_kind kind)
{
    rill_value v = channels(g, name, n, kind);
    rill_variable_set_trainable(g, v, false);
    return v;
}

/* A square convolution with symmetric padding that keeps the size (but for the stride). */
typedef struct conv {
    rill_dim in, out;
    int64_t kernel, stride, group;
} conv;

static rill_value convolve(rill_graph *g, rill_value x, rill_value bias, conv c)
{
    rill_value filter =
        he_variable(g, "filter", RILL_SHAPE(c.kernel, c.kernel, c.in / c.group, c.out));
    rill_window w = RILL_WINDOW_INIT;
    for (int i = 0; i < 4; i++) w.pads[i] = c.kernel / 2;
    for (int i = 0; i < 2; i++) w.strides[i] = c.stride;
    w.has_pads = true;
    w.group = c.group;
    w.rounding = "floor";
    return rill_conv2d(g, x, filter, bias, &w);
}

/* Convolution and batch normalisation, in a scope of their own. */
static rill_value conv_norm(rill_graph *g, const char *name, rill_value x, conv c, bool relu)
{
    rill_scope_begin(g, name);
    x = convolve(g, x, RILL_NONE, c);
    rill_value scale = channels(g, "scale", c.out, RILL_INIT_ONES);
    rill_value bias = channels(g, "bias", c.out, RILL_INIT_ZEROS);
    rill_value mean = statistic(g, "mean", c.out, RILL_INIT_ZEROS);
    rill_value variance = statistic(g, "variance", c.out, RILL_INIT_ONES);
    x = rill_batch_norm(g, x, scale, bias, mean, variance, 1e-5, 0.9, -1);
    if (relu) x = rill_relu(g, x);
    rill_scope_end(g);
    return x;
}

static rill_value pool(rill_graph *g, rill_value x, int64_t kernel, int64_t pad)
{
    rill_window w = RILL_WINDOW_INIT;
    for (int i = 0; i < 2; i++) w.kernel[i] = kernel, w.strides[i] = 2;
    for (int i = 0; i < 4; i++) w.pads[i] = pad;
    w.has_pads = true;
    w.rounding = "floor";
    return rill_max_pool2d(g, x, &w);
}

static rill_value dense(rill_graph *g, const char *name, rill_value x, rill_dim in, rill_dim out,
                        const char *activation)
{
    rill_scope_begin(g, name);
    rill_value weight = he_variable(g, "weight", RILL_SHAPE(in, out));
    rill_value bias = channels(g, "bias", out, RILL_INIT_ZEROS);
    x = rill_dense(g, x, weight, bias, activation);
    rill_scope_end(g);
    return x;
}

static rill_value vgg16(rill_graph *g, rill_value x)
{
    static const rill_dim out[] = {64, 64,  0,   128, 128, 0,   256, 256, 256,
                                   0,  512, 512, 512, 0,   512, 512, 512, 0}; /* 0: pooling */
    rill_dim in = 3;
    char name[16];
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        if (out[i] == 0) {
            x = pool(g, x, 2, 0);
            continue;
        }
        snprintf(name, sizeof name, "conv%zu", i);
        rill_scope_begin(g, name);
        rill_value bias = channels(g, "bias", out[i], RILL_INIT_ZEROS);
        x = rill_relu(g, convolve(g, x, bias, (conv){in, out[i], 3, 1, 1}));
        rill_scope_end(g);
        in = out[i];
    }
    x = rill_flatten(g, x, 1);
    x = dense(g, "dense1", x, 7 * 7 * 512, 4096, "relu");
    x = dense(g, "dense2", x, 4096, 4096, "relu");
    return dense(g, "logits", x, 4096, 1000, NULL);
}

static rill_value bottleneck(rill_graph *g, const char *name, rill_value x, rill_dim in,
                             rill_dim width, int64_t stride)
{
    const rill_dim out = 4 * width;
    rill_value shortcut = x;
    rill_scope_begin(g, name);
    rill_value y = conv_norm(g, "reduce", x, (conv){in, width, 1, 1, 1}, true);
    y = conv_norm(g, "conv", y, (conv){width, width, 3, stride, 1}, true);
    y = conv_norm(g, "expand", y, (conv){width, out, 1, 1, 1}, false);
    if (stride != 1 || in != out)
        shortcut = conv_norm(g, "shortcut", x, (conv){in, out, 1, stride, 1}, false);
    y = rill_relu(g, rill_add(g, y, shortcut));
    rill_scope_end(g);
    return y;
}

static rill_value resnet50(rill_graph *g, rill_value x)
{
    static const struct {
        rill_dim width;
        int blocks, stride;
    } stages[] = {{64, 3, 1}, {128, 4, 2}, {256, 6, 2}, {512, 3, 2}};
    rill_dim in = 64;
    char name[24];
    x = conv_norm(g, "stem", x, (conv){3, 64, 7, 2, 1}, true);
    x = pool(g, x, 3, 1);
    for (int s = 0; s < 4; s++) {
        for (int b = 0; b < stages[s].blocks; b++) {
            snprintf(name, sizeof name, "stage%d.%d", s + 1, b + 1);
            x = bottleneck(g, name, x, in, stages[s].width, b ? 1 : stages[s].stride);
            in = 4 * stages[s].width;
        }
    }
    return dense(g, "logits", rill_global_avg_pool2d(g, x, NULL), 2048, 1000, NULL);
}

static rill_value mobilenet(rill_graph *g, rill_value x)
{
    static const struct {
        rill_dim out;
        int64_t stride;
    } blocks[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                  {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
    rill_dim in = 32;
    char name[24];
    x = conv_norm(g, "stem", x, (conv){3, 32, 3, 2, 1}, true);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        snprintf(name, sizeof name, "block%zu", i + 1);
        rill_scope_begin(g, name);
        x = conv_norm(g, "depthwise", x, (conv){in, in, 3, blocks[i].stride, in}, true);
        x = conv_norm(g, "pointwise", x, (conv){in, blocks[i].out, 1, 1, 1}, true);
        rill_scope_end(g);
        in = blocks[i].out;
    }
    return dense(g, "logits", rill_global_avg_pool2d(g, x, NULL), 1024, 1000, NULL);
}

static const struct {
    const char *name;
    rill_value (*build)(rill_graph *g, rill_value x);
} models[] = {{"vgg16", vgg16}, {"resnet50", resnet50}, {"mobilenet", mobilenet}};

int main(int argc, char **argv)
{
    rill_error err;
    rill_graph *g;
    size_t m = 0, n = sizeof models / sizeof *models;
    while (m < n && (argc < 2 || strcmp(argv[1], models[m].name) != 0)) m++;
    if (argc != 3 || m == n) {
        fprintf(stderr, "usage: %s vgg16|resnet50|mobilenet OUT.json\n", argv[0]);
        return 2;
    }
    if (rill_graph_create(NULL, models[m].name, &g, &err) != RILL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 224, 224, 3));
    rill_output(g, models[m].build(g, x));
    rill_status st = rill_graph_status(g);
    if (st != RILL_OK)
        fprintf(stderr, "%s\n", rill_graph_error(g)->message);
    else if ((st = rill_graph_save(g, argv[2], &err)) != RILL_OK)
        fprintf(stderr, "%s\n", err.message);
    rill_graph_destroy(g);
    return st == RILL_OK ? 0 : 1;
}
