/* compile_limit.c: compiling under a memory limit.
 *
 * First without recomputation; only if that does not fit, with. The pass that chooses what to
 * recompute sees the live bytes of an order of nodes, not the plan with its padding, scratch and
 * gaps; so it is given a smaller aim until the plan fits, and at last the smallest aim there is. */
#include "exec/compile.h"

#include <stdio.h>

enum { MAX_ATTEMPTS = 6, MAX_SIZES = 4 };

/* Compiles with an aim for the recompute pass, 0 for none. Keeps the program if it fits; else *need
 * and *aim become what it needs and a better aim. */
static rill_status attempt(const rill_graph *g, const rill_compile_options *options, size_t *aim,
                           rill_program **out, size_t *need, rill_error *err)
{
    const size_t limit = options->memory_limit;
    RILL_TRY(rill_compile_once(g, options, *aim, out, err));
    *need = (*out)->arena_bytes;
    if (*need <= limit) return RILL_OK;
    const size_t expected = (*out)->expected_bytes, over = *need - limit;
    *aim = *aim == 0 ? limit : expected > over ? expected - over : 1;
    rill_program_destroy(*out);
    *out = NULL;
    return RILL_OK;
}

/* *out stays NULL if nothing fits; then *need is the least that was reached. */
static rill_status find_fit(const rill_graph *g, const rill_compile_options *o, rill_program **out,
                            size_t *need, rill_error *err)
{
    size_t aim = 0;
    RILL_TRY(attempt(g, o, &aim, out, need, err));
    for (int i = 1; !*out && o->level > 0 && i <= MAX_ATTEMPTS; i++) {
        size_t got;
        if (i == MAX_ATTEMPTS) aim = 1;
        RILL_TRY(attempt(g, o, &aim, out, &got, err));
        if (got < *need) *need = got;
    }
    return RILL_OK;
}

/* ---- what would help ------------------------------------------------------------------------- */

/* Whether it fits with another size of the first bound symbol. Failures count as no. */
static bool fits_with(const rill_graph *g, const rill_compile_options *options,
                      rill_binding *bindings, int64_t size, size_t *need)
{
    rill_compile_options o = *options;
    rill_program *p = NULL;
    rill_error ignored;
    bindings[0].size = size;
    o.bindings = bindings;
    *need = SIZE_MAX;
    const bool fits = find_fit(g, &o, &p, need, &ignored) == RILL_OK && p;
    rill_program_destroy(p);
    return fits;
}

/* A size of the first bound symbol, which is the batch as a rule, that fits; 0 if not even 1 does.
 * The bytes grow about linearly with it. */
static int64_t find_size(const rill_graph *g, const rill_compile_options *o, rill_binding *bindings,
                         size_t need)
{
    const int64_t now = bindings[0].size;
    size_t least;
    if (now < 2 || !fits_with(g, o, bindings, 1, &least)) return 0;
    const double slope = ((double)need - (double)least) / (double)(now - 1);
    double guess = 1 + ((double)o->memory_limit - (double)least) / slope;
    for (int i = 0; i < MAX_SIZES && slope > 0; i++, guess *= 0.9) {
        if (guess >= (double)now) guess = (double)(now - 1);
        if (guess < 2) break;
        if (fits_with(g, o, bindings, (int64_t)guess, &need)) return (int64_t)guess;
    }
    return 1;
}

static rill_status explain(const rill_graph *g, const rill_compile_options *o, size_t need,
                           rill_error *err)
{
    char help[160] = "";
    rill_binding *bindings = rill_alloc_zero(g->ctx, o->n_bindings + (size_t)1, sizeof *bindings);
    if (!bindings) return rill_nomem(err, "program");
    if (o->n_bindings) {
        memcpy(bindings, o->bindings, o->n_bindings * sizeof *bindings);
        const char *symbol = rill_symbol_name(g, bindings[0].symbol);
        const int64_t now = bindings[0].size, size = find_size(g, o, bindings, need);
        if (size > 0)
            snprintf(help, sizeof help, "; with %.40s = %lld instead of %lld it would fit", symbol,
                     (long long)size, (long long)now);
        else if (now > 1)
            snprintf(help, sizeof help, "; it does not fit with %.40s = 1 either", symbol);
    }
    rill_free(g->ctx, bindings, (o->n_bindings + (size_t)1) * sizeof *bindings);
    return rill_fail(
        err, RILL_ERR_INVALID,
        "memory limit: expected intermediate results of at most %zu bytes, got %zu%s%s",
        o->memory_limit, need,
        o->level > 0 ? ", recomputing what can be" : "; level 0 recomputes nothing", help);
}

rill_status rill_compile_within_limit(const rill_graph *g, const rill_compile_options *options,
                                      rill_program **out, rill_error *err)
{
    size_t need = 0;
    *out = NULL;
    RILL_TRY(find_fit(g, options, out, &need, err));
    return *out ? RILL_OK : explain(g, options, need, err);
}
