/* Loading inputs, variables with their initialisers, and constants. */
#include "io/graph_json.h"

#include <math.h>

/* ---- types ----------------------------------------------------------------------------------- */

rill_status rill_load_dim(const rill_loader *l, rill_json v, bool inferred, rill_dim *out)
{
    const char *symbol = rill_json_string(v);
    if (symbol) {
        *out = rill_symbol(l->g, symbol);
        return rill_graph_status(l->g) ? rill_load_graph_error(l, v, "", "") : RILL_OK;
    }
    if (!rill_json_is(v, cJSON_Number) || rill_json_int64(v, out) != RILL_JSON_INT_OK ||
        *out < (inferred ? -1 : 0))
        return rill_json_expected(v, l->err, "a size of 0 or more or a symbol");
    return RILL_OK;
}

static rill_status load_shape(const rill_loader *l, rill_json v, rill_shape *out)
{
    if (!rill_json_is(v, cJSON_Array))
        return rill_load_at(l, rill_json_expected(v, l->err, "an array of sizes and symbols"),
                            "shape");
    size_t rank = rill_json_count(v);
    if (rank > RILL_MAX_RANK)
        return rill_json_fail(v, l->err, "shape: expected at most %d dimensions, got %zu",
                              RILL_MAX_RANK, rank);
    out->rank = (int32_t)rank;
    for (rill_json_member m = {0}; rill_json_next(v, &m);)
        RILL_TRY(rill_load_at_index(l, rill_load_dim(l, m.value, false, &out->dims[m.number]),
                                    "shape", m.number));
    return RILL_OK;
}

static rill_status load_type(const rill_loader *l, rill_json dtype, rill_json shape, bool is_static,
                             rill_type *out)
{
    const char *name = rill_json_string(dtype);
    *out = (rill_type){name ? rill_dtype_from_name(name) : RILL_DTYPE_NONE, {.rank = 0}};
    if (out->dtype == RILL_DTYPE_NONE)
        return rill_load_at(
            l,
            rill_json_expected(dtype, l->err,
                               "\"f32\", \"f64\", \"i32\", \"i64\", \"u8\" or \"bool\""),
            "dtype");
    RILL_TRY(load_shape(l, shape, &out->shape));
    if (is_static && !rill_shape_is_static(&out->shape)) {
        char buf[RILL_JSON_EXCERPT];
        return rill_json_fail(shape, l->err, "shape: expected sizes without symbols, got %s",
                              rill_json_excerpt(shape, buf));
    }
    size_t bytes;
    if (rill_shape_is_static(&out->shape) && !rill_type_bytes(out, &bytes))
        return rill_json_fail(shape, l->err, "shape: too many elements");
    return RILL_OK;
}

rill_status rill_load_input(rill_loader *l, rill_entry *e)
{
    static const char *const keys[] = {"name", "dtype", "shape"};
    rill_json f[RILL_LEN(keys)];
    rill_type type;
    RILL_TRY(rill_json_fields(e->json, keys, RILL_LEN(keys), f, l->err));
    RILL_TRY(load_type(l, f[1], f[2], false, &type));
    e->value = rill_input(l->g, e->name, type.dtype, type.shape);
    if (!rill_valid(e->value)) return rill_load_graph_error(l, e->json, "input", e->name);
    return rill_load_extras(l, e->json, rill_value_node(l->g, e->value), "");
}

/* ---- data ------------------------------------------------------------------------------------ */

/* The keys of an object that may hold a tensor. */
typedef struct data_keys {
    rill_json data, file, tensor;
} data_keys;

static rill_status load_data(rill_loader *l, const data_keys *k, const rill_type *type,
                             rill_tensor **out)
{
    if (k->data.item && k->file.item)
        return rill_json_fail(k->file, l->err, "expected \"data\" or \"file\", got both");
    if (k->tensor.item && !k->file.item)
        return rill_json_fail(k->tensor, l->err, "\"tensor\" goes with \"file\"");
    if (k->data.item) return rill_json_tensor(k->data, "data", type, out, l->err);
    if (k->file.item) return rill_load_file(l, k->file, k->tensor, type, out);
    return rill_json_fail(k->data, l->err, "expected \"data\" or \"file\", got neither");
}

rill_status rill_load_constant(rill_loader *l, rill_entry *e)
{
    enum { NAME, DTYPE, SHAPE, DATA, FILE_, TENSOR, GRADIENT_OF };
    static const char *const keys[] = {"name", "dtype",  "shape",      "data",
                                       "file", "tensor", "gradient_of"};
    rill_json f[RILL_LEN(keys)];
    rill_type type;
    rill_tensor *t = NULL;
    RILL_TRY(rill_json_fields(e->json, keys, RILL_LEN(keys), f, l->err));
    RILL_TRY(load_type(l, f[DTYPE], f[SHAPE], true, &type));
    RILL_TRY(load_data(l, &(data_keys){f[DATA], f[FILE_], f[TENSOR]}, &type, &t));
    e->value = rill_constant(l->g, e->name, t);
    rill_tensor_destroy(t);
    if (!rill_valid(e->value)) return rill_load_graph_error(l, e->json, "constant", e->name);
    rill_load_mark_automatic(l, e->value);
    return rill_load_extras(l, e->json, rill_value_node(l->g, e->value), "");
}

/* ---- initialisers ---------------------------------------------------------------------------- */

#define KIND(k) (1u << RILL_INIT_##k)
#define KINDS_FAN (KIND(GLOROT_UNIFORM) | KIND(GLOROT_NORMAL) | KIND(HE_UNIFORM) | KIND(HE_NORMAL))

/* The numbers that initialisers take, and which of them take each. */
static const struct {
    const char *key;
    size_t offset;
    uint32_t kinds;
    bool positive;
} init_numbers[] = {
    {"value", offsetof(rill_init, value), KIND(CONSTANT), false},
    {"low", offsetof(rill_init, low), KIND(UNIFORM), false},
    {"high", offsetof(rill_init, high), KIND(UNIFORM), false},
    {"mean", offsetof(rill_init, mean), KIND(NORMAL) | KIND(TRUNCATED_NORMAL), false},
    {"stddev", offsetof(rill_init, stddev), KIND(NORMAL) | KIND(TRUNCATED_NORMAL), false},
    {"gain", offsetof(rill_init, gain), KIND(ORTHOGONAL), false},
    {"fan_in", offsetof(rill_init, fan_in), KINDS_FAN, true},
    {"fan_out", offsetof(rill_init, fan_out), KINDS_FAN, true},
};

static rill_status init_number(const rill_loader *l, rill_json v, size_t k, const rill_type *type,
                               rill_init *init)
{
    double d;
    bool overflow;
    if (init->kind == RILL_INIT_CONSTANT) { /* must be a value of the variable's dtype */
        rill_tensor *t;
        rill_type scalar = {type->dtype, {.rank = 0}};
        RILL_TRY(rill_json_tensor(v, "value", &scalar, &t, l->err));
        init->value = rill_tensor_get(t, 0);
        rill_tensor_destroy(t);
        return RILL_OK;
    }
    if (!rill_json_float64(v, &d, &overflow) || !isfinite(d) ||
        (init_numbers[k].positive && d <= 0))
        return rill_load_at(
            l,
            rill_json_expected(v, l->err,
                               init_numbers[k].positive ? "a positive number" : "a finite number"),
            init_numbers[k].key);
    memcpy((char *)init + init_numbers[k].offset, &d, sizeof d);
    return RILL_OK;
}

static rill_status init_kind(const rill_loader *l, rill_json v, rill_init_kind *kind)
{
    const char *op = rill_json_string(v);
    char buf[RILL_JSON_EXCERPT], hint[128];
    if (!op) return rill_json_expected(v, l->err, "the name of an initialiser");
    if (rill_init_from_name(op, kind)) return RILL_OK;
    rill_nearest near;
    rill_nearest_init(&near, op);
    for (int i = 0; i < RILL_N_INITS; i++)
        rill_nearest_offer(&near, rill_init_name((rill_init_kind)i));
    return rill_json_fail(v, l->err, "unknown initialiser %s%s", rill_json_excerpt(v, buf),
                          rill_nearest_hint(&near, hint, sizeof hint));
}

static rill_status init_layout(const rill_loader *l, rill_json v, bool *oihw)
{
    const char *layout = rill_json_string(v);
    if (!v.item) return RILL_OK;
    *oihw = layout && strcmp(layout, "OIHW") == 0;
    if (*oihw || (layout && strcmp(layout, "HWIO") == 0)) return RILL_OK;
    return rill_load_at(l, rill_json_expected(v, l->err, "\"HWIO\" or \"OIHW\""), "layout");
}

/* An initialiser as an object or just its name. *data holds the keys of `data`. */
static rill_status load_init(const rill_loader *l, rill_json v, const rill_type *type,
                             rill_init *init, data_keys *data)
{
    const char *keys[RILL_LEN(init_numbers) + 5] = {"op"};
    size_t which[RILL_LEN(init_numbers)], n = 0;
    if (rill_json_is(v, cJSON_String)) return init_kind(l, v, &init->kind);
    if (!rill_json_is(v, cJSON_Object))
        return rill_json_expected(v, l->err, "an object or the name of an initialiser");
    RILL_TRY(rill_load_at(l, init_kind(l, rill_json_get(v, "op"), &init->kind), "op"));
    for (size_t i = 0; i < RILL_LEN(init_numbers); i++)
        if (init_numbers[i].kinds >> init->kind & 1) {
            which[n] = i;
            keys[++n] = init_numbers[i].key;
        }
    size_t more = n + 1;
    if (KINDS_FAN >> init->kind & 1) keys[more++] = "layout";
    if (init->kind == RILL_INIT_DATA) {
        keys[more++] = "data";
        keys[more++] = "file";
        keys[more++] = "tensor";
    }
    rill_json f[RILL_LEN(keys)];
    RILL_TRY(rill_json_fields(v, keys, more, f, l->err));
    for (size_t i = 0; i < n; i++)
        if (f[i + 1].item) RILL_TRY(init_number(l, f[i + 1], which[i], type, init));
    if (KINDS_FAN >> init->kind & 1) RILL_TRY(init_layout(l, f[n + 1], &init->oihw));
    if (init->kind == RILL_INIT_DATA) *data = (data_keys){f[n + 1], f[n + 2], f[n + 3]};
    return RILL_OK;
}

/* ---- variables ------------------------------------------------------------------------------- */

enum { V_NAME, V_DTYPE, V_SHAPE, V_INIT, V_DATA, V_FILE, V_TENSOR, V_TRAINABLE, V_SLOT_OF, V_N };
static const char *const variable_keys[V_N] = {"name", "dtype",  "shape",     "init",   "data",
                                               "file", "tensor", "trainable", "slot_of"};

/* Reads `init`, or the data in place of it. */
static rill_status load_first_value(rill_loader *l, const rill_json *f, const rill_type *type,
                                    rill_init *init, rill_tensor **t)
{
    data_keys data = {f[V_DATA], f[V_FILE], f[V_TENSOR]};
    bool has_data = f[V_DATA].item || f[V_FILE].item || f[V_TENSOR].item;
    if (f[V_INIT].item) {
        if (has_data)
            return rill_json_fail(f[V_INIT], l->err, "expected \"init\" or data, got both");
        RILL_TRY(rill_load_at(l, load_init(l, f[V_INIT], type, init, &data), "init"));
        if (init->kind != RILL_INIT_DATA) return RILL_OK;
        if (!data.data.doc || (!data.data.item && !data.file.item))
            return rill_json_fail(f[V_INIT], l->err, "init: expected \"data\" or \"file\"");
        RILL_TRY(rill_load_at(l, load_data(l, &data, type, t), "init"));
    } else if (has_data) {
        RILL_TRY(load_data(l, &data, type, t));
    } else {
        return RILL_OK; /* zeros */
    }
    init->kind = RILL_INIT_DATA;
    init->data = *t;
    return RILL_OK;
}

rill_status rill_load_variable(rill_loader *l, rill_entry *e)
{
    rill_json f[V_N];
    rill_type type;
    rill_init init = RILL_INIT_INIT;
    rill_tensor *t = NULL;
    RILL_TRY(rill_json_fields(e->json, variable_keys, V_N, f, l->err));
    RILL_TRY(load_type(l, f[V_DTYPE], f[V_SHAPE], true, &type));
    bool yes = rill_json_is(f[V_TRAINABLE], cJSON_True);
    bool no = rill_json_is(f[V_TRAINABLE], cJSON_False);
    if (f[V_TRAINABLE].item && !yes && !no)
        return rill_load_at(l, rill_json_expected(f[V_TRAINABLE], l->err, "true or false"),
                            "trainable");
    if (yes && !rill_dtype_is_float(type.dtype))
        return rill_json_fail(f[V_TRAINABLE], l->err,
                              "trainable: only f32 and f64 can be trained, this is %s",
                              rill_dtype_name(type.dtype));
    if (yes && f[V_SLOT_OF].item)
        return rill_json_fail(f[V_TRAINABLE], l->err, "trainable: optimiser state is not trained");
    RILL_TRY(load_first_value(l, f, &type, &init, &t));
    e->value = rill_variable(l->g, e->name, type.dtype, type.shape, &init);
    rill_tensor_destroy(t);
    if (!rill_valid(e->value))
        return rill_load_graph_error(l, f[V_INIT].item ? f[V_INIT] : e->json, "variable", e->name);
    if (no && rill_variable_set_trainable(l->g, e->value, false) != RILL_OK)
        return rill_load_graph_error(l, f[V_TRAINABLE], "variable", e->name);
    int64_t node = rill_value_node(l->g, e->value);
    RILL_TRY(rill_load_extras(l, f[V_INIT], node, "init"));
    return rill_load_extras(l, e->json, node, "");
}

rill_status rill_load_slot(rill_loader *l, rill_entry *e)
{
    rill_json f[V_N];
    rill_entry *of;
    uint32_t port;
    RILL_TRY(rill_json_fields(e->json, variable_keys, V_N, f, l->err));
    if (!f[V_SLOT_OF].item) return RILL_OK;
    RILL_TRY(rill_load_at(l, rill_load_find(l, f[V_SLOT_OF], &of, &port), "slot_of"));
    if (of->section != RILL_SECTION_VARIABLES || port != 0 || of == e)
        return rill_json_fail(f[V_SLOT_OF], l->err,
                              "slot_of: expected another variable, got \"%s\"", of->name);
    if (rill_variable_set_slot_of(l->g, e->value, of->value) != RILL_OK)
        return rill_load_graph_error(l, f[V_SLOT_OF], "variable", e->name);
    return RILL_OK;
}
