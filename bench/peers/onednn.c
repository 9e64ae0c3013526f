/* Times oneDNN's convolutions in f32, each in the layouts that oneDNN likes best, as JSON lines.
 *
 *   peer_onednn SHAPES.txt THREADS [SECONDS] [backward]
 *
 * Forward with bias and ReLU; with "backward" the gradients of the data and of the weights (with
 * that of the bias). The zeros around an image are those of padding "same". */
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_RUNS 20000

enum { FORWARD, DATA, WEIGHTS, N_WAYS };

typedef struct shape {
    char name[64];
    int batch, size, c_in, c_out, kernel, stride;
} shape;

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success) return;
    fprintf(stderr, "peer_onednn: %s: status %d\n", what, (int)status);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Memory of the layout that the primitive wants, filled. */
static dnnl_memory_t memory(const_dnnl_primitive_desc_t p, dnnl_query_t which)
{
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(p, which, 0);
    dnnl_memory_t m;
    void *data;
    must(dnnl_memory_create(&m, desc, engine, DNNL_MEMORY_ALLOCATE), "memory");
    must(dnnl_memory_get_data_handle(m, &data), "memory");
    const size_t n = dnnl_memory_desc_get_size(desc) / sizeof(float);
    for (size_t i = 0; i < n; i++) ((float *)data)[i] = (float)(i % 13) / 13 - 0.5f;
    return m;
}

/* The zeros before and behind; behind may be more, as with padding "same". */
static void padding(const shape *s, dnnl_dims_t before, dnnl_dims_t behind)
{
    const int out = (s->size + s->stride - 1) / s->stride;
    const int all = (out - 1) * s->stride + s->kernel - s->size;
    for (int i = 0; i < 2; i++) {
        before[i] = all > 0 ? all / 2 : 0;
        behind[i] = all > 0 ? all - all / 2 : 0;
    }
}

static dnnl_primitive_desc_t describe(const shape *s, int way)
{
    const int out = (s->size + s->stride - 1) / s->stride;
    const dnnl_dims_t x_dims = {s->batch, s->c_in, s->size, s->size}, b_dims = {s->c_out};
    const dnnl_dims_t w_dims = {s->c_out, s->c_in, s->kernel, s->kernel};
    const dnnl_dims_t y_dims = {s->batch, s->c_out, out, out}, strides = {s->stride, s->stride};
    dnnl_dims_t before, behind;
    padding(s, before, behind);
    dnnl_memory_desc_t x, w, b, y;
    must(dnnl_memory_desc_init_by_tag(&x, 4, x_dims, dnnl_f32, dnnl_format_tag_any), "x");
    must(dnnl_memory_desc_init_by_tag(&w, 4, w_dims, dnnl_f32, dnnl_format_tag_any), "w");
    must(dnnl_memory_desc_init_by_tag(&b, 1, b_dims, dnnl_f32, dnnl_a), "b");
    must(dnnl_memory_desc_init_by_tag(&y, 4, y_dims, dnnl_f32, dnnl_format_tag_any), "y");
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t relu;
    must(dnnl_primitive_attr_create(&attr), "attributes");
    must(dnnl_post_ops_create(&relu), "ReLU");
    must(dnnl_post_ops_append_eltwise(relu, 1, dnnl_eltwise_relu, 0, 0), "ReLU");
    if (way == FORWARD) must(dnnl_primitive_attr_set_post_ops(attr, relu), "ReLU");
    dnnl_convolution_desc_t forward, backward;
    must(dnnl_convolution_forward_desc_init(
             &forward, way == FORWARD ? dnnl_forward_inference : dnnl_forward_training,
             dnnl_convolution_direct, &x, &w, &b, &y, strides, before, behind),
         s->name);
    dnnl_primitive_desc_t p, hint;
    must(dnnl_primitive_desc_create(&p, &forward, attr, engine, NULL), s->name);
    dnnl_post_ops_destroy(relu);
    dnnl_primitive_attr_destroy(attr);
    if (way == FORWARD) return p;
    hint = p;
    if (way == DATA)
        must(dnnl_convolution_backward_data_desc_init(&backward, dnnl_convolution_direct, &x, &w,
                                                      &y, strides, before, behind),
             s->name);
    else
        must(dnnl_convolution_backward_weights_desc_init(&backward, dnnl_convolution_direct, &x, &w,
                                                         &b, &y, strides, before, behind),
             s->name);
    must(dnnl_primitive_desc_create(&p, &backward, NULL, engine, hint), s->name);
    dnnl_primitive_desc_destroy(hint);
    return p;
}

static void measure(const shape *s, int way, int threads, double seconds)
{
    static const char *const names[N_WAYS] = {"convrelu", "convbwdD", "convbwdW"};
    static double times[MAX_RUNS];
    const dnnl_primitive_desc_t p = describe(s, way);
    const char *kernel = "";
    dnnl_primitive_desc_query(p, dnnl_query_impl_info_str, 0, &kernel);
    dnnl_exec_arg_t args[4] = {
        {way == DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
         memory(p, way == DATA ? dnnl_query_diff_src_md : dnnl_query_src_md)},
        {way == WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
         memory(p, way == WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md)},
        {way == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
         memory(p, way == FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md)}};
    int n_args = 3, n = 0;
    dnnl_memory_desc_t bias;
    const dnnl_dims_t b_dims = {s->c_out};
    if (way != DATA) {
        void *data;
        must(dnnl_memory_desc_init_by_tag(&bias, 1, b_dims, dnnl_f32, dnnl_a), "b");
        args[3].arg = way == FORWARD ? DNNL_ARG_BIAS : DNNL_ARG_DIFF_BIAS;
        must(dnnl_memory_create(&args[3].memory, &bias, engine, DNNL_MEMORY_ALLOCATE), "b");
        must(dnnl_memory_get_data_handle(args[3].memory, &data), "b");
        memset(data, 0, (size_t)s->c_out * sizeof(float));
        n_args = 4;
    }
    dnnl_primitive_t primitive;
    must(dnnl_primitive_create(&primitive, p), s->name);
    const double start = now();
    while (n < MAX_RUNS && (now() - start < seconds || n < 3)) {
        const double before = now();
        must(dnnl_primitive_execute(primitive, stream, n_args, args), s->name);
        must(dnnl_stream_wait(stream), s->name);
        if (now() - start > seconds / 5) times[n++] = now() - before;
    }
    qsort(times, (size_t)n, sizeof *times, by_value);
    const int out = (s->size + s->stride - 1) / s->stride;
    const double flops = 2.0 * s->batch * out * out * s->c_in * s->c_out * s->kernel * s->kernel;
    printf("{\"peer\": \"onednn\", \"workload\": \"%s_%s\", \"threads\": %d, \"median_ms\": %.5f, "
           "\"min_ms\": %.5f, \"gflops\": %.1f, \"runs\": %d, \"kernel\": \"%s\"}\n",
           names[way], s->name, threads, times[n / 2] * 1e3, times[0] * 1e3,
           flops / times[n / 2] * 1e-9, n, kernel);
    fflush(stdout);
    for (int i = 0; i < n_args; i++) dnnl_memory_destroy(args[i].memory);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(p);
}

int main(int argc, char **argv)
{
    char line[256];
    shape s;
    FILE *shapes = argc > 2 ? fopen(argv[1], "r") : NULL;
    if (!shapes) {
        fprintf(stderr, "usage: peer_onednn SHAPES.txt THREADS [SECONDS] [backward]\n");
        return 2;
    }
    const int threads = atoi(argv[2]);
    const double seconds = argc > 3 ? atof(argv[3]) : 0.5;
    const int backward = argc > 4;
    omp_set_num_threads(threads);
    must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    while (fgets(line, sizeof line, shapes)) {
        if (sscanf(line, "%63s %d %d %d %d %d %d", s.name, &s.batch, &s.size, &s.c_in, &s.c_out,
                   &s.kernel, &s.stride) != 7 ||
            s.name[0] == '#')
            continue;
        for (int way = backward ? DATA : FORWARD; way <= (backward ? WEIGHTS : FORWARD); way++)
            measure(&s, way, threads, seconds);
    }
    fclose(shapes);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}
