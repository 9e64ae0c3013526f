/* bundle.c: a set of named tensors with metadata strings.
 *
 * Both are tables that keep the order of insertion: an open-addressing array of indices, at most
 * half full, finds an entry by its name. Names and strings live in the bundle's arena.
 */
#include "io/files.h"

typedef struct item {
    const char *name;
    union {
        rill_tensor *tensor;
        const char *text;
    } value;
} item;

typedef struct table {
    item *items;
    size_t n, cap;
    uint32_t *slots; /* 1 + index into items; 0: free */
    size_t n_slots;  /* a power of two, or 0 */
} table;

struct rill_bundle {
    rill_context *ctx;
    rill_arena strings;
    table tensors, metadata;
};

/* ---- tables ---------------------------------------------------------------------------------- */

static void table_free(table *t, rill_context *ctx)
{
    rill_free(ctx, t->items, t->cap * sizeof *t->items);
    rill_free(ctx, t->slots, t->n_slots * sizeof *t->slots);
}

/* The slot that holds the name, or the free one where it belongs. There is always a free one. */
static uint32_t *find_slot(const table *t, const char *name)
{
    size_t mask = t->n_slots - 1;
    size_t i = (size_t)rill_fnv1a(name, strlen(name)) & mask;
    while (t->slots[i] != 0 && strcmp(t->items[t->slots[i] - 1].name, name) != 0) {
        i = (i + 1) & mask;
    }
    return &t->slots[i];
}

static item *find(const table *t, const char *name)
{
    uint32_t slot = t->n_slots == 0 ? 0 : *find_slot(t, name);
    return slot == 0 ? NULL : &t->items[slot - 1];
}

static bool grow_slots(table *t, rill_context *ctx)
{
    if (2 * (t->n + 1) <= t->n_slots) return true;
    size_t n = t->n_slots == 0 ? 16 : 2 * t->n_slots;
    uint32_t *slots = t->n < UINT32_MAX / 2 ? rill_alloc_zero(ctx, n, sizeof *slots) : NULL;
    if (slots == NULL) return false;
    rill_free(ctx, t->slots, t->n_slots * sizeof *slots);
    t->slots = slots;
    t->n_slots = n;
    for (size_t i = 0; i < t->n; i++) *find_slot(t, t->items[i].name) = (uint32_t)i + 1;
    return true;
}

/* A new item under a name that is not there yet; NULL without memory. */
static item *insert(rill_bundle *b, table *t, const char *name)
{
    if (!grow_slots(t, b->ctx)) return NULL;
    if (!rill_grow(b->ctx, &t->items, &t->cap, t->n + 1, sizeof *t->items)) return NULL;
    uint32_t *slot = find_slot(t, name);
    name = rill_arena_strdup(&b->strings, name);
    if (name == NULL) return NULL;
    item *new = &t->items[t->n++];
    new->name = name;
    *slot = (uint32_t)t->n;
    return new;
}

/* ---- life ------------------------------------------------------------------------------------ */

rill_status rill_bundle_create(rill_context *ctx, rill_bundle **out, rill_error *err)
{
    *out = NULL;
    ctx = rill_context_of(ctx);
    rill_bundle *b = rill_alloc_zero(ctx, 1, sizeof *b);
    if (b == NULL) return rill_nomem(err, "bundle");
    b->ctx = rill_context_retain(ctx);
    rill_arena_init(&b->strings, ctx);
    *out = b;
    return RILL_OK;
}

void rill_bundle_destroy(rill_bundle *b)
{
    if (b == NULL) return;
    rill_context *ctx = b->ctx;
    for (size_t i = 0; i < b->tensors.n; i++) rill_tensor_destroy(b->tensors.items[i].value.tensor);
    table_free(&b->tensors, ctx);
    table_free(&b->metadata, ctx);
    rill_arena_free(&b->strings);
    rill_free(ctx, b, sizeof *b);
    rill_context_release(ctx);
}

rill_context *rill_bundle_context(const rill_bundle *b)
{
    return b->ctx;
}

/* ---- tensors --------------------------------------------------------------------------------- */

size_t rill_bundle_count(const rill_bundle *b)
{
    return b->tensors.n;
}

const char *rill_bundle_name(const rill_bundle *b, size_t i)
{
    return i < b->tensors.n ? b->tensors.items[i].name : NULL;
}

const rill_tensor *rill_bundle_tensor(const rill_bundle *b, size_t i)
{
    return i < b->tensors.n ? b->tensors.items[i].value.tensor : NULL;
}

const rill_tensor *rill_bundle_find(const rill_bundle *b, const char *name)
{
    const item *found = find(&b->tensors, name);
    return found == NULL ? NULL : found->value.tensor;
}

rill_status rill_bundle_lookup(const rill_bundle *b, const char *name, const rill_tensor **out,
                               rill_error *err)
{
    *out = rill_bundle_find(b, name);
    if (*out != NULL) return RILL_OK;
    rill_nearest nearest;
    rill_nearest_init(&nearest, name);
    for (size_t i = 0; i < b->tensors.n; i++) rill_nearest_offer(&nearest, rill_bundle_name(b, i));
    return rill_no_tensor(&nearest, b->tensors.n, err);
}

rill_status rill_no_tensor(const rill_nearest *nearest, size_t n, rill_error *err)
{
    char hint[300];
    return rill_fail(err, RILL_ERR_NOT_FOUND, "no tensor \"%s\" among %zu%s", nearest->name, n,
                     rill_nearest_hint(nearest, hint, sizeof hint));
}

static rill_status check_text(const char *what, const char *s, rill_error *err)
{
    size_t size = strlen(s);
    for (size_t i = 0, n; i < size; i += n) {
        n = rill_utf8_length(s + i, size - i);
        if (n == 0) return rill_fail(err, RILL_ERR_INVALID, "%s: expected valid UTF-8", what);
    }
    return RILL_OK;
}

static rill_status add(rill_bundle *b, const char *name, rill_tensor *t, rill_error *err)
{
    if (name[0] == '\0') return rill_fail(err, RILL_ERR_INVALID, "a tensor's name is empty");
    RILL_TRY(check_text("a tensor's name", name, err));
    if (find(&b->tensors, name) != NULL) {
        return rill_fail(err, RILL_ERR_INVALID, "tensor \"%s\" is there twice", name);
    }
    item *new = insert(b, &b->tensors, name);
    if (new == NULL) return rill_nomem(err, "bundle");
    new->value.tensor = t;
    return RILL_OK;
}

rill_status rill_bundle_adopt(rill_bundle *b, const char *name, rill_tensor *t, rill_error *err)
{
    rill_status status = add(b, name, t, err);
    if (status != RILL_OK) rill_tensor_destroy(t);
    return status;
}

rill_status rill_bundle_add(rill_bundle *b, const char *name, const rill_tensor *t, rill_error *err)
{
    rill_tensor *copy;
    RILL_TRY(rill_tensor_from(b->ctx, t->type.dtype, t->type.shape, t->data, t->bytes, &copy, err));
    return rill_bundle_adopt(b, name, copy, err);
}

rill_tensor *rill_bundle_take(rill_bundle *b)
{
    rill_tensor *t = b->tensors.items[0].value.tensor;
    b->tensors.items[0].value.tensor = NULL;
    rill_bundle_destroy(b);
    return t;
}

/* ---- metadata -------------------------------------------------------------------------------- */

rill_status rill_bundle_set_meta(rill_bundle *b, const char *key, const char *value,
                                 rill_error *err)
{
    RILL_TRY(check_text("a metadata key", key, err));
    RILL_TRY(check_text("a metadata value", value, err));
    value = rill_arena_strdup(&b->strings, value);
    if (value == NULL) return rill_nomem(err, "metadata");
    item *found = find(&b->metadata, key);
    if (found == NULL) found = insert(b, &b->metadata, key);
    if (found == NULL) return rill_nomem(err, "metadata");
    found->value.text = value;
    return RILL_OK;
}

const char *rill_bundle_meta(const rill_bundle *b, const char *key)
{
    const item *found = find(&b->metadata, key);
    return found == NULL ? NULL : found->value.text;
}

size_t rill_bundle_n_meta(const rill_bundle *b)
{
    return b->metadata.n;
}

void rill_bundle_meta_at(const rill_bundle *b, size_t i, const char **key, const char **value)
{
    *key = b->metadata.items[i].name;
    *value = b->metadata.items[i].value.text;
}
