/* program.h: a graph compiled for (outputs, updates, training flag, symbol binding): an array of
 * steps with kernels chosen, memory planned and a schedule made. Immutable once compiled. */
#ifndef RILL_SRC_PROGRAM_H
#define RILL_SRC_PROGRAM_H

#include "exec/schedule.h"
#include "graph/graph.h"
#include "rill/exec.h"

/* Where the bytes of a value are at run time. */
typedef enum rill_place_kind {
    RILL_PLACE_NONE, /* nobody reads them */
    RILL_PLACE_ARENA,
    RILL_PLACE_KEPT,     /* made by the prologue, kept by the instance */
    RILL_PLACE_CONSTANT, /* index: node of the program's graph */
    RILL_PLACE_INPUT,    /* index: of the program's inputs */
    RILL_PLACE_VARIABLE, /* index: of the session's variables; the value before the run */
    RILL_PLACE_NEXT      /* index: likewise; what the variable will be after the run */
} rill_place_kind;

typedef struct rill_place {
    rill_place_kind kind;
    uint32_t index;
    size_t offset; /* there */
} rill_place;

typedef struct rill_step {
    uint32_t node; /* of the program's graph */
    const rill_kernel *kernel;
    rill_call call;
    uint32_t first_pointer; /* its n_in + n_out entries of the pointer table */
    rill_place scratch;
    double flops, bytes;
} rill_step;

typedef struct rill_program_input {
    rill_value input; /* of the user's graph */
    rill_type type;
} rill_program_input;

typedef struct rill_program_output {
    rill_place place;
    rill_type type;
    size_t bytes;
} rill_program_output;

typedef struct rill_program_update {
    uint32_t variable;
    rill_place from; /* NEXT of this variable, or what to copy there at the end of the run */
    size_t bytes;
} rill_program_update;

/* A node of the user's graph, for the observer: its values are outputs first_output .. + n_outputs.
 */
typedef struct rill_observed {
    uint32_t node, first_output, n_outputs;
    int64_t after_step; /* ready when that step is done; -1: from the start */
} rill_observed;

/* Steps that run together. */
typedef struct rill_part {
    uint32_t first, n;       /* of the program's steps */
    rill_schedule *schedule; /* its step 0 is `first` */
} rill_part;

struct rill_program {
    rill_context *ctx;
    const rill_graph *user_graph;
    rill_graph *graph;  /* what runs */
    rill_arena memory;  /* everything below */
    rill_place *places; /* by value of `graph` */
    rill_step *steps;
    uint32_t n_steps;
    /* The prologue makes what depends on nothing but constants and variables that the program does
     * not update. It runs before the first run, and again when one of `watched` has changed. */
    rill_part prologue, main;
    uint32_t *watched; /* variables */
    uint32_t n_watched;
    rill_place *pointers; /* the pointer table, unresolved */
    uint32_t n_pointers;
    bool *last_read; /* by pointer, of observable programs: nobody reads these bytes later */
    rill_program_input *inputs;
    uint32_t n_inputs;
    rill_program_output *outputs;
    uint32_t n_outputs; /* fetched ones come first, then observed ones */
    uint32_t n_fetches;
    rill_program_update *updates;
    uint32_t n_updates;
    rill_observed *observed;
    uint32_t n_observed;
    uint32_t n_variables; /* of the user's graph when this was compiled */
    size_t arena_bytes, thread_scratch, kept_bytes;
    size_t expected_bytes; /* of the arena, as the recompute pass saw it; 0: it did not run */
    bool observable, flush_denormals;
    rill_program_info info;
};

#endif
