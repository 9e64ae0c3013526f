/* scopes.h: the scopes of a graph's forward part as a tree, and the blocks in it that repeat.
 *
 * A scope is a prefix of names, up to a "/"; a node that is called like a scope belongs to it, as
 * `hidden` does to the scope of `hidden/weight`. Neighbouring scopes that are alike become the
 * children of a scope of their own, a run; so do the periods of a sequence of nodes that repeats
 * itself without scopes.
 */
#ifndef RILL_SRC_DRAW_SCOPES_H
#define RILL_SRC_DRAW_SCOPES_H

#include "draw/picture.h"

typedef struct rill_scope {
    const char *path;
    size_t length;
    uint32_t parent; /* RILL_NO_BOX: the root, which is scope 0 */
    uint32_t depth;
    uint32_t n_nodes;    /* drawn, that stand in it directly */
    uint32_t n_children; /* scopes with drawn nodes */
    uint32_t n_inside;   /* drawn nodes, at any depth */
    uint32_t first;      /* the first drawn node in it that is an op, else the first at all */
    uint32_t run;        /* of a run: how many children; else 0 */
    uint64_t hash;       /* of its nodes, without their names */
    bool open, shut;     /* of picture_fold.c: its inside is shown, is not to be */
} rill_scope;

typedef struct rill_scopes {
    rill_picture *p;
    rill_scope *s;
    size_t n, cap;
    uint32_t *home;    /* by node: its scope; RILL_NO_BOX: not a drawn node of the forward part */
    uint32_t *by_path; /* open addressing: scope + 1 */
    size_t by_path_size;
} rill_scopes;

/* All memory is the picture's. */
rill_status rill_scopes_make(rill_picture *p, rill_scopes *out, rill_error *err);
uint32_t rill_scopes_find(const rill_scopes *t, const char *path, size_t length);
/* A new one; RILL_NO_BOX: no memory. */
uint32_t rill_scopes_add(rill_scopes *t, const char *path, size_t length, uint32_t parent);
/* Counts nodes and children anew. */
void rill_scopes_count(rill_scopes *t);

/* ---- scopes_runs.c
 * ------------------------------------------------------------------------------- */

rill_status rill_scopes_find_runs(rill_scopes *t, rill_error *err);

#endif
