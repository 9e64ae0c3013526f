/* Times the gradients of convolutions in f32, as whole programs: a JSON line for the gradient of
 * the input ("convbwdD") and one for that of the filter ("convbwdW") of each shape.
 *
 *   bench_conv_backward [THREADS [SECONDS [LAYOUT [NAME]]]]
 *
 * LAYOUT is NHWC (if left out) or NCHW; with a NAME only the shapes whose name has it are measured.
 * `share` is the share of the peak of fused multiply-adds that was to be had right before and after
 * each batch of runs, times the threads; the median over the batches. */
#include "bench.h"
#include "ops/conv.h"
#include "peak.h"

#include <string.h>

enum { MAX_RUNS = 4000, BATCHES = 15 };

typedef struct shape {
    const char *name;
    int batch, size, cin, cout, kernel, stride, group, dilation;
} shape;

static const shape shapes[] = {
    {"56_3x3_64_b", 16, 56, 64, 64, 3, 1, 1, 1},
    {"14_3x3_256_b", 16, 14, 256, 256, 3, 1, 1, 1},
    {"w2conv2_24x24_32_64_b", 128, 24, 32, 64, 3, 1, 1, 1},
    {"w2conv1_28x28_1_32_b", 128, 28, 1, 32, 3, 1, 1, 1},
    {"56_1x1_64_256_b", 16, 56, 64, 256, 1, 1, 1, 1},
    {"28_3x3_128_s2_b", 16, 28, 128, 128, 3, 2, 1, 1},
    {"28_3x3_128_g4_b", 16, 28, 128, 128, 3, 1, 4, 1},
    {"28_3x3_128_d2_b", 16, 28, 128, 128, 3, 1, 1, 2},
    {"56_3x3_128_depthwise_b", 16, 56, 128, 128, 3, 1, 128, 1},
    {"stem7x7s2_b", 16, 224, 3, 64, 7, 2, 1, 1},
    {"7_3x3_512", 1, 7, 512, 512, 3, 1, 1, 1},
};

static rill_tensor *random_tensor(const rill_graph *g, rill_value v)
{
    rill_error err;
    rill_tensor *t = NULL;
    const rill_type type = rill_value_type(g, v);
    must(rill_tensor_create(NULL, type.dtype, type.shape, &t, &err), "tensor", &err);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) {
        ((float *)rill_tensor_data(t))[i] = (float)(rand() % 2000 - 1000) / 1000.0f;
    }
    return t;
}

/* Runs in batches between bursts; v is the only thing fetched. */
static void measure(const char *kind, const shape *s, const char *layout, rill_session *session,
                    const rill_feed *feeds, rill_value v, double flops, double seconds)
{
    static double times[MAX_RUNS], shares[BATCHES];
    rill_error err;
    rill_tensor *result = NULL;
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds;
    o.n_feeds = 3;
    o.fetches = &v;
    o.n_fetches = 1;
    o.results = &result;
    for (double start = now(); now() - start < seconds / 3;) {
        must(rill_session_run(session, &o, &err), "run", &err);
    }
    const int threads = rill_session_threads(session);
    int n = 0;
    for (int b = 0; b < BATCHES; b++) {
        const double burst = peak_burst(), start = now();
        const int first = n;
        while (n < MAX_RUNS * (b + 1) / BATCHES && (n == first || now() - start < seconds / 23)) {
            const double before = now();
            must(rill_session_run(session, &o, &err), "run", &err);
            times[n++] = now() - before;
        }
        const double rate = flops * (n - first) / (now() - start) / 1e9;
        shares[b] = rate / threads / ((burst + peak_burst()) / 2);
    }
    qsort(times, (size_t)n, sizeof *times, by_value);
    qsort(shares, BATCHES, sizeof *shares, by_value);
    printf("{\"peer\": \"rill\", \"workload\": \"%s_%s\", \"layout\": \"%s\", \"threads\": %d, "
           "\"median_ms\": %.5f, \"min_ms\": %.5f, \"gflops\": %.1f, \"share\": %.3f}\n",
           kind, s->name, layout, threads, times[n / 2] * 1e3, times[0] * 1e3,
           flops / times[n / 2] / 1e9, shares[BATCHES / 2]);
    fflush(stdout);
    rill_tensor_destroy(result);
}

static void run(const shape *s, const char *layout, int threads, double seconds)
{
    const bool nchw = strcmp(layout, "NCHW") == 0;
    rill_error err;
    rill_graph *g;
    rill_session *session;
    must(rill_graph_create(NULL, s->name, &g, &err), s->name, &err);
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    w.strides[0] = w.strides[1] = s->stride;
    w.dilations[0] = w.dilations[1] = s->dilation;
    w.group = s->group;
    w.data_format = layout;
    const int in = s->cin / s->group;
    const rill_value x = rill_input(g, "x", RILL_F32,
                                    nchw ? RILL_SHAPE(s->batch, s->cin, s->size, s->size)
                                         : RILL_SHAPE(s->batch, s->size, s->size, s->cin));
    const rill_value f = rill_input(g, "f", RILL_F32,
                                    nchw ? RILL_SHAPE(s->cout, in, s->kernel, s->kernel)
                                         : RILL_SHAPE(s->kernel, s->kernel, in, s->cout));
    const rill_value y = rill_conv2d(g, x, f, RILL_NONE, &w);
    const rill_type dy_type = rill_value_type(g, y);
    const rill_value dy = rill_input(g, "dy", RILL_F32, dy_type.shape);
    rill_node_info info;
    must(rill_graph_node(g, (size_t)rill_value_node(g, y), &info), s->name, &err);
    const rill_value dx = rill_emit3(g, &rill_op_conv2d_input_gradient, dy, f, x, info.attrs);
    const rill_value df = rill_emit3(g, &rill_op_conv2d_filter_gradient, x, dy, f, info.attrs);
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    so.level = 1;
    must(rill_session_create(g, &so, &session, &err), "session", &err);
    const rill_feed feeds[] = {
        {x, random_tensor(g, x)}, {f, random_tensor(g, f)}, {dy, random_tensor(g, dy)}};
    const double flops =
        2.0 * (double)rill_shape_count(&dy_type.shape) * in * s->kernel * s->kernel;
    measure("convbwdD", s, layout, session, feeds, dx, flops, seconds);
    measure("convbwdW", s, layout, session, feeds, df, flops, seconds);
    for (int i = 0; i < 3; i++) rill_tensor_destroy((rill_tensor *)(uintptr_t)feeds[i].tensor);
    rill_session_destroy(session);
    rill_graph_destroy(g);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    const double seconds = argc > 2 ? atof(argv[2]) : 0.5;
    const char *layout = argc > 3 ? argv[3] : "NHWC", *name = argc > 4 ? argv[4] : "";
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strstr(shapes[i].name, name)) run(&shapes[i], layout, threads, seconds);
    }
    return 0;
}
