/* conv.c: convolution layers in f32 as a session runs them: forward with bias and relu, the filter
 * packed where the compiler packs it, or the gradients of input and filter. One JSON line for
 * each: median and fastest run, GFLOP/s, and the share of what the threads' fused multiply-adds
 * reached meanwhile.
 *
 *   bench_conv SHAPES.txt [THREADS [SECONDS [forward|backward [NHWC|NCHW [NAME]]]]]
 *
 * With NAME, only shapes whose name has it. The windows are those of padding "same". */
#include "bench.h"
#include "graph/graph.h"
#include "ops/ops.h"
#include "peak.h"

#include <string.h>
#include <sys/resource.h>

enum { MAX_RUNS = 4000, BURSTS = 16 };

typedef struct layer {
    char name[64];
    int n, hw, cin, cout, k, stride;
} layer;

static rill_shape image(const layer *l, bool nchw, int hw, int channels)
{
    return nchw ? RILL_SHAPE(l->n, channels, hw, hw) : RILL_SHAPE(l->n, hw, hw, channels);
}

/* The value to fetch: a graph whose filter and bias are variables, and images inputs. */
static rill_value build(rill_graph *g, const layer *l, char what, bool nchw)
{
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    w.strides[0] = w.strides[1] = l->stride;
    w.data_format = nchw ? "NCHW" : "NHWC";
    const rill_shape filter =
        nchw ? RILL_SHAPE(l->cout, l->cin, l->k, l->k) : RILL_SHAPE(l->k, l->k, l->cin, l->cout);
    const rill_value x = rill_input(g, "x", RILL_F32, image(l, nchw, l->hw, l->cin));
    const rill_value f = rill_variable_of(g, "filter", RILL_F32, filter, RILL_INIT_HE_NORMAL);
    const rill_value b =
        rill_variable_of(g, "bias", RILL_F32, RILL_SHAPE(l->cout), RILL_INIT_NORMAL);
    if (what == 'f') return rill_relu(g, rill_conv2d(g, x, f, b, &w));
    const rill_value y = rill_conv2d(g, x, f, RILL_NONE, &w);
    const rill_value dy = rill_input(g, "dy", RILL_F32, rill_value_type(g, y).shape);
    rill_node_info conv;
    if (rill_graph_node(g, (size_t)rill_value_node(g, y), &conv) != RILL_OK) return RILL_NONE;
    return what == 'd' ? rill_emit3(g, &rill_op_conv2d_input_gradient, dy, f, x, conv.attrs)
                       : rill_emit3(g, &rill_op_conv2d_filter_gradient, x, dy, f, conv.attrs);
}

static void print(const layer *l, char what, bool nchw, int threads, double *times, int n,
                  double *peaks)
{
    struct rusage usage;
    const double out = (l->hw + l->stride - 1) / l->stride;
    const double flops = 2.0 * l->n * out * out * l->k * l->k * (double)l->cin * l->cout;
    qsort(times, (size_t)n, sizeof *times, by_value);
    qsort(peaks, BURSTS, sizeof *peaks, by_value);
    getrusage(RUSAGE_SELF, &usage);
    const double gflops = flops / times[n / 2] * 1e-6;
    printf("{\"peer\": \"rill\", \"workload\": \"%s_%s\", \"layout\": \"%s\", \"threads\": %d, "
           "\"median_ms\": %.5f, \"min_ms\": %.5f, \"gflops\": %.1f, \"share\": %.3f, "
           "\"peak_rss_mb\": %.0f}\n",
           what == 'f'   ? "convrelu"
           : what == 'd' ? "convbwdD"
                         : "convbwdW",
           l->name, nchw ? "NCHW" : "NHWC", threads, times[n / 2], times[0], gflops,
           gflops / (threads * peaks[BURSTS / 2]), (double)usage.ru_maxrss / 1024);
}

/* Runs for a third of `seconds` to warm up, then in BURSTS parts with a burst before each. */
static void measure(const layer *l, char what, bool nchw, int threads, double seconds)
{
    static double times[MAX_RUNS];
    double peaks[BURSTS];
    rill_error err;
    rill_graph *g;
    rill_session *s;
    rill_tensor *result = NULL;
    must(rill_graph_create(NULL, l->name, &g, &err), "graph", &err);
    const rill_value y = build(g, l, what, nchw), dy = rill_graph_find(g, "dy");
    const rill_value x = rill_graph_find(g, "x");
    must(rill_graph_status(g), l->name, rill_graph_error(g));
    rill_session_options so = RILL_SESSION_OPTIONS_INIT;
    so.threads = threads;
    must(rill_session_create(g, &so, &s, &err), "session", &err);
    rill_feed feeds[2] = {{x, draw(g, x, 1)}};
    if (rill_valid(dy)) feeds[1] = (rill_feed){dy, draw(g, dy, 1)};
    rill_run_options o = RILL_RUN_OPTIONS_INIT;
    o.feeds = feeds + (what == 'd');
    o.n_feeds = what == 'w' ? 2 : 1;
    o.fetches = &y;
    o.n_fetches = 1;
    o.results = &result;
    const double start = now();
    do must(rill_session_run(s, &o, &err), "run", &err);
    while (now() - start < seconds / 3);
    int n = 0;
    for (int b = 0; b < BURSTS; b++) {
        const double begin = now();
        peaks[b] = peak_burst();
        for (int k = 0; k == 0 || (n < MAX_RUNS && now() - begin < seconds / BURSTS); k++) {
            const double before = now();
            must(rill_session_run(s, &o, &err), "run", &err);
            if (n < MAX_RUNS) times[n++] = (now() - before) * 1e3;
        }
    }
    print(l, what, nchw, threads, times, n, peaks);
    for (int i = 0; i < 2; i++) rill_tensor_destroy((rill_tensor *)(uintptr_t)feeds[i].tensor);
    rill_tensor_destroy(result);
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

int main(int argc, char **argv)
{
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    const double seconds = argc > 3 ? atof(argv[3]) : 0.4;
    const bool backward = argc > 4 && strcmp(argv[4], "backward") == 0;
    const bool nchw = argc > 5 && strcmp(argv[5], "NCHW") == 0;
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;
    char line[200];
    if (!f) {
        fprintf(stderr, "usage: bench_conv SHAPES.txt [THREADS [SECONDS [forward|backward "
                        "[NHWC|NCHW [NAME]]]]]\n");
        return 2;
    }
    while (fgets(line, sizeof line, f)) {
        layer l;
        if (line[0] == '#') continue;
        if (sscanf(line, "%63s %d %d %d %d %d %d", l.name, &l.n, &l.hw, &l.cin, &l.cout, &l.k,
                   &l.stride) != 7) {
            fprintf(stderr, "%s: expected seven fields, got: %s", argv[1], line);
            return 2;
        }
        if (argc > 6 && !strstr(l.name, argv[6])) continue;
        for (const char *w = backward ? "dw" : "f"; *w; w++)
            measure(&l, *w, nchw, threads, seconds);
    }
    fclose(f);
    return 0;
}
