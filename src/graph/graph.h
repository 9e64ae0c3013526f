/* graph.h: how the graph is stored. Nodes and values are numbered in the order in which they were
 * added; names, attributes, inputs and initialisers live in the graph's arena; nothing is ever
 * removed. Scratch of an algorithm lives in side arrays indexed by these numbers. */
#ifndef RILL_SRC_GRAPH_H
#define RILL_SRC_GRAPH_H

#include "core/core.h"
#include "rill/graph.h"
#include "rill/op.h"

/* The inside of a composite node, put into the graph by autodiff: nodes first_node..end_node-1. */
typedef struct rill_expansion_s {
    size_t first_node, end_node;
    const rill_value *outputs; /* one for each of the composite's */
} rill_expansion_s;

typedef struct rill_node_s {
    rill_node_kind kind;
    const rill_op *op; /* OP */
    const char *name;
    const rill_attr *attrs; /* op->n_attrs */
    const rill_value *inputs;
    uint32_t n_inputs;
    uint32_t first_value; /* outputs are values first_value .. first_value + n_outputs - 1 */
    uint32_t n_outputs;
    int64_t gradient_of; /* node, or -1 */
    bool auto_named;     /* the name was made by rill */
    /* VARIABLE */
    bool trainable;
    bool updated; /* has an update */
    rill_value slot_of;
    const rill_init *init;
    /* CONSTANT */
    const rill_tensor *data;
    const rill_expansion_s *expansion; /* OP: NULL unless autodiff has expanded it */
} rill_node_s;

typedef struct rill_value_s {
    uint32_t node, port;
    rill_type type;
} rill_value_s;

typedef struct rill_update_s {
    rill_value variable, value;
} rill_update_s;

/* Node `after` runs behind node `before`, though it need not read anything of it. The last pass
 * makes these, for the compiler; they are neither copied by passes nor saved. */
typedef struct rill_order_edge {
    uint32_t before, after;
} rill_order_edge;

/* A key "x-..." of the JSON file, kept for saving: raw JSON text; node -1 is the top level. `place`
 * says in which object inside the node's or the file's own the key stood: "" for the object itself,
 * "init", "attrs", "update"; "training", "training/optimizer" ... */
typedef struct rill_extra_s {
    int64_t node;
    const char *place, *key, *json;
} rill_extra_s;

struct rill_graph {
    rill_context *ctx;
    rill_arena arena;
    const char *name;
    rill_node_s *nodes;
    size_t n_nodes, cap_nodes;
    rill_value_s *values;
    size_t n_values, cap_values;
    rill_value *outputs;
    size_t n_outputs, cap_outputs;
    rill_update_s *updates;
    size_t n_updates, cap_updates;
    rill_order_edge *edges;
    size_t n_edges, cap_edges;
    const char **symbols;
    size_t n_symbols, cap_symbols;
    uint32_t *by_symbol; /* open addressing: symbol + 1, 0 is empty; size a power of two */
    size_t by_symbol_size;
    rill_extra_s *extras;
    size_t n_extras, cap_extras;
    rill_tensor **tensors; /* owned: constants and init data */
    size_t n_tensors, cap_tensors;
    uint32_t *by_name; /* open addressing: node + 1, 0 is empty; size a power of two */
    size_t by_name_size;
    uint64_t auto_number;  /* automatic names below this number may be taken */
    const char *next_name; /* from rill_named */
    const char **scopes;   /* full prefixes, innermost last */
    size_t n_scopes, cap_scopes;
    /* Being made by a pass out of this graph, in place of that node of it: nodes of `from` keep
     * their names, so what a pass adds leaves these free and gets a number instead of an error. */
    const rill_graph *from;
    size_t from_node;
    int64_t gradient_of;                  /* tag for nodes added now, -1 */
    const struct rill_training *training; /* in the arena, or NULL */
    rill_error error;
};

/* ---- building ------------------------------------------------------------------------------ */

/* Adds a node of a known op; attrs are op->n_attrs positional entries (ABSENT takes the default),
 * or NULL for all defaults. This is what every function of rill/ops.h calls. */
rill_value rill_emit(rill_graph *g, const rill_op *op, const rill_value *inputs, size_t n_inputs,
                     const rill_attr *attrs);
rill_value rill_emit1(rill_graph *g, const rill_op *op, rill_value x, const rill_attr *attrs);
rill_value rill_emit2(rill_graph *g, const rill_op *op, rill_value a, rill_value b,
                      const rill_attr *attrs);
rill_value rill_emit3(rill_graph *g, const rill_op *op, rill_value a, rill_value b, rill_value c,
                      const rill_attr *attrs);

/* Records the first error on the graph (later ones are dropped) and returns the invalid value. */
rill_value rill_graph_fail(rill_graph *g, rill_status status, const char *fmt, ...)
    RILL_PRINTF(3, 4);

/* ---- reading ------------------------------------------------------------------------------- */

static inline const rill_value_s *rill_value_at(const rill_graph *g, rill_value v)
{
    return &g->values[v.ref - 1];
}
static inline const rill_node_s *rill_node_of(const rill_graph *g, rill_value v)
{
    return &g->nodes[g->values[v.ref - 1].node];
}
static inline rill_value rill_node_value(const rill_node_s *n, uint32_t port)
{
    return (rill_value){n->first_value + port + 1};
}
/* The invalid value has dtype NONE and rank 0, so that builders can go on after one has failed. */
static inline const rill_type *rill_type_of(const rill_graph *g, rill_value v)
{
    static const rill_type none = {RILL_DTYPE_NONE, {0, {0}}};
    return rill_valid(v) ? &g->values[v.ref - 1].type : &none;
}
bool rill_value_in(const rill_graph *g, rill_value v); /* a value of this graph */
/* The port of input i: the last one of a variadic op stands for all that follow. */
static inline const rill_port *rill_port_of(const rill_op *op, size_t i)
{
    return &op->inputs[i < op->n_inputs ? i : op->n_inputs - 1];
}

/* Whether input i of n is there and its bytes are read. */
static inline bool rill_node_reads(const rill_node_s *n, uint32_t i)
{
    return rill_valid(n->inputs[i]) && !(rill_port_of(n->op, i)->flags & RILL_PORT_SHAPE_ONLY);
}
/* Its output has the bytes of input 0: there is no step. */
static inline bool rill_node_is_alias(const rill_node_s *n)
{
    return n->kind == RILL_NODE_OP && (n->op->flags & RILL_OP_ALIAS);
}

static inline bool rill_dim_is_symbol(rill_dim d)
{
    return d <= -2;
}
static inline size_t rill_dim_symbol(rill_dim d)
{
    return (size_t)(-2 - d);
}

/* The node that the one of this name in a rewritten graph comes from: what a pass makes out of node
 * "a/b" is called "a/b", or "a/b/c" if it is inside. -1: none. */
int64_t rill_graph_origin(const rill_graph *g, const char *name);
/* Value of a constant node that is a scalar (or has one element); false if v is no such thing. */
bool rill_value_constant(const rill_graph *g, rill_value v, double *out);

/* ---- attributes ---------------------------------------------------------------------------- */

/* Checks `value` against spec (type, range, choices, length), converts INT to FLOAT where wanted;
 * message says `attribute "axis": expected ..., got ...`. */
rill_status rill_attr_check(const rill_attr_spec *spec, const rill_attr *value, rill_attr *out,
                            rill_error *err);
/* What the spec expects, in words: "2 positive integers", "a number from 0 to 1". Returns buf. */
const char *rill_attr_expectation(const rill_attr_spec *spec, char *buf, size_t size);
bool rill_attr_equal(const rill_attr *a, const rill_attr *b);
/* As written in the text form: -1, 0.5, true, "same", [1,2], f32. */
void rill_attr_text(rill_text *t, const rill_graph *g, const rill_attr *a);
int rill_op_attr_index(const rill_op *op, const char *name); /* -1 if it has none of that name */

/* The outputs that a node of the op with these attributes has, and the port of output k. */
uint32_t rill_op_outputs(const rill_op *op, const rill_attr *attrs);
const rill_port *rill_op_output_port(const rill_op *op, uint32_t k);
/* Runs dtype rules and infer of an op over input types; out has rill_op_outputs entries. */
rill_status rill_op_infer(const rill_graph *g, const rill_op *op, const rill_type *in, size_t n_in,
                          const rill_attr *attrs, rill_type *out, rill_error *err);

/* ---- initialisers (graph/init.c) ------------------------------------------------------------- */

/* Fills t (the variable's dtype and shape) with the initial value of the variable called `name`;
 * `team` may be NULL. */
rill_status rill_init_fill(const rill_init *init, const char *name, uint64_t seed, rill_tensor *t,
                           rill_team *team, rill_error *err);
/* Checks an initialiser against a type (fans, data shape, float-only kinds). */
rill_status rill_init_check(const rill_init *init, const rill_type *type, rill_error *err);
const char *rill_init_name(rill_init_kind kind); /* "glorot_uniform" */
bool rill_init_from_name(const char *name, rill_init_kind *out);

#endif
