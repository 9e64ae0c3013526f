/* schedule_merge.c: makes tasks of small steps, which would cost more to hand to a thread than to
 * run.
 *
 * A step below SMALL_NS may share a task with others up to MERGED_NS. First, steps that follow each
 * other and nothing else become links of a chain. Then each chain, in order, joins the task that it
 * waits for, if one comes after all others, or a sibling: a task that was opened for a chain that
 * waits for the same one. So chains that do not depend on each other stay apart as long as they are
 * worth a thread, and what lies side by side is bundled.
 *
 * Every task has a level, which is higher than those of all tasks that it waits for. A chain joins
 * a task only if that stays so; no cycle can arise, and the time is linear.
 */
#include "exec/schedule_impl.h"

static const double SMALL_NS = 2000;
static const double MERGED_NS = 10000;
#define NONE UINT32_MAX

typedef struct bundle {
    uint32_t level;
    uint32_t sibling; /* the last task opened for chains that wait for this one only, or NONE */
    bool open;        /* others may join */
    double cost;
} bundle;

typedef struct merge {
    const rill_schedule_spec *spec;
    uint32_t *pred_first, *pred; /* of each step */
    uint32_t *chain;             /* of each step: the first step of its chain */
    double *cost;  /* of each chain, by that step; one that is not small is negative */
    bundle *tasks; /* as they are made */
    uint32_t n_tasks;
    uint32_t *task_of; /* of each step */
    uint32_t *rank;    /* scratch: of each task, its number by level */
    uint32_t *at;      /* scratch: of each level, one more than there can be */
    uint32_t root;     /* as sibling, of chains that wait for nothing */
} merge;

/* The predecessor of a step that has one, maybe listed several times; else NONE. */
static uint32_t only_pred(const merge *m, uint32_t step)
{
    const uint32_t *pred = m->pred + m->pred_first[step];
    const uint32_t n = m->pred_first[step + 1] - m->pred_first[step];
    for (uint32_t k = 1; k < n; k++)
        if (pred[k] != pred[0]) return NONE;
    return n ? pred[0] : NONE;
}

static bool has_one_successor(const merge *m, uint32_t step)
{
    const uint32_t first = m->spec->succ_first[step], end = m->spec->succ_first[step + 1];
    for (uint32_t k = first + 1; k < end; k++)
        if (m->spec->succ[k] != m->spec->succ[first]) return false;
    return end > first;
}

static void find_preds(merge *m)
{
    const rill_schedule_spec *spec = m->spec;
    const uint32_t n = spec->n_steps;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = spec->succ_first[i]; k < spec->succ_first[i + 1]; k++)
            m->pred_first[spec->succ[k] + 1]++;
    for (uint32_t i = 0; i < n; i++) m->pred_first[i + 1] += m->pred_first[i];
    for (uint32_t i = 0; i < n; i++) m->rank[i] = m->pred_first[i];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = spec->succ_first[i]; k < spec->succ_first[i + 1]; k++)
            m->pred[m->rank[spec->succ[k]]++] = i;
}

static void find_chains(merge *m)
{
    for (uint32_t i = 0; i < m->spec->n_steps; i++) {
        const double cost = m->spec->cost[i];
        const uint32_t before = only_pred(m, i);
        m->chain[i] = i;
        m->cost[i] = cost < SMALL_NS ? cost : -1;
        if (before == NONE || m->cost[i] < 0 || !has_one_successor(m, before)) continue;
        const uint32_t head = m->chain[before];
        if (m->cost[head] < 0 || m->cost[head] + cost > MERGED_NS) continue;
        m->chain[i] = head;
        m->cost[head] += cost;
    }
}

static bool fits(const merge *m, uint32_t t, double cost)
{
    return t != NONE && m->tasks[t].open && m->tasks[t].cost + cost <= MERGED_NS;
}

/* The task of the chain that begins with `step`. */
static uint32_t place_chain(merge *m, uint32_t step)
{
    const double cost = m->cost[step];
    uint32_t last = NONE, level = 0; /* of the tasks that it waits for, the one of highest level */
    bool single = true;
    for (uint32_t k = m->pred_first[step]; k < m->pred_first[step + 1]; k++) {
        const uint32_t t = m->task_of[m->pred[k]];
        if (last != NONE && m->tasks[t].level == m->tasks[last].level) single &= t == last;
        if (last != NONE && m->tasks[t].level <= m->tasks[last].level) continue;
        last = t;
        single = true;
    }
    if (last != NONE) level = m->tasks[last].level + 1;
    uint32_t *sibling = !single ? NULL : last == NONE ? &m->root : &m->tasks[last].sibling;
    if (cost >= 0 && single && fits(m, last, cost)) return last;
    if (cost >= 0 && sibling && fits(m, *sibling, cost)) return *sibling;
    m->tasks[m->n_tasks] = (bundle){level, NONE, cost >= 0, 0};
    if (cost >= 0 && sibling) *sibling = m->n_tasks;
    return m->n_tasks++;
}

static void find_tasks(merge *m)
{
    for (uint32_t i = 0; i < m->spec->n_steps; i++) {
        if (m->chain[i] != i) {
            m->task_of[i] = m->task_of[m->chain[i]];
            continue;
        }
        m->task_of[i] = place_chain(m, i);
        m->tasks[m->task_of[i]].cost += m->cost[i] > 0 ? m->cost[i] : 0;
    }
}

/* By level, those of one level in the order in which they were opened. */
static void number_tasks(merge *m)
{
    for (uint32_t t = 0; t < m->n_tasks; t++) m->at[m->tasks[t].level + 1]++;
    for (uint32_t t = 0; t < m->n_tasks; t++) m->at[t + 1] += m->at[t];
    for (uint32_t t = 0; t < m->n_tasks; t++) m->rank[t] = m->at[m->tasks[t].level]++;
    for (uint32_t i = 0; i < m->spec->n_steps; i++) m->task_of[i] = m->rank[m->task_of[i]];
}

rill_status rill_schedule_merge(rill_context *ctx, const rill_schedule_spec *spec, uint32_t *task,
                                uint32_t *n_tasks, rill_error *err)
{
    const uint32_t n = spec->n_steps, n_succ = n ? spec->succ_first[n] : 0;
    *n_tasks = n;
    for (uint32_t i = 0; i < n; i++) task[i] = i;
    if (!spec->cost) return RILL_OK;
    rill_arena scratch;
    rill_arena_init(&scratch, ctx);
    merge m = {.spec = spec, .task_of = task, .root = NONE};
    m.pred_first = rill_arena_zero(&scratch, (size_t)n + 1, sizeof *m.pred_first);
    m.pred = rill_arena_zero(&scratch, n_succ, sizeof *m.pred);
    m.chain = rill_arena_zero(&scratch, n, sizeof *m.chain);
    m.cost = rill_arena_zero(&scratch, n, sizeof *m.cost);
    m.tasks = rill_arena_zero(&scratch, n, sizeof *m.tasks);
    m.rank = rill_arena_zero(&scratch, n, sizeof *m.rank);
    m.at = rill_arena_zero(&scratch, (size_t)n + 1, sizeof *m.at);
    const bool ok = m.pred_first && m.pred && m.chain && m.cost && m.tasks && m.rank && m.at;
    if (ok) {
        find_preds(&m);
        find_chains(&m);
        find_tasks(&m);
        number_tasks(&m);
        *n_tasks = m.n_tasks;
    }
    rill_arena_free(&scratch);
    return ok ? RILL_OK : rill_nomem(err, "schedule");
}
