/* graph_json.h: what the parts of the JSON graph loader share.
 *
 * The loader first lists all named things of the file (entries) and hashes their names, so that
 * nodes may refer forwards; then it adds inputs, variables, constants and nodes to the graph, in
 * that order. It stops at the first error: the innermost function says what is wrong and where in
 * the text, and each caller puts its part of the place before it.
 */
#ifndef RILL_SRC_IO_GRAPH_JSON_H
#define RILL_SRC_IO_GRAPH_JSON_H

#include "graph/graph.h"
#include "io/json.h"
#include "rill/io.h"
#include "rill/train.h"

#define RILL_JSON_FORMAT "rill-graph"
#define RILL_JSON_VERSION 1

typedef enum rill_section {
    RILL_SECTION_INPUTS,
    RILL_SECTION_VARIABLES,
    RILL_SECTION_CONSTANTS,
    RILL_SECTION_NODES,
    RILL_N_SECTIONS
} rill_section;

/* A named thing of the file. */
typedef struct rill_entry {
    rill_json json;
    const char *name;
    rill_section section;
    uint32_t number;  /* within its section */
    rill_value value; /* output 0, once the graph has it */
    bool open;        /* a node whose inputs are being added */
} rill_entry;

/* A file of named tensors that was read. */
typedef struct rill_side_file {
    char *path;
    rill_bundle *bundle;
} rill_side_file;

typedef struct rill_loader {
    rill_context *ctx;
    rill_graph *g;
    rill_error *err;    /* never NULL */
    const char *folder; /* where side files lie; NULL: none */
    char *root;         /* the folder with all links resolved, once needed; of malloc */
    rill_entry *entries;
    size_t n_entries, cap_entries;
    size_t first[RILL_N_SECTIONS + 1]; /* entries of section s: first[s] .. first[s + 1] - 1 */
    uint32_t *by_name;                 /* open addressing: entry + 1 */
    size_t by_name_size;
    rill_side_file *files;
    size_t n_files, cap_files;
    const rill_entry *wrong; /* which the error is about, and 1 + the input; NULL, 0: none */
    size_t wrong_input;
} rill_loader;

extern const char *const rill_section_names[RILL_N_SECTIONS];

/* ---- graph_json_load.c ------------------------------------------------------------------------
 */

/* Puts `KEY: ` or `KEY[i]: ` before the message of a failure and hands the status on. */
rill_status rill_load_at(const rill_loader *l, rill_status st, const char *key);
rill_status rill_load_at_index(const rill_loader *l, rill_status st, const char *key, size_t i);
/* Puts `SECTION[i] "NAME": ` before it. */
rill_status rill_load_at_entry(rill_loader *l, rill_status st, const rill_entry *e);
/* The error that a builder call left on the graph, at the place of v. A beginning `WHAT "NAME": `
 * is cut: the place says it. */
rill_status rill_load_graph_error(const rill_loader *l, rill_json v, const char *what,
                                  const char *name);
/* The entry that a reference means, and the output; an error with the nearest name if there is
 * none. */
rill_status rill_load_find(const rill_loader *l, rill_json ref, rill_entry **entry, uint32_t *port);
/* The value that a reference means; its entry must be in the graph. */
rill_status rill_load_ref(const rill_loader *l, rill_json ref, rill_value *out);
/* Marks a node whose name is the one that rill would have given: the text form doesn't show it. */
void rill_load_mark_automatic(const rill_loader *l, rill_value v);
/* Keeps the x- keys of an object that stands at `place` (see rill_extra_s). */
rill_status rill_load_extras(const rill_loader *l, rill_json object, int64_t node,
                             const char *place);

/* As rill_graph_load. With a draft (not NULL), *out is also set where the file is no whole graph
 * but its names could be read, and the draft gets what is missing. */
rill_status rill_graph_load_into(rill_context *ctx, const char *path, rill_graph **out,
                                 struct rill_draft *draft, rill_error *err);
/* Lists the entries that are not in the graph (draft.c). */
rill_status rill_draft_keep(const rill_loader *l, struct rill_draft *d);

/* ---- graph_json_sources.c, graph_json_files.c ------------------------------------------------ */

rill_status rill_load_dim(const rill_loader *l, rill_json v, bool inferred, rill_dim *out);
rill_status rill_load_input(rill_loader *l, rill_entry *e);
rill_status rill_load_variable(rill_loader *l, rill_entry *e);
rill_status rill_load_slot(rill_loader *l, rill_entry *e);
rill_status rill_load_constant(rill_loader *l, rill_entry *e);
/* The tensor `tensor` of the side file `file`; its type must be the given one. */
rill_status rill_load_file(rill_loader *l, rill_json file, rill_json tensor, const rill_type *type,
                           rill_tensor **out);
void rill_load_files_close(rill_loader *l);

/* ---- graph_json_nodes.c ------------------------------------------------------------------------
 */

/* Adds all nodes, each after its inputs, else in the order of the file; then notes whose gradients
 * they and the constants are. */
rill_status rill_load_nodes(rill_loader *l);

/* ---- graph_json_training.c ------------------------------------------------------------------- */

rill_status rill_load_training(const rill_loader *l, rill_json v);

/* ---- writing: graph_json_save.c
 * ------------------------------------------------------------------ */

typedef struct rill_saver {
    const rill_graph *g;
    rill_text text;
    /* Lists of x- keys: head[node + 1] and next[extra] are extra + 1, or 0 at the end. */
    uint32_t *head, *next;
} rill_saver;

/* `"x-key": ...` for each that was kept at that place, with commas between and `before` before the
 * first; false if there are none. */
bool rill_save_extras(rill_saver *s, int64_t node, const char *place, const char *before);
/* "name" or "name:k" in quotes. */
void rill_save_ref(rill_saver *s, rill_value v);
/* The value of an attribute; g may be NULL where there are no symbols. */
void rill_json_write_attr(rill_text *t, const rill_graph *g, const rill_attr *a);
void rill_save_training(rill_saver *s, const rill_training *training);

#endif
