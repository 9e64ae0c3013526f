/* rill/io.h: files: graphs as JSON; tensors as .npy, .npz, .safetensors, IDX and CSV.
 *
 * Whatever is written goes to a temporary file beside the target, is synced and renamed: a reader
 * sees the old file or the new one. All formats are read and written little-endian.
 */
#ifndef RILL_IO_H
#define RILL_IO_H

#include "rill/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- graphs ---------------------------------------------------------------------------------- */

/* Loads a JSON graph (docs/json.md). Errors carry the place, line and column. Data files are read
 * relative to the graph's folder and may not leave it. */
RILL_API RILL_NODISCARD rill_status rill_graph_load(rill_context *ctx, const char *path,
                                                    rill_graph **out, rill_error *err);
/* As above from memory; `folder` is where data files are looked for (NULL: they are an error). */
RILL_API RILL_NODISCARD rill_status rill_graph_parse(rill_context *ctx, const char *text,
                                                     size_t length, const char *folder,
                                                     rill_graph **out, rill_error *err);
/* Writes the same format; numbers round-trip bit for bit. */
RILL_API RILL_NODISCARD rill_status rill_graph_save(const rill_graph *g, const char *path,
                                                    rill_error *err);
/* As a new string: free with rill_string_free. */
RILL_API RILL_NODISCARD rill_status rill_graph_json(const rill_graph *g, char **out,
                                                    rill_error *err);
/* What a file says, for a drawing of it, also where it is no graph: the nodes that could be made,
 * and those that could not. */
typedef struct rill_draft rill_draft;
/* A node of the file that is not in the graph, because it is wrong, because it reads one that is
 * not there, or because it comes after the first error. Strings belong to the draft. */
typedef struct rill_missing_node {
    rill_node_kind kind;
    const char *name;
    const char *op;            /* NULL where the file says none */
    const char *const *inputs; /* as the file has them: "name", "name:k"; NULL: left out */
    size_t n_inputs;
    bool wrong;        /* the error is about this one */
    int64_t bad_input; /* and about this input of it; -1: about no one input */
} rill_missing_node;
/* Gives the status and the error of rill_graph_load, and a draft unless the file can't be read as
 * JSON with names in it: then *out is NULL. */
RILL_API RILL_NODISCARD rill_status rill_draft_load(rill_context *ctx, const char *path,
                                                    rill_draft **out, rill_error *err);
RILL_API void rill_draft_destroy(rill_draft *d); /* and its graph */
RILL_API rill_graph *rill_draft_graph(const rill_draft *d);
RILL_API const rill_error *rill_draft_error(const rill_draft *d);
RILL_API size_t rill_draft_n_missing(const rill_draft *d);
RILL_API const rill_missing_node *rill_draft_missing(const rill_draft *d, size_t i);

/* The JSON Schema of the format, generated from the op registry of ctx. */
RILL_API RILL_NODISCARD rill_status rill_schema_json(rill_context *ctx, char **out,
                                                     rill_error *err);

/* ---- tensors --------------------------------------------------------------------------------- */

/* A tensor as nested JSON arrays with digits that round-trip; and back. dtype NONE: i64 if all
 * numbers are integers, bool if all are true or false, else f32. */
RILL_API RILL_NODISCARD rill_status rill_tensor_json(rill_context *ctx, const rill_tensor *t,
                                                     char **out, rill_error *err);
RILL_API RILL_NODISCARD rill_status rill_tensor_parse(rill_context *ctx, const char *text,
                                                      rill_dtype dtype, rill_tensor **out,
                                                      rill_error *err);

/* FILE.npy, FILE.npz:NAME or FILE.safetensors:NAME. */
RILL_API RILL_NODISCARD rill_status rill_tensor_load(rill_context *ctx, const char *path,
                                                     rill_tensor **out, rill_error *err);
/* FILE.npy; FILE.npz:NAME and FILE.safetensors:NAME write a file of one tensor. */
RILL_API RILL_NODISCARD rill_status rill_tensor_save(const rill_tensor *t, const char *path,
                                                     rill_error *err);

/* A set of named tensors with metadata strings: what .npz and .safetensors hold. */
typedef struct rill_bundle rill_bundle;
RILL_API RILL_NODISCARD rill_status rill_bundle_create(rill_context *ctx, rill_bundle **out,
                                                       rill_error *err);
RILL_API void rill_bundle_destroy(rill_bundle *b);
RILL_API size_t rill_bundle_count(const rill_bundle *b);
RILL_API const char *rill_bundle_name(const rill_bundle *b, size_t i);
RILL_API const rill_tensor *rill_bundle_tensor(const rill_bundle *b, size_t i);
RILL_API const rill_tensor *rill_bundle_find(const rill_bundle *b, const char *name);
/* Copies; a name twice is an error. */
RILL_API RILL_NODISCARD rill_status rill_bundle_add(rill_bundle *b, const char *name,
                                                    const rill_tensor *t, rill_error *err);
/* Metadata (safetensors only); get gives NULL if there is none. */
RILL_API RILL_NODISCARD rill_status rill_bundle_set_meta(rill_bundle *b, const char *key,
                                                         const char *value, rill_error *err);
RILL_API const char *rill_bundle_meta(const rill_bundle *b, const char *key);
/* By the ending: .npz or .safetensors. Saving metadata to .npz logs a warning: it can't hold any.
 */
RILL_API RILL_NODISCARD rill_status rill_bundle_load(rill_context *ctx, const char *path,
                                                     rill_bundle **out, rill_error *err);
RILL_API RILL_NODISCARD rill_status rill_bundle_save(const rill_bundle *b, const char *path,
                                                     rill_error *err);

/* An IDX file, gzip or plain (the MNIST format). */
RILL_API RILL_NODISCARD rill_status rill_idx_load(rill_context *ctx, const char *path,
                                                  rill_tensor **out, rill_error *err);

/* A CSV file of numbers with a header line: *out is f64 [rows, columns]; names (n of them) belong
 * to *table. */
typedef struct rill_table rill_table;
RILL_API RILL_NODISCARD rill_status rill_csv_load(rill_context *ctx, const char *path,
                                                  rill_table **table, rill_error *err);
RILL_API void rill_table_destroy(rill_table *t);
RILL_API size_t rill_table_n_columns(const rill_table *t);
RILL_API const char *rill_table_name(const rill_table *t, size_t i);
RILL_API const rill_tensor *rill_table_data(const rill_table *t);

/* Writes `size` bytes to path: temporary name, sync, rename. */
RILL_API RILL_NODISCARD rill_status rill_file_write(rill_context *ctx, const char *path,
                                                    const void *data, size_t size, rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
