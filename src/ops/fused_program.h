/* fused_program.h: what a map is once it is compiled. */
#ifndef RILL_SRC_OPS_FUSED_PROGRAM_H
#define RILL_SRC_OPS_FUSED_PROGRAM_H

#include "ops/elementwise.h"
#include "ops/fused.h"
#include "ops/kernels/fused.h"
#include "ops/walk.h"

enum {
    RILL_MAP_BUFFERS = 16384, /* bytes of all buffers of a tile: half the first-level cache */
    RILL_MAP_STEPS = 4 * RILL_FUSED_INSTRUCTIONS + 2 * RILL_MAX_OUTPUTS,
    RILL_MAP_VALUES = RILL_MAP_INPUTS + RILL_MAP_STEPS,
    RILL_MAP_SLOTS = RILL_MAP_VALUES + RILL_MAX_OUTPUTS
};

/* A call of a loop or of a chain, on slots: pointers that are set for each tile. */
typedef struct rill_map_step {
    rill_loop loop; /* NULL: a chain */
    const void *param;
    uint16_t out, in[RILL_LOOP_MAX_OPERANDS];
    bool single; /* one element */
    rill_chain_loop chain;
    const rill_link *links;
    uint32_t n_links;
} rill_map_step;

/* An operand that lies in memory: where its pointer goes, and from which argument it comes. */
typedef struct rill_map_stream {
    uint16_t slot, arg;
    uint32_t size;
} rill_map_stream;

struct rill_map {
    const rill_map_step *steps;
    uint32_t n_steps, n_once;      /* the first n_once run once, the others for each tile */
    const rill_map_stream *linear; /* inputs, then outputs */
    uint32_t n_linear_in, n_linear;
    const rill_map_stream *fixed;
    uint32_t n_fixed;
    const rill_map_stream *walked; /* in the order of the paths */
    rill_paths paths;
    bool spread;             /* walked inputs are spread over buffers, the slots */
    const uint32_t *buffers; /* bytes from the start; of slot first_buffer + k */
    uint32_t n_buffers, first_buffer;
    int64_t tile;
    void (*fence)(void); /* if outputs are streamed */
};

/* The loops of an instruction; false: it has none. */
bool rill_map_find_loops(const rill_instruction *it, const rill_type *in, const rill_type *results,
                         const rill_type *result, rill_loops *loops);

#endif
