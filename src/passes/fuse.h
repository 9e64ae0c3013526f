/* fuse.h: what the fusion passes share: groups of nodes that one step is to compute together.
 *
 * Every group and every node outside of groups has a rank, higher than those of all that read its
 * results. Edges between groups always fall in rank, so the graph of groups has no cycle, whatever
 * joins whatever; no path is ever searched. */
#ifndef RILL_SRC_FUSE_H
#define RILL_SRC_FUSE_H

#include "ops/body.h"
#include "ops/ops.h"
#include "passes/pass.h"

#define RILL_FUSE_NONE UINT32_MAX
#define RILL_FUSE_ELIDED (UINT32_MAX - 1)

enum {
    /* Results are tiles of 1 KiB that are to stay in the first-level cache beside the inputs'. */
    RILL_FUSE_NODES = 64,
    /* Streams: each input and output is one; hardware follows about this many at a time. */
    RILL_FUSE_INPUTS = 24,
    RILL_FUSE_OUTPUTS = 16,
    /* Arrays of the product's size that an epilogue reads and writes besides. */
    RILL_FUSE_EPILOGUE_ARRAYS = 3,
    /* Reading groups of one value that are looked at one by one; more are only kept apart. */
    RILL_FUSE_READERS = 8
};

typedef struct rill_fuse_group {
    uint32_t parent; /* itself, or the group that took it in */
    uint32_t rank;
    uint32_t floor;   /* the lowest rank of what computes its inputs, as far as that is placed */
    uint32_t head;    /* the product whose epilogue it is, or NONE */
    uint32_t reduced; /* the axes that its reductions are over; 0: there are none */
    bool by_row;      /* results of reductions are read inside */
    uint32_t n_nodes, n_inputs, n_outputs;
    uint32_t first_member, n_members;  /* once all nodes are placed: of `members` */
    const rill_shape *space;           /* of all results */
    uint32_t inputs[RILL_FUSE_INPUTS]; /* values that it reads, until all nodes are placed */
} rill_fuse_group;

/* A cheap node that a group computes once more, for itself. */
typedef struct rill_fuse_clone {
    uint32_t group, next;
} rill_fuse_clone;

typedef struct rill_fusion {
    const rill_graph *g;
    const bool *needed;
    rill_context *ctx;
    bool epilogues;               /* groups get a product as their head, or are given up */
    uint32_t *first_user, *users; /* by value: the needed nodes that read it */
    bool *is_root;                /* by value: fetched, or the next value of a variable */
    bool *is_tail;                /* by node: computed elementwise from a product of its shape */
    uint32_t *row_of;             /* by node: the reduction by rows that it depends on, or NONE */
    uint32_t *group;              /* by node: its group, NONE, or ELIDED: clones are enough */
    uint32_t *rank;               /* by node, of those without a group */
    uint32_t *first_clone;        /* by node, of `clones` */
    rill_fuse_group *groups;
    rill_fuse_clone *clones;
    uint32_t *members; /* nodes by group, clones too, in order */
    uint32_t *slot;    /* by node: its instruction in the body that is being made */
    size_t n_groups, cap_groups, n_clones, cap_clones, n_members, n_users;
    uint32_t *order; /* of nodes, groups in one piece */
} rill_fusion;

/* Groups the needed nodes of rw->from and orders them; free it also after a failure. */
rill_status rill_fusion_make(rill_rewrite *rw, bool epilogues, rill_fusion *f);
/* Once all are placed: lists the members, and orders the nodes. */
rill_status rill_fusion_order(rill_fusion *f);
void rill_fusion_free(rill_fusion *f);

/* The group of a node that is a member of one, or NONE. */
uint32_t rill_fusion_group(rill_fusion *f, uint32_t node);
/* The group that a group has become part of, itself if it has not. */
uint32_t rill_fusion_root(rill_fusion *f, uint32_t group);
/* Whether the group computes the node, as a member or a clone. */
bool rill_fusion_computes(rill_fusion *f, uint32_t group, uint32_t node);
/* Whether the member's value is read outside of its group, or fetched. */
bool rill_fusion_escapes(rill_fusion *f, uint32_t group, uint32_t node);

/* A product with an epilogue form, or NULL. */
const rill_op *rill_fuse_form(const rill_node_s *n);

/* A group as a body. The head's product is $0, and where the head adds a bias, that is the first
 * instruction. */
typedef struct rill_group_body {
    rill_body body;
    rill_instruction instructions[RILL_FUSE_NODES + 1];
    rill_operand operands[3 * (RILL_FUSE_NODES + 1)], outputs[RILL_FUSE_NODES];
    uint32_t n_operands;
    uint32_t n_own; /* inputs that are the head's alone: its product and bias */
    uint32_t nodes[RILL_FUSE_NODES + 1]; /* of the instructions; the head for its bias */
    uint32_t output_nodes[RILL_FUSE_NODES];
    rill_value inputs[RILL_FUSE_INPUTS + 2]; /* of `from`: what $N is */
    rill_type in[RILL_FUSE_INPUTS + 2], results[RILL_FUSE_NODES + 1];
} rill_group_body;

void rill_group_body_make(rill_fusion *f, uint32_t group, rill_group_body *b);

/* ---- the frame of a pass --------------------------------------------------------------------- */

typedef struct rill_fuse_state {
    rill_fusion fusion;
    rill_group_body body;
    bool *emitted; /* by group */
} rill_fuse_state;

/* begin and end of a fusion pass; rw->scratch is a rill_fuse_state. */
rill_status rill_fuse_begin(rill_rewrite *rw, bool epilogues);
void rill_fuse_end(rill_rewrite *rw);
/* Copies a node of no group; at the first one of a group calls `emit`, which maps all its outputs.
 */
rill_status rill_fuse_node(rill_rewrite *rw, size_t node,
                           rill_status (*emit)(rill_rewrite *rw, uint32_t group));

/* Emits the group as one node of `op`, whose last attribute is the body; a head's own operands and
 * attributes come first. */
rill_status rill_fuse_emit(rill_rewrite *rw, const rill_group_body *b, const rill_op *op,
                           uint32_t head);
/* Says so in the log: "reads 4 arrays and writes 3 instead of 20 and 12". */
void rill_fuse_note(rill_rewrite *rw, rill_fusion *f, uint32_t group, const rill_group_body *b,
                    const char *rule);
/* Copies the members and clones of a group that is given up. */
rill_status rill_fuse_give_up(rill_rewrite *rw, const rill_fusion *f, uint32_t group);

#endif
