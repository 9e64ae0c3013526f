/* simplify.h: a term, which is one op applied to values that exist, and the rules that rewrite it.
 *
 * A rule looks at the term and at the nodes behind its inputs (they are simplified already) and
 * either leaves it alone or turns it into another term of the same type: an op on other values, or
 * a value that is there. Nothing is emitted until no rule applies, but for constants and broadcasts
 * that a new term reads. */
#ifndef RILL_SRC_PASSES_SIMPLIFY_H
#define RILL_SRC_PASSES_SIMPLIFY_H

#include "passes/pass.h"

typedef struct rill_term {
    rill_rewrite *rw;
    const rill_op *op; /* NULL: the term is the value x[0] */
    const rill_attr *attrs;
    rill_value *x; /* values of rw->to; room for 3 or more */
    uint32_t n_x;
    rill_type type;                     /* of the result: no rule changes it */
    rill_attr own[4];                   /* attributes that a rule has made, */
    int64_t ints[4][2 * RILL_MAX_RANK]; /* and their entries */
} rill_term;

typedef struct rill_rule {
    const rill_op *op;           /* NULL: any */
    bool (*apply)(rill_term *t); /* false: it does not apply, and t is as it was */
    const char *name, *reason;
} rill_rule;

/* By subject; each ends with a rule without a function. */
extern const rill_rule rill_arithmetic_rules[], rill_choice_rules[], rill_shape_rules[];

/* ---- looking --------------------------------------------------------------------------------- */

const rill_type *rill_term_type(const rill_term *t, uint32_t i); /* of input i */
/* The node behind input i if it is of that op, else NULL; not valid after something was emitted. */
const rill_node_s *rill_term_input(const rill_term *t, uint32_t i, const rill_op *op);
/* The two are known to be equal: unknown dimensions are not. */
bool rill_shape_known(const rill_shape *s);
bool rill_shape_same(const rill_shape *a, const rill_shape *b);
/* Whether input i has the dtype and the shape of the result. */
bool rill_term_has_type_of(const rill_term *t, uint32_t i);

/* What all elements of a value are. */
typedef struct rill_uniform {
    rill_dtype dtype;
    double real;     /* of floats */
    int64_t integer; /* of the others */
} rill_uniform;
bool rill_uniform_of(const rill_graph *g, rill_value v, rill_uniform *out);
/* Whether all elements of input i are `value`, with its sign where it is a float's zero. */
bool rill_term_is(const rill_term *t, uint32_t i, double value);

/* ---- rewriting: all return true -------------------------------------------------------------- */

/* False where v would have to be broadcast to a shape that is not known. */
bool rill_term_become(rill_term *t, rill_value v);
bool rill_term_become_scalar(rill_term *t, double value);
bool rill_term_become_unary(rill_term *t, const rill_op *op, rill_value x);
bool rill_term_become_binary(rill_term *t, const rill_op *op, rill_value a, rill_value b);
/* An op whose one attribute is the shape of the result: reshape, broadcast_to. */
bool rill_term_become_shaped(rill_term *t, const rill_op *op, rill_value x);

#endif
