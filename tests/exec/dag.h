/* dag.h: random acyclic graphs of steps, for the tests of the scheduler and the planner. */
#ifndef RILL_TESTS_DAG_H
#define RILL_TESTS_DAG_H

#include "core/core.h"

#include <stdlib.h>

typedef struct dag {
    uint32_t n, n_succ;
    uint32_t *succ_first, *succ;
} dag;

/* Steps 0..n-1; each has up to max_preds predecessors among the `reach` steps before it. The same
 * pair may be drawn twice. Allocation failures end the test program. */
static inline dag dag_random(rill_random *r, uint32_t n, uint32_t max_preds, uint32_t reach)
{
    dag g = {.n = n};
    const size_t room = (size_t)n * max_preds + 1;
    uint32_t(*edges)[2] = malloc(room * sizeof *edges);
    g.succ_first = calloc((size_t)n + 1, sizeof *g.succ_first);
    g.succ = malloc(room * sizeof *g.succ);
    if (!edges || !g.succ_first || !g.succ) abort();
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t k = (uint32_t)rill_random_below(r, max_preds + 1);
        for (uint32_t j = 0; j < k; j++) {
            const uint32_t back = (uint32_t)rill_random_below(r, i < reach ? i : reach) + 1;
            edges[g.n_succ][0] = i - back;
            edges[g.n_succ++][1] = i;
            g.succ_first[i - back + 1]++;
        }
    }
    for (uint32_t i = 0; i < n; i++) g.succ_first[i + 1] += g.succ_first[i];
    uint32_t *at = malloc(((size_t)n + 1) * sizeof *at);
    if (!at) abort();
    memcpy(at, g.succ_first, ((size_t)n + 1) * sizeof *at);
    for (uint32_t k = 0; k < g.n_succ; k++) g.succ[at[edges[k][0]]++] = edges[k][1];
    free(at);
    free(edges);
    return g;
}

static inline void dag_free(dag *g)
{
    free(g->succ_first);
    free(g->succ);
}

#endif
