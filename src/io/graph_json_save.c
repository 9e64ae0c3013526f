/* Writing a graph as JSON: the format that the loader reads, one line for each input, variable,
 * constant and node. What has its default value is left out, so the file says what is particular.
 * Keys have a fixed order and numbers the shortest digits that read back to the same bits: the same
 * graph always gives the same bytes.
 */
#include "io/graph_json.h"

/* ---- references, x- keys --------------------------------------------------------------------- */

void rill_save_ref(rill_saver *s, rill_value v)
{
    rill_text *t = &s->text;
    rill_json_write_string(t, rill_value_name(s->g, v));
    uint32_t port = rill_value_port(s->g, v);
    if (port == 0 || t->failed) return;
    t->length--; /* the closing quote */
    rill_text_add(t, ":%u\"", port);
}

static rill_status index_extras(rill_saver *s, rill_error *err)
{
    const rill_graph *g = s->g;
    s->head = rill_alloc_zero(g->ctx, g->n_nodes + 1, sizeof *s->head);
    s->next = rill_alloc_zero(g->ctx, g->n_extras + 1, sizeof *s->next);
    if (!s->head || !s->next) return rill_nomem(err, "x- keys");
    for (size_t i = g->n_extras; i-- > 0;) {
        uint32_t *head = &s->head[g->extras[i].node + 1];
        s->next[i] = *head;
        *head = (uint32_t)i + 1;
    }
    return RILL_OK;
}

bool rill_save_extras(rill_saver *s, int64_t node, const char *place, const char *before)
{
    bool any = false;
    for (uint32_t i = s->head[node + 1]; i; i = s->next[i - 1]) {
        const rill_extra_s *extra = &s->g->extras[i - 1];
        if (strcmp(extra->place, place) != 0) continue;
        rill_text_add(&s->text, "%s", any ? ", " : before);
        rill_json_write_string(&s->text, extra->key);
        rill_text_append(&s->text, ": ", 2);
        rill_text_append(&s->text, extra->json, strlen(extra->json));
        any = true;
    }
    return any;
}

/* ---- types and data -------------------------------------------------------------------------- */

static void write_dims(rill_text *t, const rill_graph *g, const int64_t *dims, size_t n)
{
    rill_text_append(t, "[", 1);
    for (size_t i = 0; i < n; i++) {
        const char *symbol = g ? rill_symbol_name(g, dims[i]) : NULL;
        if (i) rill_text_append(t, ", ", 2);
        if (symbol)
            rill_json_write_string(t, symbol);
        else
            rill_json_write_int(t, dims[i]);
    }
    rill_text_append(t, "]", 1);
}

/* `{"name": "x", "dtype": "f32", "shape": [...]`, open for more. */
static void begin_source(rill_saver *s, const rill_node_s *n)
{
    const rill_type *type = &s->g->values[n->first_value].type;
    rill_text_add(&s->text, "{\"name\": ");
    rill_json_write_string(&s->text, n->name);
    rill_text_add(&s->text, ", \"dtype\": \"%s\", \"shape\": ", rill_dtype_name(type->dtype));
    write_dims(&s->text, s->g, type->shape.dims, (size_t)type->shape.rank);
}

/* Elements that are all alike are written once. */
static void write_data(rill_saver *s, const rill_tensor *x)
{
    size_t size = rill_dtype_size(x->type.dtype);
    const char *data = x->data;
    rill_text_add(&s->text, ", \"data\": ");
    if (x->count > 1 && memcmp(data, data + size, x->bytes - size) == 0)
        rill_json_write_element(&s->text, x, 0);
    else
        rill_json_write_tensor(&s->text, x);
}

/* ---- variables ------------------------------------------------------------------------------- */

static void write_number(rill_saver *s, const char *key, double v, double unset)
{
    if (v == unset) return;
    rill_text_add(&s->text, ", \"%s\": ", key);
    rill_json_write_float(&s->text, v, false);
}

/* The value as one of the variable's dtype. */
static void write_constant_value(rill_saver *s, double v, rill_dtype dtype)
{
    unsigned char bytes[8] = {0};
    rill_tensor one = {.type = {dtype, {.rank = 0}}, .data = bytes, .count = 1};
    rill_tensor_put(&one, 0, v);
    rill_text_add(&s->text, ", \"value\": ");
    rill_json_write_element(&s->text, &one, 0);
}

static void write_init(rill_saver *s, const rill_node_s *n, int64_t node)
{
    static const rill_init unset = RILL_INIT_INIT;
    const rill_init *init = n->init;
    rill_text_add(&s->text, ", \"init\": {\"op\": \"%s\"", rill_init_name(init->kind));
    switch (init->kind) {
    case RILL_INIT_CONSTANT:
        write_constant_value(s, init->value, s->g->values[n->first_value].type.dtype);
        break;
    case RILL_INIT_UNIFORM:
        write_number(s, "low", init->low, unset.low);
        write_number(s, "high", init->high, unset.high);
        break;
    case RILL_INIT_NORMAL:
    case RILL_INIT_TRUNCATED_NORMAL:
        write_number(s, "mean", init->mean, unset.mean);
        write_number(s, "stddev", init->stddev, unset.stddev);
        break;
    case RILL_INIT_ORTHOGONAL:
        write_number(s, "gain", init->gain, unset.gain);
        break;
    case RILL_INIT_GLOROT_UNIFORM:
    case RILL_INIT_GLOROT_NORMAL:
    case RILL_INIT_HE_UNIFORM:
    case RILL_INIT_HE_NORMAL:
        write_number(s, "fan_in", init->fan_in, unset.fan_in);
        write_number(s, "fan_out", init->fan_out, unset.fan_out);
        if (init->oihw) rill_text_add(&s->text, ", \"layout\": \"OIHW\"");
        break;
    default:
        break;
    }
    rill_save_extras(s, node, "init", ", ");
    rill_text_add(&s->text, "}");
}

static void write_variable(rill_saver *s, const rill_node_s *n, int64_t node)
{
    begin_source(s, n);
    if (n->init->kind == RILL_INIT_DATA)
        write_data(s, n->init->data);
    else
        write_init(s, n, node);
    bool is_float = rill_dtype_is_float(s->g->values[n->first_value].type.dtype);
    if (rill_valid(n->slot_of)) {
        rill_text_add(&s->text, ", \"slot_of\": ");
        rill_save_ref(s, n->slot_of);
    } else if (is_float && !n->trainable) {
        rill_text_add(&s->text, ", \"trainable\": false");
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

void rill_json_write_attr(rill_text *t, const rill_graph *g, const rill_attr *a)
{
    switch (a->type) {
    case RILL_ATTR_INT:
        rill_json_write_int(t, a->u.i);
        break;
    case RILL_ATTR_FLOAT:
        rill_json_write_float(t, a->u.f, false);
        break;
    case RILL_ATTR_BOOL:
        rill_text_add(t, a->u.i ? "true" : "false");
        break;
    case RILL_ATTR_STRING:
        rill_json_write_string(t, a->u.s);
        break;
    case RILL_ATTR_DTYPE:
        rill_json_write_string(t, rill_dtype_name((rill_dtype)a->u.i));
        break;
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        write_dims(t, a->type == RILL_ATTR_SHAPE ? g : NULL, a->u.ints, a->n);
        break;
    case RILL_ATTR_ABSENT:
        break;
    }
}

/* Attributes that are not left at their defaults. A stream is always said: it must survive a change
 * of the node's name. */
static void write_attrs(rill_saver *s, const rill_node_s *n, int64_t node)
{
    bool any = false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++) {
        const rill_attr_spec *spec = &n->op->attrs[i];
        bool stream = (n->op->flags & RILL_OP_RANDOM) && strcmp(spec->name, "stream") == 0;
        if (n->attrs[i].type == RILL_ATTR_ABSENT) continue;
        if (!stream && rill_attr_equal(&spec->def, &n->attrs[i])) continue;
        rill_text_add(&s->text, any ? ", \"%s\": " : ", \"attrs\": {\"%s\": ", spec->name);
        rill_json_write_attr(&s->text, s->g, &n->attrs[i]);
        any = true;
    }
    if (rill_save_extras(s, node, "attrs", any ? ", " : ", \"attrs\": {")) any = true;
    if (any) rill_text_add(&s->text, "}");
}

static void write_op(rill_saver *s, const rill_node_s *n, int64_t node)
{
    rill_text_add(&s->text, "{\"name\": ");
    rill_json_write_string(&s->text, n->name);
    rill_text_add(&s->text, ", \"op\": ");
    rill_json_write_string(&s->text, n->op->name);
    rill_text_add(&s->text, ", \"inputs\": [");
    for (uint32_t i = 0; i < n->n_inputs; i++) {
        if (i) rill_text_append(&s->text, ", ", 2);
        if (rill_valid(n->inputs[i]))
            rill_save_ref(s, n->inputs[i]);
        else
            rill_text_append(&s->text, "null", 4);
    }
    rill_text_add(&s->text, "]");
    write_attrs(s, n, node);
}

/* ---- sections -------------------------------------------------------------------------------- */

static void write_node(rill_saver *s, size_t i)
{
    const rill_node_s *n = &s->g->nodes[i];
    switch (n->kind) {
    case RILL_NODE_INPUT:
        begin_source(s, n);
        break;
    case RILL_NODE_VARIABLE:
        write_variable(s, n, (int64_t)i);
        break;
    case RILL_NODE_CONSTANT:
        begin_source(s, n);
        write_data(s, n->data);
        break;
    case RILL_NODE_OP:
        write_op(s, n, (int64_t)i);
        break;
    }
    bool tagged = n->kind == RILL_NODE_CONSTANT || n->kind == RILL_NODE_OP;
    if (tagged && n->gradient_of >= 0) {
        rill_text_add(&s->text, ", \"gradient_of\": ");
        rill_json_write_string(&s->text, s->g->nodes[n->gradient_of].name);
    }
    rill_save_extras(s, (int64_t)i, "", ", ");
    rill_text_add(&s->text, "}");
}

static void write_section(rill_saver *s, rill_node_kind kind, const char *key)
{
    bool any = false;
    for (size_t i = 0; i < s->g->n_nodes && !s->text.failed; i++) {
        if (s->g->nodes[i].kind != kind) continue;
        rill_text_add(&s->text, any ? ",\n    " : ",\n  \"%s\": [\n    ", key);
        write_node(s, i);
        any = true;
    }
    if (any) rill_text_add(&s->text, "\n  ]");
}

static void write_outputs(rill_saver *s)
{
    const rill_graph *g = s->g;
    if (g->n_outputs == 0) return;
    rill_text_add(&s->text, ",\n  \"outputs\": [");
    for (size_t i = 0; i < g->n_outputs; i++) {
        if (i) rill_text_append(&s->text, ", ", 2);
        rill_save_ref(s, g->outputs[i]);
    }
    rill_text_add(&s->text, "]");
}

static void write_updates(rill_saver *s)
{
    const rill_graph *g = s->g;
    for (size_t i = 0; i < g->n_updates; i++) {
        rill_text_add(&s->text,
                      i ? ",\n    {\"variable\": " : ",\n  \"updates\": [\n    {\"variable\": ");
        rill_save_ref(s, g->updates[i].variable);
        rill_text_add(&s->text, ", \"value\": ");
        rill_save_ref(s, g->updates[i].value);
        rill_save_extras(s, rill_value_node(g, g->updates[i].variable), "update", ", ");
        rill_text_add(&s->text, "}");
    }
    if (g->n_updates) rill_text_add(&s->text, "\n  ]");
}

static void write_graph(rill_saver *s)
{
    rill_text_add(&s->text,
                  "{\n  \"format\": \"%s\",\n  \"version\": %d,\n  \"name\": ", RILL_JSON_FORMAT,
                  RILL_JSON_VERSION);
    rill_json_write_string(&s->text, s->g->name);
    write_section(s, RILL_NODE_INPUT, "inputs");
    write_section(s, RILL_NODE_VARIABLE, "variables");
    write_section(s, RILL_NODE_CONSTANT, "constants");
    write_section(s, RILL_NODE_OP, "nodes");
    write_outputs(s);
    write_updates(s);
    const rill_training *training = rill_graph_training(s->g);
    if (training) {
        rill_text_add(&s->text, ",\n  \"training\": ");
        rill_save_training(s, training);
    }
    rill_save_extras(s, -1, "", ",\n  ");
    rill_text_add(&s->text, "\n}\n");
}

rill_status rill_graph_json(const rill_graph *g, char **out, rill_error *err)
{
    rill_saver s = {.g = g};
    *out = NULL;
    if (g->error.status != RILL_OK) {
        if (err) *err = g->error;
        return g->error.status;
    }
    rill_text_init(&s.text, g->ctx);
    rill_status st = index_extras(&s, err);
    if (st == RILL_OK) {
        write_graph(&s);
        *out = rill_text_take(&s.text);
        if (!*out) st = rill_nomem(err, "JSON text");
    }
    rill_free(g->ctx, s.head, (g->n_nodes + 1) * sizeof *s.head);
    rill_free(g->ctx, s.next, (g->n_extras + 1) * sizeof *s.next);
    return st;
}

rill_status rill_graph_save(const rill_graph *g, const char *path, rill_error *err)
{
    char *text;
    RILL_TRY(rill_graph_json(g, &text, err));
    rill_status st = rill_file_write(g->ctx, path, text, strlen(text), err);
    rill_string_free(g->ctx, text);
    return st;
}
