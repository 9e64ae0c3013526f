/* The most bytes live at once when nodes run one by one: what orders and views are chosen by. The
 * planner has its own bound, of buffers that it has been given; this one is found before there are
 * any, from roots alone. */
#include "exec/compile.h"

/* Bytes of the arena that a root takes. */
static size_t arena_bytes_of(const rill_builder *b, uint32_t root)
{
    size_t bytes = 0;
    if (rill_is_buffer(b, root) && b->p->places[root].kind == RILL_PLACE_NONE)
        rill_type_bytes(&b->g->values[root].type, &bytes);
    return bytes;
}

static void find_last_uses(const rill_builder *b, const uint32_t *nodes, uint32_t n,
                           rill_root_use *uses)
{
    for (uint32_t i = 0; i < n; i++) {
        const rill_node_s *node = &b->g->nodes[nodes[i]];
        if (b->role[nodes[i]] == RILL_ROLE_VIEW) continue;
        for (uint32_t k = 0; k < node->n_outputs; k++)
            uses[b->root[node->first_value + k]] = (rill_root_use){.last = i};
        for (uint32_t k = 0; k < node->n_inputs; k++)
            if (rill_node_reads(node, k)) uses[rill_root_of(b, node->inputs[k])].last = i;
    }
}

/* The root's last use is this one; its bytes, the first time that this is asked. */
static size_t end(const rill_builder *b, uint32_t root, uint32_t i, rill_root_use *uses)
{
    if (uses[root].last != i || !uses[root].live || b->at_end[root]) return 0;
    uses[root].live = false;
    return arena_bytes_of(b, root);
}

size_t rill_compile_peak(const rill_builder *b, const uint32_t *nodes, uint32_t n,
                         rill_root_use *uses)
{
    size_t live = 0, peak = 0;
    find_last_uses(b, nodes, n, uses);
    for (uint32_t i = 0; i < n; i++) {
        const rill_node_s *node = &b->g->nodes[nodes[i]];
        const uint32_t step = b->step_of[nodes[i]];
        const size_t scratch = step == UINT32_MAX ? 0 : b->p->steps[step].call.scratch;
        size_t made = 0, freed = 0;
        if (b->role[nodes[i]] == RILL_ROLE_VIEW) continue;
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            const uint32_t root = b->root[node->first_value + k];
            if (!uses[root].live) made += arena_bytes_of(b, root);
            uses[root].live = true;
        }
        for (uint32_t k = 0; k < node->n_inputs; k++)
            if (rill_node_reads(node, k))
                freed += end(b, rill_root_of(b, node->inputs[k]), i, uses);
        /* What lies in place of an input takes no more. */
        const bool in_place = node->op->flags & RILL_OP_INPLACE;
        const size_t shared = !in_place ? 0 : freed < made ? freed : made;
        live += made;
        if (live - shared + scratch > peak) peak = live - shared + scratch;
        for (uint32_t k = 0; k < node->n_outputs; k++)
            freed += end(b, b->root[node->first_value + k], i, uses);
        live -= freed;
    }
    return peak;
}
