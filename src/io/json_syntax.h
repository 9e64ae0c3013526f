/* json_syntax.h: the bytes of a JSON text, checked against RFC 8259 and indexed.
 *
 * cJSON accepts much that is no JSON and keeps neither positions nor the digits of numbers. So the
 * bytes are checked first, in one pass, which leaves one entry for every key and value in document
 * order: where it stands, and which entry follows all that it contains.
 */
#ifndef RILL_SRC_IO_JSON_SYNTAX_H
#define RILL_SRC_IO_JSON_SYNTAX_H

#include "core/core.h"

#define RILL_JSON_MAX_DEPTH 64

typedef struct rill_json_span {
    uint32_t start, end; /* bytes of the text, [start, end) */
    uint32_t after;      /* entry that follows this one and all it contains */
} rill_json_span;

typedef struct rill_json_index {
    rill_context *ctx;
    rill_json_span *spans;
    size_t n, cap;
} rill_json_index;

/* Checks the text and fills *out. On failure *out is empty, and the error has line and column. */
rill_status rill_json_index_make(rill_context *ctx, const char *text, size_t length,
                                 rill_json_index *out, rill_error *err);
void rill_json_index_free(rill_json_index *index);

/* Line and column (in characters), both from 1, of byte `at`. Reads all that stands before it. */
void rill_json_position(const char *text, size_t at, uint32_t *line, uint32_t *column);

#endif
