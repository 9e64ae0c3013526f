/* Attributes: making, checking against a spec, comparing, printing. */
#include "graph/graph.h"

#include <stdio.h>

rill_attr rill_attr_int(int64_t i)
{
    return (rill_attr){.type = RILL_ATTR_INT, .u.i = i};
}
rill_attr rill_attr_float(double f)
{
    return (rill_attr){.type = RILL_ATTR_FLOAT, .u.f = f};
}
rill_attr rill_attr_bool(bool b)
{
    return (rill_attr){.type = RILL_ATTR_BOOL, .u.i = b};
}
rill_attr rill_attr_string(const char *s)
{
    return (rill_attr){.type = RILL_ATTR_STRING, .u.s = s};
}

rill_attr rill_attr_ints(const int64_t *v, uint32_t n)
{
    return (rill_attr){.type = RILL_ATTR_INTS, .n = n, .u.ints = v};
}

rill_attr rill_attr_shape(const rill_shape *shape)
{
    return (rill_attr){.type = RILL_ATTR_SHAPE,
                       .n = (uint32_t)(shape->rank < 0 ? 0 : shape->rank),
                       .u.ints = shape->dims};
}

rill_attr rill_attr_dtype(rill_dtype dtype)
{
    return (rill_attr){.type = RILL_ATTR_DTYPE, .u.i = (int64_t)dtype};
}

int rill_op_attr_index(const rill_op *op, const char *name)
{
    for (uint32_t i = 0; i < op->n_attrs; i++)
        if (strcmp(op->attrs[i].name, name) == 0) return (int)i;
    return -1;
}

void rill_attr_text(rill_text *t, const rill_graph *g, const rill_attr *a)
{
    char buf[40];
    switch (a->type) {
    case RILL_ATTR_ABSENT:
        rill_text_add(t, "none");
        break;
    case RILL_ATTR_INT:
        rill_text_add(t, "%lld", (long long)a->u.i);
        break;
    case RILL_ATTR_FLOAT:
        rill_format_float(buf, a->u.f, false);
        rill_text_add(t, "%s", buf);
        break;
    case RILL_ATTR_BOOL:
        rill_text_add(t, "%s", a->u.i ? "true" : "false");
        break;
    case RILL_ATTR_STRING:
        rill_text_add(t, "\"%s\"", a->u.s);
        break;
    case RILL_ATTR_DTYPE:
        rill_text_add(t, "%s", rill_dtype_name((rill_dtype)a->u.i));
        break;
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        rill_text_add(t, "[");
        for (uint32_t i = 0; i < a->n; i++) {
            const char *symbol =
                a->type == RILL_ATTR_SHAPE && g ? rill_symbol_name(g, a->u.ints[i]) : NULL;
            if (i) rill_text_add(t, ", ");
            if (symbol)
                rill_text_add(t, "%s", symbol);
            else
                rill_text_add(t, "%lld", (long long)a->u.ints[i]);
        }
        rill_text_add(t, "]");
        break;
    }
}

bool rill_attr_equal(const rill_attr *a, const rill_attr *b)
{
    if (a->type != b->type) return false;
    switch (a->type) {
    case RILL_ATTR_ABSENT:
        return true;
    case RILL_ATTR_FLOAT:
        return memcmp(&a->u.f, &b->u.f, sizeof a->u.f) == 0;
    case RILL_ATTR_STRING:
        return strcmp(a->u.s, b->u.s) == 0;
    case RILL_ATTR_INTS:
    case RILL_ATTR_SHAPE:
        return a->n == b->n &&
               (a->n == 0 || memcmp(a->u.ints, b->u.ints, a->n * sizeof(int64_t)) == 0);
    default:
        return a->u.i == b->u.i;
    }
}

/* ---- checking ------------------------------------------------------------------------------ */

static const char *type_words(rill_attr_type type)
{
    static const char *const words[] = {"nothing",       "an integer", "a number",
                                        "true or false", "a string",   "a list of integers",
                                        "a shape",       "a dtype"};
    return words[type];
}

/* "expected ..., got ..." with the value as given. */
static rill_status mismatch(const rill_attr_spec *spec, const rill_attr *value, rill_error *err,
                            const char *expected)
{
    rill_text t;
    rill_text_init(&t, NULL);
    rill_attr_text(&t, NULL, value);
    rill_status st = rill_fail(err, RILL_ERR_INVALID, "attribute \"%s\": expected %s, got %.200s",
                               spec->name, expected, t.failed ? "another" : t.data);
    rill_text_free(&t);
    return st;
}

const char *rill_attr_expectation(const rill_attr_spec *spec, char *buf, size_t size)
{
    int n = 0;
    if (spec->type == RILL_ATTR_INTS && spec->n_max)
        n = spec->n_min == spec->n_max ? snprintf(buf, size, "%u ", spec->n_max)
                                       : snprintf(buf, size, "%u to %u ", spec->n_min, spec->n_max);
    bool many = spec->type == RILL_ATTR_INTS, ranged = spec->min < spec->max;
    bool positive =
        ranged && spec->min == 1 && spec->max >= INT32_MAX && spec->type != RILL_ATTR_FLOAT;
    const char *noun = many       ? (positive ? "positive integers" : "integers")
                       : positive ? "a positive integer"
                                  : type_words(spec->type);
    n += snprintf(buf + n, size - (size_t)n, "%s", noun);
    if (ranged && !positive) {
        char low[40], high[40];
        rill_format_float(low, spec->min, false);
        rill_format_float(high, spec->max, false);
        if (spec->max >= INT32_MAX)
            snprintf(buf + n, size - (size_t)n, " of %s or more", low);
        else
            snprintf(buf + n, size - (size_t)n, " from %s to %s", low, high);
    }
    return buf;
}

static bool in_range(const rill_attr_spec *spec, double v)
{
    return !(spec->min < spec->max) || (v >= spec->min && v <= spec->max);
}

static rill_status check_choice(const rill_attr_spec *spec, const rill_attr *value, rill_error *err)
{
    char list[400] = "", hint[128];
    size_t n = 0;
    rill_nearest near;
    rill_nearest_init(&near, value->u.s);
    for (const char *const *c = spec->choices; *c; c++) {
        if (strcmp(*c, value->u.s) == 0) return RILL_OK;
        rill_nearest_offer(&near, *c);
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s\"%s\"", n ? ", " : "", *c);
    }
    return rill_fail(err, RILL_ERR_INVALID,
                     "attribute \"%s\": expected one of %s, got \"%.100s\"%s", spec->name, list,
                     value->u.s, rill_nearest_hint(&near, hint, sizeof hint));
}

rill_status rill_attr_check(const rill_attr_spec *spec, const rill_attr *value, rill_attr *out,
                            rill_error *err)
{
    char buf[160];
    *out = *value;
    if (value->type == RILL_ATTR_ABSENT) {
        if (spec->required)
            return rill_fail(err, RILL_ERR_INVALID, "attribute \"%s\" is missing: expected %s",
                             spec->name, rill_attr_expectation(spec, buf, sizeof buf));
        *out = spec->def;
        return RILL_OK;
    }
    if (spec->type == RILL_ATTR_FLOAT && value->type == RILL_ATTR_INT)
        *out = rill_attr_float((double)value->u.i);
    if (spec->type == RILL_ATTR_SHAPE && value->type == RILL_ATTR_INTS) out->type = RILL_ATTR_SHAPE;
    if (out->type != spec->type)
        return mismatch(spec, value, err, rill_attr_expectation(spec, buf, sizeof buf));
    bool is_list = spec->type == RILL_ATTR_INTS || spec->type == RILL_ATTR_SHAPE;
    if (is_list && out->n > 0 && !out->u.ints)
        return rill_fail(err, RILL_ERR_INVALID, "attribute \"%s\": expected %s, got NULL",
                         spec->name, rill_attr_expectation(spec, buf, sizeof buf));

    if (spec->type == RILL_ATTR_STRING && !out->u.s)
        return rill_fail(err, RILL_ERR_INVALID, "attribute \"%s\": NULL was given", spec->name);

    bool ok = true;
    switch (spec->type) {
    case RILL_ATTR_INT:
        ok = in_range(spec, (double)out->u.i);
        break;
    case RILL_ATTR_FLOAT:
        ok = in_range(spec, out->u.f) && out->u.f == out->u.f;
        break;
    case RILL_ATTR_INTS:
        if (spec->n_max) ok = out->n >= spec->n_min && out->n <= spec->n_max;
        for (uint32_t i = 0; ok && i < out->n; i++) ok = in_range(spec, (double)out->u.ints[i]);
        break;
    case RILL_ATTR_SHAPE:
        ok = out->n <= RILL_MAX_RANK;
        break;
    case RILL_ATTR_DTYPE:
        ok = rill_dtype_size((rill_dtype)out->u.i) > 0;
        break;
    case RILL_ATTR_STRING:
        if (spec->choices) return check_choice(spec, out, err);
        break;
    default:
        break;
    }
    return ok ? RILL_OK : mismatch(spec, value, err, rill_attr_expectation(spec, buf, sizeof buf));
}
