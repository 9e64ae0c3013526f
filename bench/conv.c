/* conv.c: convolution layers in f32, one image and a batch: forward and both adjoints, in NHWC and
 * NCHW, on one thread by its own clock: GFLOP/s, and the share of the machine's peak at that time.
 * "packed" is forward with a filter that was packed before; 0: the compiler would not.
 */
#include "ops/conv.h"
#include "ops/blas.h"
#include "peak.h"

#include <stdio.h>
#include <string.h>

typedef struct layer {
    const char *name;
    int n, hw, cin, k, cout, stride;
} layer;

typedef struct job {
    const rill_kernel *kernel;
    const rill_call *call;
    const void *in[3];
    void *out[1], *scratch, *thread_scratch;
} job;

static void run_once(void *arg)
{
    const job *j = arg;
    rill_error err;
    for (uint32_t p = 0; p < j->call->n_phases; p++) {
        for (int64_t u = 0; u < j->call->units[p]; u++) {
            const rill_task task = {.call = j->call,
                                    .in = j->in,
                                    .out = j->out,
                                    .scratch = j->scratch,
                                    .thread_scratch = j->thread_scratch,
                                    .phase = p,
                                    .unit = u,
                                    .err = &err};
            (void)j->kernel->run(&task);
        }
    }
}

static void *filled(const rill_type *type)
{
    const int64_t n = rill_shape_count(&type->shape);
    float *data = aligned_alloc(64, ((size_t)n * sizeof(float) + 63) / 64 * 64);
    for (int64_t i = 0; data && i < n; i++) data[i] = (float)(i % 7) - 3;
    return data;
}

/* The first kernel of v's node that takes the call. */
static peak_share rate_of(const rill_graph *g, rill_value v)
{
    rill_node_info info;
    rill_type in_types[3] = {{0}}, out_type = rill_value_type(g, v);
    peak_share result = {0, 0};
    if (rill_graph_node(g, (size_t)rill_value_node(g, v), &info) != RILL_OK) return result;
    rill_call call = {.op = info.op,
                      .attrs = info.attrs,
                      .in = in_types,
                      .n_in = info.n_inputs,
                      .out = &out_type,
                      .n_out = 1,
                      .n_phases = 1,
                      .units = {1}};
    void *in[3] = {NULL};
    for (uint32_t i = 0; i < info.n_inputs; i++) {
        if (!rill_valid(info.inputs[i])) continue;
        in_types[i] = rill_value_type(g, info.inputs[i]);
        in[i] = filled(&in_types[i]);
    }
    const rill_kernel *kernel = info.op->kernels;
    while (kernel->accepts && !kernel->accepts(&call)) kernel++;
    job j = {
        .kernel = kernel, .call = &call, .in = {in[0], in[1], in[2]}, .out = {filled(&out_type)}};
    if (kernel->prepare(&call, NULL) == RILL_OK) {
        double flops = 0, bytes = 0;
        j.scratch = aligned_alloc(64, call.scratch + 64 - call.scratch % 64);
        j.thread_scratch = aligned_alloc(64, call.thread_scratch + 64 - call.thread_scratch % 64);
        info.op->cost(&call, &flops, &bytes);
        result = peak_measure(run_once, &j, flops, 3e-3);
        free(j.scratch);
        free(j.thread_scratch);
    }
    for (int i = 0; i < 3; i++) free(in[i]);
    free(j.out[0]);
    return result;
}

/* conv2d with a filter that was packed before, as it is at inference. */
static rill_value packed_conv(rill_graph *g, const rill_node_info *conv)
{
    const rill_value x = conv->inputs[0], f = conv->inputs[1];
    const rill_type tx = rill_value_type(g, x), tf = rill_value_type(g, f);
    if (!rill_conv_direct_wants_packing(conv->attrs, &tx, &tf)) return RILL_NONE;
    const rill_shape shape = rill_value_type(g, f).shape;
    rill_attr attrs[RILL_W_FILTER_SHAPE + 1] = {{.type = RILL_ATTR_ABSENT}};
    memcpy(attrs, conv->attrs, RILL_W_N_CONV * sizeof *attrs);
    attrs[RILL_W_FILTER_SHAPE] = rill_attr_shape(&shape);
    const rill_attr packing[] = {[RILL_PACK_DATA_FORMAT] = attrs[RILL_W_DATA_FORMAT],
                                 [RILL_PACK_GROUP] = attrs[RILL_W_GROUP]};
    const rill_value p = rill_emit1(g, &rill_op_pack_filter, f, packing);
    return rill_emit2(g, &rill_op_packed_conv2d, x, p, attrs);
}

static void measure(const layer *l, bool nchw)
{
    rill_graph *g = NULL;
    if (rill_graph_create(NULL, NULL, &g, NULL) != RILL_OK) return;
    rill_window w = RILL_WINDOW_INIT;
    w.padding = "same";
    w.strides[0] = w.strides[1] = l->stride;
    w.data_format = nchw ? "NCHW" : "NHWC";
    const rill_value x = rill_input(g, "x", RILL_F32,
                                    nchw ? RILL_SHAPE(l->n, l->cin, l->hw, l->hw)
                                         : RILL_SHAPE(l->n, l->hw, l->hw, l->cin));
    const rill_value f = rill_input(g, "f", RILL_F32,
                                    nchw ? RILL_SHAPE(l->cout, l->cin, l->k, l->k)
                                         : RILL_SHAPE(l->k, l->k, l->cin, l->cout));
    const rill_value y = rill_conv2d(g, x, f, RILL_NONE, &w);
    const rill_value dy = rill_input(g, "dy", RILL_F32, rill_value_type(g, y).shape);
    rill_node_info info;
    if (rill_graph_status(g) == RILL_OK &&
        rill_graph_node(g, (size_t)rill_value_node(g, y), &info) == RILL_OK) {
        const rill_value dx = rill_emit3(g, &rill_op_conv2d_input_gradient, dy, f, x, info.attrs);
        const rill_value df = rill_emit3(g, &rill_op_conv2d_filter_gradient, x, dy, f, info.attrs);
        const rill_value packed = packed_conv(g, &info);
        const peak_share none = {0, 0};
        const peak_share r[] = {rate_of(g, y), rill_valid(packed) ? rate_of(g, packed) : none,
                                rate_of(g, dx), rate_of(g, df)};
        printf("%-26s %s x%-3d", l->name, nchw ? "NCHW" : "NHWC", l->n);
        for (int i = 0; i < 4; i++) printf("  %6.1f %3.0f %%", r[i].gflops, 100 * r[i].share);
        printf("\n");
    }
    rill_graph_destroy(g);
}

/* With an argument, only the layers whose name has it. */
int main(int argc, char **argv)
{
    static const layer layers[] = {
        {"28x28x1->32 3x3", 128, 28, 1, 3, 32, 1},
        {"26x26x32->64 3x3", 128, 26, 32, 3, 64, 1},
        {"56x56x64->64 3x3", 1, 56, 64, 3, 64, 1},
        {"28x28x128->128 3x3", 1, 28, 128, 3, 128, 1},
        {"14x14x256->256 3x3", 1, 14, 256, 3, 256, 1},
        {"7x7x512->512 3x3", 1, 7, 512, 3, 512, 1},
        {"56x56x64->256 1x1", 1, 56, 64, 1, 256, 1},
        {"56x56x128->128 3x3 s2", 1, 56, 128, 3, 128, 2},
        {"56x56x256->64 1x1", 1, 56, 256, 1, 64, 1},
        {"14x14x1024->256 1x1", 1, 14, 1024, 1, 256, 1},
        {"7x7x2048->512 1x1", 1, 7, 2048, 1, 512, 1},
        {"7x7x512->512 3x3", 16, 7, 512, 3, 512, 1},
        {"14x14x256->256 3x3", 16, 14, 256, 3, 256, 1},
        {"224x224x3->64 7x7 s2", 1, 224, 3, 7, 64, 2},
        {"224x224x3->64 3x3", 1, 224, 3, 3, 64, 1},
        {"112x112x128->128 3x3", 1, 112, 128, 3, 128, 1},
        {"28x28x512->512 3x3", 1, 28, 512, 3, 512, 1},
    };
    rill_blas_acquire();
    printf("GFLOP/s and share of the peak, f32     forward         packed        d input       d "
           "filter\n");
    for (size_t i = 0; i < RILL_LEN(layers); i++) {
        if (argc > 1 && !strstr(layers[i].name, argv[1])) continue;
        measure(&layers[i], false);
        measure(&layers[i], true);
    }
    rill_blas_release();
    return 0;
}
