/* fused_map.c: bodies of elementwise instructions, run tile by tile.
 *
 * A tile is up to 256 elements. Inputs of the space's size are read where they are and move along
 * with the tile ("linear"), one-element inputs stay ("fixed"), others are walked: where the
 * collapsed space has long rows, a tile stays in a row, in which they are contiguous or one
 * element; where rows are short they are spread over a buffer first. fused_compile.c makes the
 * steps that a tile goes through. */
#include "ops/fused_program.h"

/* ---- checking -------------------------------------------------------------------------------- */

bool rill_map_passes(const rill_op *op)
{
    return op == &rill_op_broadcast_to || op == &rill_op_broadcast_like ||
           op == &rill_op_identity || op == &rill_op_stop_gradient;
}

bool rill_map_find_loops(const rill_instruction *it, const rill_type *in, const rill_type *results,
                         const rill_type *result, rill_loops *loops)
{
    rill_type types[RILL_LOOP_MAX_OPERANDS];
    if (it->n_operands > RILL_LOOP_MAX_OPERANDS) return false;
    for (uint32_t k = 0; k < it->n_operands; k++) {
        const rill_operand x = it->operands[k];
        types[k] = x >= 0 ? in[x] : results[~x];
    }
    return rill_elementwise_loops(it->op, it->attrs, types, it->n_operands, result, loops);
}

bool rill_map_takes(const rill_body *b, uint32_t i, const rill_type *in, const rill_type *results)
{
    rill_loops loops;
    const rill_instruction *it = &b->instructions[i];
    return rill_map_passes(it->op) || rill_map_find_loops(it, in, results, &results[i], &loops);
}

rill_status rill_map_check_size(const rill_body *b, rill_error *err)
{
    if (b->n_instructions > RILL_FUSED_INSTRUCTIONS)
        return rill_fail(err, RILL_ERR_UNSUPPORTED,
                         "body: expected at most %d instructions, got %u", RILL_FUSED_INSTRUCTIONS,
                         b->n_instructions);
    if (b->n_inputs > RILL_FUSED_INPUTS)
        return rill_fail(err, RILL_ERR_UNSUPPORTED, "body: expected at most %d inputs, got %u",
                         RILL_FUSED_INPUTS, b->n_inputs);
    return RILL_OK;
}

rill_status rill_map_check(const rill_body *b, const rill_type *in, const rill_type *results,
                           const rill_shape *space, rill_error *err)
{
    RILL_TRY(rill_map_check_size(b, err));
    for (uint32_t i = 0; i < b->n_instructions; i++) {
        const rill_instruction *it = &b->instructions[i];
        if (!rill_map_takes(b, i, in, results))
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "body: instruction %u (%s): not an elementwise op", i, it->op->name);
        if (!rill_shape_equal(&results[i].shape, space)) {
            char got[128], want[128];
            const rill_type space_type = {results[i].dtype, *space};
            return rill_fail(err, RILL_ERR_UNSUPPORTED,
                             "body: instruction %u (%s): expected a result of %s, got %s", i,
                             it->op->name, rill_type_text(NULL, &space_type, want, sizeof want),
                             rill_type_text(NULL, &results[i], got, sizeof got));
        }
    }
    return RILL_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct frame {
    unsigned char *slot[RILL_MAP_SLOTS];
    int64_t offset[RILL_MAP_INPUTS];
    _Alignas(64) unsigned char buffer[RILL_MAP_BUFFERS + 8 * RILL_MAP_SLOTS];
} frame;

static void run_steps(const rill_map_step *steps, uint32_t n_steps, unsigned char *const *slot,
                      int64_t n)
{
    for (const rill_map_step *s = steps; s < steps + n_steps; s++) {
        if (s->loop) {
            const void *in[RILL_LOOP_MAX_OPERANDS];
            for (int k = 0; k < RILL_LOOP_MAX_OPERANDS; k++) in[k] = slot[s->in[k]];
            s->loop(slot[s->out], in, s->param, s->single ? 1 : n);
        } else {
            s->chain(s->links, s->n_links, slot, n);
        }
    }
}

static void start(const rill_map *m, frame *f, const void *const *in, void *const *out,
                  int64_t first)
{
    f->slot[0] = NULL;
    for (uint32_t k = 0; k < m->n_buffers; k++)
        f->slot[m->first_buffer + k] = f->buffer + m->buffers[k];
    for (uint32_t k = 0; k < m->n_linear; k++) {
        const rill_map_stream *s = &m->linear[k];
        const void *base = k < m->n_linear_in ? in[s->arg] : out[s->arg];
        f->slot[s->slot] = (unsigned char *)((uintptr_t)base + (size_t)first * s->size);
    }
    for (uint32_t k = 0; k < m->n_fixed; k++)
        f->slot[m->fixed[k].slot] = (unsigned char *)(uintptr_t)in[m->fixed[k].arg];
}

/* Sets the slots of the walked inputs for a tile of up to n elements; returns how many it has. */
static int64_t walk_tile(const rill_map *m, frame *f, const void *const *in, rill_walk *w,
                         int64_t n)
{
    if (!m->spread) {
        const int64_t left = rill_walk_row_left(w);
        for (uint32_t k = 0; k < m->paths.n; k++) {
            const rill_map_stream *s = &m->walked[k];
            f->slot[s->slot] =
                (unsigned char *)((uintptr_t)in[s->arg] + (size_t)w->offset[k] * s->size);
        }
        n = n < left ? n : left;
        rill_walk_on(w, n);
        return n;
    }
    for (int64_t done = 0; done < n;) {
        const int64_t left = rill_walk_row_left(w), here = left < n - done ? left : n - done;
        for (uint32_t k = 0; k < m->paths.n; k++) {
            const rill_map_stream *s = &m->walked[k];
            rill_spread(f->slot[s->slot] + (size_t)done * s->size,
                        (const void *)((uintptr_t)in[s->arg] + (size_t)w->offset[k] * s->size),
                        rill_paths_stride(&m->paths, k), here, s->size);
        }
        done += here;
        rill_walk_on(w, here);
    }
    return n;
}

void rill_map_run(const rill_map *m, const void *const *in, void *const *out, int64_t first,
                  int64_t n)
{
    frame f;
    rill_walk w;
    if (n <= 0) return;
    start(m, &f, in, out, first);
    if (m->paths.n) rill_walk_start(&w, &m->paths, first, f.offset);
    run_steps(m->steps, m->n_once, f.slot, m->tile);
    while (n > 0) {
        int64_t here = n < m->tile ? n : m->tile;
        if (m->paths.n) here = walk_tile(m, &f, in, &w, here);
        run_steps(m->steps + m->n_once, m->n_steps - m->n_once, f.slot, here);
        for (uint32_t k = 0; k < m->n_linear; k++)
            f.slot[m->linear[k].slot] += (size_t)here * m->linear[k].size;
        n -= here;
    }
    if (m->fence) m->fence();
}
