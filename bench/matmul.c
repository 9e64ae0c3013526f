/* matmul.c: GFLOP/s of the matrix product: tiles as rill cuts them, on 1 and on all threads, beside
 * one call of OpenBLAS with one and with all of its threads. Best of many repetitions; on a busy
 * machine only the 1-thread figures, taken from the thread's own clock, mean something.
 *
 * The first rows are the training step of an MLP 784-256-128-10 at batch 128: forward, gradient of
 * the weights (transposed a), gradient of the input (transposed b).
 */
#include "ops/blas.h"
#include "ops/ops.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct shape {
    bool ta, tb;
    int m, k, n;
} shape;

typedef struct job {
    const rill_kernel *kernel;
    const rill_call *call;
    const void *in[2];
    void *out[1];
    atomic_llong next;
} job;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void take_units(void *arg, int worker)
{
    job *j = arg;
    rill_error err;
    (void)worker;
    for (int64_t u; (u = atomic_fetch_add(&j->next, 1)) < j->call->units[0];) {
        const rill_task task = {
            .call = j->call, .in = j->in, .out = j->out, .unit = u, .err = &err};
        (void)j->kernel->run(&task);
    }
}

static double best_of_units(job *j, int threads)
{
    double best = 1e30;
    rill_team *team = rill_team_create(NULL, threads);
    const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    for (int i = 0; i < 50; i++) {
        atomic_store(&j->next, 0);
        const double start = seconds(clock);
        if (threads == 1) {
            take_units(j, 0);
        } else {
            rill_team_run(team, threads, take_units, j);
        }
        const double t = seconds(clock) - start;
        if (t < best) best = t;
    }
    rill_team_destroy(team);
    return best;
}

static double best_of_blas(const shape *s, const job *j, int threads)
{
    double best = 1e30;
    const int before = openblas_get_num_threads();
    const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    openblas_set_num_threads(threads);
    for (int i = 0; i < 50; i++) {
        const double start = seconds(clock);
        cblas_sgemm(CblasRowMajor, s->ta ? CblasTrans : CblasNoTrans,
                    s->tb ? CblasTrans : CblasNoTrans, s->m, s->n, s->k, 1, j->in[0],
                    s->ta ? s->m : s->k, j->in[1], s->tb ? s->k : s->n, 0, j->out[0], s->n);
        const double t = seconds(clock) - start;
        if (t < best) best = t;
    }
    openblas_set_num_threads(before);
    return best;
}

static void measure(const shape *s)
{
    const int threads = rill_cpu_count();
    const rill_attr attrs[] = {rill_attr_bool(s->ta), rill_attr_bool(s->tb)};
    const rill_type types[] = {
        {RILL_F32, s->ta ? RILL_SHAPE(s->k, s->m) : RILL_SHAPE(s->m, s->k)},
        {RILL_F32, s->tb ? RILL_SHAPE(s->n, s->k) : RILL_SHAPE(s->k, s->n)},
    };
    const rill_type out = {RILL_F32, RILL_SHAPE(s->m, s->n)};
    rill_call call = {.op = &rill_op_matmul,
                      .attrs = attrs,
                      .in = types,
                      .n_in = 2,
                      .out = &out,
                      .n_out = 1,
                      .n_phases = 1,
                      .units = {1}};
    const rill_kernel *kernel = &rill_op_matmul.kernels[0];
    rill_tensor *a = NULL, *b = NULL, *c = NULL;
    if (rill_tensor_create(NULL, RILL_F32, types[0].shape, &a, NULL) == RILL_OK &&
        rill_tensor_create(NULL, RILL_F32, types[1].shape, &b, NULL) == RILL_OK &&
        rill_tensor_create(NULL, RILL_F32, out.shape, &c, NULL) == RILL_OK &&
        kernel->prepare(&call, NULL) == RILL_OK) {
        for (int64_t i = 0; i < a->count; i++) rill_tensor_put(a, i, (double)(i % 7) - 3);
        for (int64_t i = 0; i < b->count; i++) rill_tensor_put(b, i, (double)(i % 5) - 2);
        job j = {.kernel = kernel, .call = &call, .in = {a->data, b->data}, .out = {c->data}};
        const double gflop = 2e-9 * s->m * s->n * s->k;
        rill_blas_acquire();
        const double one = best_of_units(&j, 1), all = best_of_units(&j, threads);
        rill_blas_release();
        printf("%s%s %5d x %5d x %5d %6lld %8.1f %8.1f %8.1f %8.1f\n", s->ta ? "T" : "N",
               s->tb ? "T" : "N", s->m, s->k, s->n, (long long)call.units[0], gflop / one,
               gflop / all, gflop / best_of_blas(s, &j, 1), gflop / best_of_blas(s, &j, threads));
    }
    rill_tensor_destroy(a);
    rill_tensor_destroy(b);
    rill_tensor_destroy(c);
}

int main(void)
{
    static const shape shapes[] = {
        {false, false, 128, 784, 256},    {true, false, 784, 128, 256},
        {false, false, 128, 256, 128},    {true, false, 256, 128, 128},
        {false, true, 128, 128, 256},     {false, false, 128, 128, 10},
        {true, false, 128, 128, 10},      {false, true, 128, 10, 128},
        {false, false, 512, 512, 512},    {false, true, 512, 512, 512},
        {false, false, 1024, 1024, 1024}, {false, false, 32, 768, 3072},
        {false, false, 8, 1024, 1024},    {false, false, 1, 1024, 1024},
        {false, true, 1, 1024, 1024},     {false, false, 1000, 1000, 1},
        {false, false, 4, 4, 4},          {false, false, 16, 16, 16},
    };
    printf("GFLOP/s, f32              units   rill 1   rill %d   blas 1   blas %d\n",
           rill_cpu_count(), rill_cpu_count());
    for (size_t i = 0; i < RILL_LEN(shapes); i++) measure(&shapes[i]);
    return 0;
}
