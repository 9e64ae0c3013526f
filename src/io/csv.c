/* csv.c: tables of numbers: a header line of column names, then rows of numbers.
 *
 * RFC 4180: fields between commas, optionally in double quotes (a quote inside is doubled), lines
 * that end in LF or CRLF. Beyond it: a byte order mark at the start, spaces and tabs around fields
 * and empty lines at the end are skipped; nan, inf and -inf are numbers. Anything else, an empty
 * field for instance, is an error with its line and column.
 */
#include "io/files.h"

#include <math.h>

enum { MAX_COLUMNS = 1 << 20 };

struct rill_table {
    rill_context *ctx;
    rill_arena strings;
    char **names;
    size_t n_columns, cap_columns;
    rill_tensor *data;
};

typedef struct reader {
    rill_context *ctx;
    char *s, *end; /* the text; quoted fields are unquoted in place */
    char *line_start;
    uint32_t line;
    rill_table *table;
    double *values;
    size_t n_values, cap_values;
    rill_error *err;
} reader;

typedef struct field {
    char *s;
    size_t n;
    uint32_t column; /* in bytes, from 1 */
    bool last;       /* of its line */
} field;

/* ---- errors ---------------------------------------------------------------------------------- */

static rill_status fail_at(reader *r, uint32_t column, const char *fmt, ...) RILL_PRINTF(3, 4);

static rill_status fail_at(reader *r, uint32_t column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    rill_status status = rill_fail_v(r->err, RILL_ERR_INVALID, fmt, ap);
    va_end(ap);
    rill_error_prefix(r->err, "line %u, column %u", (unsigned)r->line, (unsigned)column);
    if (r->err != NULL) {
        r->err->line = r->line;
        r->err->column = column;
    }
    return status;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static uint32_t column_of(const reader *r, const char *s)
{
    size_t n = (size_t)(s - r->line_start);
    return n < UINT32_MAX ? (uint32_t)n + 1 : UINT32_MAX;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* LF, CRLF or the end of the text */
static size_t line_end(const reader *r, const char *s)
{
    if (s < r->end && *s == '\n') return 1;
    return r->end - s >= 2 && s[0] == '\r' && s[1] == '\n' ? 2 : 0;
}

static bool ends_line(const reader *r, const char *s)
{
    return s == r->end || line_end(r, s) > 0;
}

/* Past the comma or line end that follows a field. */
static rill_status finish_field(reader *r, field *f)
{
    f->last = ends_line(r, r->s);
    if (!f->last && *r->s != ',') {
        return fail_at(r, column_of(r, r->s), "expected a comma or the line's end");
    }
    r->s += f->last ? line_end(r, r->s) : 1;
    return RILL_OK;
}

static rill_status quoted_field(reader *r, field *f)
{
    char *out = ++r->s;
    f->s = out;
    for (;; r->s++) {
        if (r->s == r->end || *r->s == '\n') {
            return fail_at(r, f->column, "the quoted field does not end on its line");
        }
        if (*r->s == '"') {
            if (r->s + 1 == r->end || r->s[1] != '"') break;
            r->s++;
        }
        *out++ = *r->s;
    }
    f->n = (size_t)(out - f->s);
    r->s++;
    while (r->s < r->end && is_blank(*r->s)) r->s++;
    return finish_field(r, f);
}

static rill_status next_field(reader *r, field *f)
{
    while (r->s < r->end && is_blank(*r->s)) r->s++;
    f->column = column_of(r, r->s);
    if (r->s < r->end && *r->s == '"') return quoted_field(r, f);
    f->s = r->s;
    while (!ends_line(r, r->s) && *r->s != ',') r->s++;
    char *stop = r->s;
    while (stop > f->s && is_blank(stop[-1])) stop--;
    f->n = (size_t)(stop - f->s);
    return finish_field(r, f);
}

static void next_line(reader *r)
{
    r->line_start = r->s;
    if (r->line < UINT32_MAX) r->line++;
}

static bool read_number(const field *f, double *v)
{
    static const struct {
        const char *text;
        double value;
    } words[] = {{"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}};
    for (size_t i = 0; i < RILL_LEN(words); i++) {
        *v = words[i].value;
        if (f->n == strlen(words[i].text) && memcmp(f->s, words[i].text, f->n) == 0) return true;
    }
    return rill_parse_float(f->s, f->n, v) && !isinf(*v);
}

/* ---- the table ------------------------------------------------------------------------------- */

static rill_status add_name(reader *r, const field *f)
{
    rill_table *t = r->table;
    for (size_t i = 0, n; i < f->n; i += n) {
        n = rill_utf8_length(f->s + i, f->n - i);
        if (n == 0 || f->s[i] == '\0') {
            return fail_at(r, f->column, "a column's name must be valid UTF-8");
        }
    }
    if (f->n == 0) return fail_at(r, f->column, "a column's name is empty");
    if (t->n_columns == MAX_COLUMNS) {
        return fail_at(r, f->column, "expected at most %d columns", MAX_COLUMNS);
    }
    if (!rill_grow(r->ctx, &t->names, &t->cap_columns, t->n_columns + 1, sizeof *t->names)) {
        return rill_nomem(r->err, "csv header");
    }
    char *name = rill_arena_strndup(&t->strings, f->s, f->n);
    if (name == NULL) return rill_nomem(r->err, "csv header");
    t->names[t->n_columns++] = name;
    return RILL_OK;
}

/* Column names are unique. */
static rill_status check_names(reader *r)
{
    rill_table *t = r->table;
    size_t n_slots = 16;
    while (n_slots < 2 * t->n_columns) n_slots *= 2;
    uint32_t *slots = rill_alloc_zero(r->ctx, n_slots, sizeof *slots);
    if (slots == NULL) return rill_nomem(r->err, "csv header");
    rill_status status = RILL_OK;
    for (size_t i = 0; i < t->n_columns && status == RILL_OK; i++) {
        const char *name = t->names[i];
        size_t at = (size_t)rill_fnv1a(name, strlen(name)) & (n_slots - 1);
        while (slots[at] != 0 && strcmp(t->names[slots[at] - 1], name) != 0) {
            at = (at + 1) & (n_slots - 1);
        }
        if (slots[at] != 0) {
            status = fail_at(r, 1, "columns %u and %zu are both called \"%s\"", (unsigned)slots[at],
                             i + 1, name);
        }
        slots[at] = (uint32_t)i + 1;
    }
    rill_free(r->ctx, slots, n_slots * sizeof *slots);
    return status;
}

static rill_status read_names(reader *r)
{
    field f;
    bool all_numbers = true;
    double ignored;
    next_line(r);
    do {
        RILL_TRY(next_field(r, &f));
        all_numbers = all_numbers && read_number(&f, &ignored);
        RILL_TRY(add_name(r, &f));
    } while (!f.last);
    if (all_numbers) {
        return fail_at(r, 1, "expected a header line with column names, got numbers");
    }
    return check_names(r);
}

static rill_status read_row(reader *r)
{
    rill_table *t = r->table;
    if (!rill_grow(r->ctx, &r->values, &r->cap_values, r->n_values + t->n_columns,
                   sizeof *r->values)) {
        return rill_nomem(r->err, "csv rows");
    }
    field f = {.last = false};
    for (size_t i = 0; i < t->n_columns; i++) {
        if (f.last) {
            return fail_at(r, f.column, "expected %zu fields as in the header, got %zu",
                           t->n_columns, i);
        }
        RILL_TRY(next_field(r, &f));
        if (!read_number(&f, &r->values[r->n_values])) {
            char seen[40];
            return fail_at(r, f.column, "column \"%s\": expected a number, got \"%s\"", t->names[i],
                           rill_excerpt(seen, sizeof seen, f.s, f.n));
        }
        r->n_values++;
    }
    if (f.last) return RILL_OK;
    return fail_at(r, column_of(r, r->s), "expected %zu fields as in the header, got more",
                   t->n_columns);
}

/* Whether nothing but empty lines is left. */
static bool only_empty_lines(const reader *r)
{
    const char *s = r->s;
    while (s < r->end && (is_blank(*s) || *s == '\n' || *s == '\r')) s++;
    return s == r->end;
}

static rill_status read_table(reader *r)
{
    rill_table *t = r->table;
    RILL_TRY(read_names(r));
    size_t rows = 0;
    for (; !only_empty_lines(r); rows++) {
        next_line(r);
        RILL_TRY(read_row(r));
    }
    return rill_tensor_from(r->ctx, RILL_F64, RILL_SHAPE((int64_t)rows, (int64_t)t->n_columns),
                            r->values, r->n_values * sizeof *r->values, &t->data, r->err);
}

rill_status rill_csv_parse(rill_context *ctx, char *text, size_t size, rill_table **out,
                           rill_error *err)
{
    *out = NULL;
    rill_table *t = rill_alloc_zero(ctx, 1, sizeof *t);
    if (t == NULL) return rill_nomem(err, "csv");
    t->ctx = rill_context_retain(ctx);
    rill_arena_init(&t->strings, ctx);
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    reader r = {.ctx = ctx, .s = text, .end = text + size, .table = t, .err = err};
    rill_status status = read_table(&r);
    rill_free(ctx, r.values, r.cap_values * sizeof *r.values);
    if (status == RILL_OK)
        *out = t;
    else
        rill_table_destroy(t);
    return status;
}

rill_status rill_csv_load(rill_context *ctx, const char *path, rill_table **table, rill_error *err)
{
    char *text;
    size_t size;
    *table = NULL;
    ctx = rill_context_of(ctx);
    RILL_TRY(rill_file_read(ctx, path, SIZE_MAX, &text, &size, err));
    rill_status status = rill_csv_parse(ctx, text, size, table, err);
    rill_free(ctx, text, size + 1);
    if (status != RILL_OK) rill_error_prefix(err, "%s", path);
    return status;
}

void rill_table_destroy(rill_table *t)
{
    if (t == NULL) return;
    rill_context *ctx = t->ctx;
    rill_free(ctx, t->names, t->cap_columns * sizeof *t->names);
    rill_arena_free(&t->strings);
    rill_tensor_destroy(t->data);
    rill_free(ctx, t, sizeof *t);
    rill_context_release(ctx);
}

size_t rill_table_n_columns(const rill_table *t)
{
    return t->n_columns;
}

const char *rill_table_name(const rill_table *t, size_t i)
{
    return i < t->n_columns ? t->names[i] : NULL;
}

const rill_tensor *rill_table_data(const rill_table *t)
{
    return t->data;
}
