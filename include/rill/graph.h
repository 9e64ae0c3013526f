/* rill/graph.h: the graph: an append-only list of nodes in static single assignment form.
 *
 * A node has inputs (values that exist already, so a cycle cannot be built and node order is a
 * topological order), attributes, and one or more outputs. A value is one output of one node;
 * inputs, variables and constants are nodes too. Adding with an invalid value adds nothing, returns
 * the invalid value and leaves the first error on the graph: check rill_graph_status once, at the
 * end.
 *
 * Threads: a graph that nobody appends to may be read from any number of threads.
 */
#ifndef RILL_GRAPH_H
#define RILL_GRAPH_H

#include "rill/core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_graph rill_graph;
struct rill_op;
struct rill_attr;

/* A handle of one value of one graph. {0} is the invalid value, also the way to leave out an
 * optional input. */
typedef struct rill_value {
    uint32_t ref; /* 1 + the value's number in the text form */
} rill_value;
static const rill_value RILL_NONE = {0};
static inline bool rill_valid(rill_value v)
{
    return v.ref != 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* An empty graph; `name` is copied ("graph" if NULL). Freezes `ctx`. */
RILL_API RILL_NODISCARD rill_status rill_graph_create(rill_context *ctx, const char *name,
                                                      rill_graph **out, rill_error *err);
/* Frees the graph and all its nodes. Sessions of the graph must be destroyed first. */
RILL_API void rill_graph_destroy(rill_graph *g);
/* RILL_OK, or the first error that a builder call met; rill_graph_error has its text. */
RILL_API rill_status rill_graph_status(const rill_graph *g);
RILL_API const rill_error *rill_graph_error(const rill_graph *g);
/* Checks every invariant again (types by inference, order, names, outputs, updates). */
RILL_API RILL_NODISCARD rill_status rill_graph_validate(const rill_graph *g, rill_error *err);
RILL_API const char *rill_graph_name(const rill_graph *g);
RILL_API rill_context *rill_graph_context(const rill_graph *g);

/* ---- symbols and names --------------------------------------------------------------------- */

/* The dimension that is called `name` in this graph; the same name gives the same symbol. */
RILL_API rill_dim rill_symbol(rill_graph *g, const char *name);
/* The symbol's name; NULL if `dim` is no symbol of the graph. */
RILL_API const char *rill_symbol_name(const rill_graph *g, rill_dim dim);

/* Names the next node that is added (within the current scope) and returns g, so that
 * `rill_relu(rill_named(g, "act"), x)` reads well. The other arguments of such a call must not add
 * nodes themselves: C leaves open which argument comes first. Without it a node is called after its
 * op, with a number. Names are unique; 1-255 bytes of UTF-8 without control characters, white space
 * or : = , %
 * " \ */
RILL_API rill_graph *rill_named(rill_graph *g, const char *name);
/* Names of nodes added until the matching end get the prefix "NAME/". Scopes nest. */
RILL_API void rill_scope_begin(rill_graph *g, const char *name);
RILL_API void rill_scope_end(rill_graph *g);

/* ---- sources ------------------------------------------------------------------------------- */

/* A value that each run is fed. */
RILL_API rill_value rill_input(rill_graph *g, const char *name, rill_dtype dtype, rill_shape shape);

typedef enum rill_init_kind {
    RILL_INIT_ZEROS,
    RILL_INIT_ONES,
    RILL_INIT_CONSTANT,         /* value */
    RILL_INIT_UNIFORM,          /* [low, high) */
    RILL_INIT_NORMAL,           /* mean, stddev */
    RILL_INIT_TRUNCATED_NORMAL, /* mean, stddev, redrawn outside 2 stddev */
    RILL_INIT_GLOROT_UNIFORM,   /* limit sqrt(6 / (fan_in + fan_out)) */
    RILL_INIT_GLOROT_NORMAL, /* truncated; stddev sqrt(2 / (fan_in + fan_out)) / 0.87962566103423978
                              */
    RILL_INIT_HE_UNIFORM,    /* limit sqrt(6 / fan_in) */
    RILL_INIT_HE_NORMAL,     /* truncated; stddev sqrt(2 / fan_in) / 0.87962566103423978 */
    RILL_INIT_ORTHOGONAL,    /* gain; the matrix is [product of all but the last dim, last dim] */
    RILL_INIT_DATA,          /* a tensor, converted to the variable's dtype */
    RILL_N_INITS
} rill_init_kind;

/* How a variable gets its first value. Random kinds draw from Philox with the session's seed and
 * the variable's name as stream, in f64, rounded once. fan_in and fan_out of 0 are taken from the
 * shape: rank 2 is [in, out], higher ranks are HWIO, or OIHW with `oihw`. Formulas as in Keras 2.
 */
typedef struct rill_init {
    size_t struct_size;
    rill_init_kind kind;
    double value;            /* 0 */
    double low, high;        /* -0.05, 0.05 */
    double mean, stddev;     /* 0, 0.05 */
    double gain;             /* 1 */
    double fan_in, fan_out;  /* 0: from the shape */
    bool oihw;               /* false */
    const rill_tensor *data; /* copied into the graph */
} rill_init;
#define RILL_INIT_INIT                                                                    \
    {                                                                                     \
        sizeof(rill_init), RILL_INIT_ZEROS, 0, -0.05, 0.05, 0, 0.05, 1, 0, 0, false, NULL \
    }

/* State that a session keeps between runs; trainable. The shape must be static. A NULL init means
 * zeros. */
RILL_API rill_value rill_variable(rill_graph *g, const char *name, rill_dtype dtype,
                                  rill_shape shape, const rill_init *init);
/* Shorthand: a variable with an initialiser that needs no parameters. */
RILL_API rill_value rill_variable_of(rill_graph *g, const char *name, rill_dtype dtype,
                                     rill_shape shape, rill_init_kind kind);
/* trainable: default true. slot_of: the variable whose optimiser state this is (default none). */
RILL_API rill_status rill_variable_set_trainable(rill_graph *g, rill_value variable,
                                                 bool trainable);
RILL_API rill_status rill_variable_set_slot_of(rill_graph *g, rill_value slot, rill_value variable);
/* A fixed tensor; the data is copied. `name` may be NULL. */
RILL_API rill_value rill_constant(rill_graph *g, const char *name, const rill_tensor *data);
/* A constant of rank 0. */
RILL_API rill_value rill_scalar(rill_graph *g, rill_dtype dtype, double value);

/* ---- nodes --------------------------------------------------------------------------------- */

/* Adds a node of any op by name (rill/ops.h has a function for each). Missing attributes get their
 * defaults. Returns output 0; `rill_output_of` gives the others. */
typedef struct rill_attr_arg {
    const char *name;
    const struct rill_attr *value;
} rill_attr_arg;
RILL_API rill_value rill_node(rill_graph *g, const char *op, const rill_value *inputs,
                              size_t n_inputs, const rill_attr_arg *attrs, size_t n_attrs);
/* Output k of the node that v belongs to. */
RILL_API rill_value rill_output_of(const rill_graph *g, rill_value v, uint32_t k);

/* Marks a value as an output of the graph, after those marked before. */
RILL_API rill_status rill_output(rill_graph *g, rill_value v);
/* A training run ends with variable <- value. Updates are simultaneous: all read old values. */
RILL_API rill_status rill_update(rill_graph *g, rill_value variable, rill_value value);

/* ---- looking ------------------------------------------------------------------------------- */

typedef enum rill_node_kind {
    RILL_NODE_INPUT,
    RILL_NODE_VARIABLE,
    RILL_NODE_CONSTANT,
    RILL_NODE_OP
} rill_node_kind;

/* What a node is. All pointers belong to the graph and live as long as it does. */
typedef struct rill_node_info {
    rill_node_kind kind;
    const char *name;
    const struct rill_op *op;      /* RILL_NODE_OP, else NULL */
    const struct rill_attr *attrs; /* op->n_attrs of them */
    const rill_value *inputs;
    uint32_t n_inputs;
    uint32_t n_outputs;
    rill_value output;       /* output 0; the others follow it */
    int64_t gradient_of;     /* the node whose gradient this one helps to form, or -1 */
    bool trainable;          /* variables */
    rill_value slot_of;      /* variables: of which one this is optimiser state */
    const rill_init *init;   /* variables */
    const rill_tensor *data; /* constants */
} rill_node_info;

RILL_API size_t rill_graph_n_nodes(const rill_graph *g);
RILL_API rill_status rill_graph_node(const rill_graph *g, size_t i, rill_node_info *out);
RILL_API size_t rill_graph_n_outputs(const rill_graph *g);
RILL_API rill_value rill_graph_output(const rill_graph *g, size_t i);
RILL_API size_t rill_graph_n_updates(const rill_graph *g);
RILL_API rill_status rill_graph_update(const rill_graph *g, size_t i, rill_value *variable,
                                       rill_value *value);
/* "name" or "name:k"; the invalid value if there is none. */
RILL_API rill_value rill_graph_find(const rill_graph *g, const char *ref);
/* As above, and an error that proposes the nearest name. */
RILL_API RILL_NODISCARD rill_status rill_graph_lookup(const rill_graph *g, const char *ref,
                                                      rill_value *out, rill_error *err);
/* The node a value belongs to and which of its outputs it is; -1 if invalid. */
RILL_API int64_t rill_value_node(const rill_graph *g, rill_value v);
RILL_API uint32_t rill_value_port(const rill_graph *g, rill_value v);
RILL_API const char *rill_value_name(const rill_graph *g, rill_value v); /* its node's name */
RILL_API rill_type rill_value_type(const rill_graph *g, rill_value v);   /* dtype NONE if invalid */

/* The text form, for reading and diffing: one line a value (docs/text.md has the grammar). A new
 * string from the graph's allocator: free it with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_graph_text(const rill_graph *g, char **out,
                                                    rill_error *err);
/* The line of one node, without an end of line; of an input or variable what the first line of the
 * text form says of it. Free it with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_graph_node_text(const rill_graph *g, size_t node,
                                                         char **out, rill_error *err);
/* What a formula calls a value; NULL: the name of the value, in quotes if it is no word, or the
 * number if it is a constant of one element. */
typedef const char *(*rill_formula_name_fn)(void *user, rill_value v);
/* The formula of an op node with the node's own names and attributes in place of the descriptor's:
 * "h = tanh(x w + b)". `name` may be NULL. Free it with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_graph_node_formula(const rill_graph *g, size_t node,
                                                            rill_formula_name_fn name, void *user,
                                                            char **out, rill_error *err);
/* "f32[batch,784]" into buf; returns buf. */
RILL_API const char *rill_type_text(const rill_graph *g, const rill_type *type, char *buf,
                                    size_t size);

#ifdef __cplusplus
}
#endif
#endif
