/* What is written on boxes and arrows, and the sentences below the picture. */
#include "draw/picture.h"

#include <math.h>
#include <stdio.h>

enum { LONGEST_NAME = 30, LONGEST_LINE = 38, NAMED_OPS = 4 };

typedef struct writer {
    rill_picture *p;
    rill_text t;
    uint32_t *members; /* by box: nodes it has, listed behind first[box] */
    uint32_t *first;
} writer;

/* ---- short forms
 * ----------------------------------------------------------------------------------- */

/* Bytes of the first (or from the end, the last) `n` characters of s. */
static size_t head_bytes(const char *s, size_t n)
{
    size_t at = 0;
    while (s[at] && n--) {
        const size_t k = rill_utf8_length(s + at, strlen(s + at));
        at += k ? k : 1;
    }
    return at;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

/* The whole if it is short; else its beginning and, if `ends`, its end. */
static void add_short(rill_text *t, const char *s, size_t longest, bool ends)
{
    const size_t n = characters(s);
    if (n <= longest) {
        rill_text_append(t, s, strlen(s));
        return;
    }
    const size_t tail = ends ? longest * 3 / 5 : 0;
    rill_text_append(t, s, head_bytes(s, longest - tail - 1));
    rill_text_append(t, "…", strlen("…"));
    rill_text_append(t, s + head_bytes(s, n - tail), strlen(s + head_bytes(s, n - tail)));
}

static void add_count(rill_text *t, int64_t n, const char *of)
{
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < length; i++) {
        rill_text_append(t, digits + i, 1);
        if ((length - 1 - i) % 3 == 0 && i + 1 < length) rill_text_append(t, ",", 1);
    }
    rill_text_add(t, " %s%s", of, n == 1 ? "" : "s");
}

/* Four significant digits. */
static void add_number(rill_text *t, double v)
{
    char buf[40];
    if (isfinite(v) && v != 0) {
        const double scale = pow(10, 3 - floor(log10(fabs(v))));
        if (isfinite(scale) && scale > 0) v = round(v * scale) / scale;
    }
    rill_format_float(buf, v, fabs(v) < 3e38);
    rill_text_add(t, "%s", buf);
}

/* ---- lines
 * ------------------------------------------------------------------------------------------- */

size_t rill_line_length(const char *s, size_t longest)
{
    const size_t most = head_bytes(s, longest);
    size_t at = most;
    if (!s[most]) return most;
    while (at > 0 && s[at] != ' ') at--;
    return at ? at : most;
}

/* Ends the line that is in w->t. */
static void end_line(writer *w, rill_box *b)
{
    char whole[400];
    const char *s = w->t.data ? w->t.data : "";
    if (b->n_lines < RILL_BOX_LINES && w->t.length && !w->t.failed) {
        snprintf(whole, sizeof whole, "%.399s", s);
        w->t.length = 0;
        add_short(&w->t, whole, LONGEST_LINE, false);
        b->lines[b->n_lines] =
            w->t.failed ? NULL : rill_arena_strndup(&w->p->arena, w->t.data, w->t.length);
        if (!b->lines[b->n_lines]) w->t.failed = true;
        b->n_lines++;
    }
    w->t.length = 0;
}

static void heading(writer *w, rill_box *b, const char *name)
{
    add_short(&w->t, name, LONGEST_NAME, true);
    end_line(w, b);
}

/* `mul ·, 0.9`: the op, and its inputs where one is a scalar that is not drawn. */
static void add_op(writer *w, const rill_node_s *n)
{
    const rill_picture *p = w->p;
    bool scalars = false;
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (rill_valid(n->inputs[i])) {
            const size_t from = rill_value_at(p->g, n->inputs[i])->node;
            scalars = scalars || (rill_picture_inline(p, from) && !p->drawn[from]);
        }
    rill_text_add(&w->t, "%s", n->op->name);
    for (uint32_t i = 0; scalars && i < n->n_inputs; i++) {
        double v;
        rill_text_add(&w->t, "%s", i ? ", " : " ");
        if (rill_value_constant(p->g, n->inputs[i], &v))
            add_number(&w->t, v);
        else
            rill_text_add(&w->t, "·");
    }
}

/* ` rate=0.4, activation=relu`: what differs from the defaults. */
static void add_attrs(writer *w, const rill_node_s *n)
{
    bool any = false;
    for (uint32_t i = 0; i < n->op->n_attrs; i++) {
        const rill_attr_spec *spec = &n->op->attrs[i];
        if (rill_attr_equal(&spec->def, &n->attrs[i])) continue;
        if ((n->op->flags & RILL_OP_RANDOM) && strcmp(spec->name, "stream") == 0) continue;
        rill_text_add(&w->t, any ? ", %s=" : "  %s=", spec->name);
        if (n->attrs[i].type == RILL_ATTR_STRING)
            rill_text_add(&w->t, "%s", n->attrs[i].u.s);
        else
            rill_attr_text(&w->t, w->p->g, &n->attrs[i]);
        any = true;
    }
}

static void write_op(writer *w, rill_box *b, const rill_node_s *n)
{
    const bool named = !n->auto_named && strcmp(n->name, n->op->name) != 0;
    if (named) heading(w, b, n->name);
    add_op(w, n);
    if (!named) end_line(w, b);
    add_attrs(w, n);
    end_line(w, b);
    if (n->gradient_of < 0) return;
    rill_text_add(&w->t, "of ");
    add_short(&w->t, w->p->g->nodes[w->p->whole[n->gradient_of]].name, LONGEST_NAME, true);
    end_line(w, b);
}

static void write_source(writer *w, rill_box *b, const rill_node_s *n)
{
    static const char *const kinds[] = {"input", "variable", "constant"};
    heading(w, b, n->name);
    if (b->parameters) {
        add_count(&w->t, b->parameters, "parameter");
    } else if (n->kind == RILL_NODE_VARIABLE) {
        rill_text_add(&w->t, rill_valid(n->slot_of) ? "state of the optimiser" : "not trained");
    } else {
        rill_text_add(&w->t, "%s", kinds[n->kind]);
    }
    end_line(w, b);
}

/* ---- values
 * -------------------------------------------------------------------------------------------- */

static bool is_small(const rill_tensor *t)
{
    const rill_shape *s = &t->type.shape;
    return t->count <= 20 && s->rank <= 2 && (s->rank == 0 || s->dims[s->rank - 1] <= 6) &&
           (s->rank < 2 || s->dims[0] <= 6);
}

static void write_elements(writer *w, rill_box *b, const rill_tensor *t)
{
    const rill_shape *s = &t->type.shape;
    const int64_t row = s->rank ? s->dims[s->rank - 1] : 1;
    for (int64_t i = 0; i < t->count; i++) {
        if (i % row) rill_text_add(&w->t, "  ");
        add_number(&w->t, rill_tensor_get(t, i));
        if ((i + 1) % row == 0) end_line(w, b);
    }
}

static void write_statistics(writer *w, rill_box *b, const rill_tensor *t)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const double v = rill_tensor_get(t, i);
        if (isnan(v)) continue;
        low = fmin(low, v);
        high = fmax(high, v);
        sum += v;
        n++;
    }
    if (n) {
        add_number(&w->t, low);
        rill_text_add(&w->t, " … ");
        add_number(&w->t, high);
        rill_text_add(&w->t, ", mean ");
        add_number(&w->t, sum / (double)n);
        end_line(w, b);
    }
    if (n < t->count) {
        add_count(&w->t, t->count - n, "NaN");
        end_line(w, b);
    }
}

static void write_values(writer *w, rill_box *b)
{
    const rill_picture *p = w->p;
    const rill_node_s *n = &p->g->nodes[b->node];
    if (!p->o.n_values || b->kind == RILL_BOX_GROUP || b->kind == RILL_BOX_NEXT) return;
    const rill_tensor *t = n->first_value < p->o.n_values ? p->o.values[n->first_value] : NULL;
    const uint32_t before = b->n_lines;
    if (!t)
        rill_text_add(&w->t, "not computed"), end_line(w, b);
    else if (t->count && is_small(t))
        write_elements(w, b, t);
    else
        write_statistics(w, b, t);
    b->n_data = b->n_lines - before;
}

/* ---- groups
 * -------------------------------------------------------------------------------------------- */

/* Nodes by the box they are in. */
static bool list_members(writer *w)
{
    const rill_picture *p = w->p;
    const size_t n = p->g->n_nodes;
    w->members = rill_picture_alloc(w->p, n, sizeof *w->members);
    w->first = rill_picture_alloc(w->p, p->n_boxes + 2, sizeof *w->first);
    if (!w->members || !w->first) return false;
    for (size_t i = 0; i < n; i++)
        if (p->drawn[i] && p->box[i] != RILL_NO_BOX) w->first[p->box[i] + 2]++;
    for (size_t i = 2; i < p->n_boxes + 2; i++) w->first[i] += w->first[i - 1];
    for (size_t i = 0; i < n; i++)
        if (p->drawn[i] && p->box[i] != RILL_NO_BOX)
            w->members[w->first[p->box[i] + 1]++] = (uint32_t)i;
    return true;
}

/* `conv2d, relu, max_pool2d, …`: the ops of a group, each once. */
static void add_ops(writer *w, const rill_box *b)
{
    const rill_op *seen[NAMED_OPS];
    const size_t at = (size_t)(b - w->p->boxes);
    size_t n = 0;
    for (uint32_t i = w->first[at]; i < w->first[at + 1]; i++) {
        const rill_op *op = w->p->g->nodes[w->members[i]].op;
        size_t k = 0;
        while (k < n && seen[k] != op) k++;
        if (!op || k < n) continue;
        if (n == NAMED_OPS) {
            rill_text_add(&w->t, ", …");
            return;
        }
        rill_text_add(&w->t, "%s%s", n ? ", " : "", op->name);
        seen[n++] = op;
    }
}

static const char *group_heading(const rill_box *b, char *buf, size_t size)
{
    static const char shared[] = "update/shared";
    const char *slash = strchr(b->name, '/');
    if (b->part == RILL_DRAW_FORWARD || !slash) return b->name;
    if (strcmp(b->name, shared) == 0) return "shared by the updates";
    snprintf(buf, size, "%s of %.500s", b->part == RILL_DRAW_GRADIENT ? "gradient" : "update",
             slash + 1);
    return buf;
}

static void write_group(writer *w, rill_box *b)
{
    char buf[600];
    if (b->part == RILL_DRAW_FORWARD) {
        heading(w, b, b->name);
    } else {
        add_short(&w->t, group_heading(b, buf, sizeof buf), LONGEST_LINE - 4, true);
        end_line(w, b);
    }
    if (b->repeat) {
        rill_text_add(&w->t, "× %u, each:", b->repeat);
        end_line(w, b);
    }
    add_ops(w, b);
    end_line(w, b);
    if (b->n_nodes) add_count(&w->t, (int64_t)b->n_nodes, "op");
    if (b->parameters) {
        rill_text_add(&w->t, b->n_nodes ? ", " : "");
        add_count(&w->t, b->parameters, "parameter");
    }
    end_line(w, b);
}

/* ---- boxes, arrows, summary
 * ------------------------------------------------------------------------------ */

/* The error, line by line. */
static void write_message(writer *w, rill_box *b, const char *s)
{
    while (*s && b->n_lines < RILL_BOX_LINES && !w->t.failed) {
        const size_t n = rill_line_length(s, LONGEST_LINE);
        rill_text_append(&w->t, s, n);
        end_line(w, b);
        s += n;
        while (*s == ' ') s++;
    }
}

static void write_missing(writer *w, rill_box *b)
{
    const rill_draft *d = w->p->o.draft;
    const rill_missing_node *m = rill_draft_missing(d, b->node);
    heading(w, b, b->name);
    if (!m) {
        rill_text_add(&w->t, "there is no such value");
        end_line(w, b);
        return;
    }
    rill_text_add(&w->t, "%.100s", m->op ? m->op : "");
    end_line(w, b);
    if (b->wrong) write_message(w, b, rill_draft_error(d)->message);
}

static void write_box(writer *w, rill_box *b)
{
    if (b->kind == RILL_BOX_MISSING) {
        write_missing(w, b);
        return;
    }
    const rill_node_s *n = &w->p->g->nodes[b->node];
    switch (b->kind) {
    case RILL_BOX_GROUP:
        write_group(w, b);
        break;
    case RILL_BOX_OP:
        write_op(w, b, n);
        break;
    case RILL_BOX_NEXT:
        add_short(&w->t, n->name, LONGEST_NAME, true);
        rill_text_add(&w->t, " ←");
        end_line(w, b);
        rill_text_add(&w->t, "next value");
        end_line(w, b);
        break;
    case RILL_BOX_OUTSIDE:
        heading(w, b, n->name);
        break;
    default:
        write_source(w, b, n);
    }
    write_values(w, b);
}

static void write_arrow(writer *w, rill_arrow *a)
{
    char type[RILL_MAX_RANK * 260];
    if (a->n_values > 1) {
        add_count(&w->t, (int64_t)a->n_values, "tensor");
    } else if (rill_valid(a->value)) {
        rill_type_text(w->p->g, rill_type_of(w->p->g, a->value), type, sizeof type);
        add_short(&w->t, type, LONGEST_NAME, false);
    }
    if (w->t.length && !w->t.failed) {
        a->label = rill_arena_strndup(&w->p->arena, w->t.data, w->t.length);
        if (!a->label) w->t.failed = true;
    }
    w->t.length = 0;
}

/* `12 nodes in 7 boxes, 200,960 parameters; forward 7 ops, gradient 12 ops` */
static const char *summary(writer *w)
{
    const rill_picture *p = w->p;
    size_t ops[RILL_DRAW_ALL + 1] = {0}, parts = 0;
    rill_text *t = &w->t;
    for (size_t i = 0; i < p->g->n_nodes; i++)
        if (p->g->nodes[i].op && p->whole[i] == i) ops[p->part[i]]++;
    t->length = 0;
    for (rill_draw_part k = RILL_DRAW_FORWARD; k <= RILL_DRAW_UPDATE; k = (rill_draw_part)(2 * k)) {
        if (!ops[k]) continue;
        rill_text_add(t, parts++ ? ", " : "");
        add_count(t, (int64_t)ops[k], "op");
        if (k != RILL_DRAW_FORWARD) rill_text_add(t, " of the %s", rill_part_name(k));
    }
    if (!parts) rill_text_add(t, "no ops");
    rill_text_add(t, ", ");
    add_count(t, p->parameters, "parameter");
    return t->failed ? NULL : rill_arena_strndup(&w->p->arena, t->data, t->length);
}

rill_status rill_picture_write(rill_picture *p, rill_error *err)
{
    writer w = {.p = p};
    rill_text_init(&w.t, p->g->ctx);
    if (!list_members(&w)) w.t.failed = true;
    for (size_t i = 0; i < p->n_boxes && !w.t.failed; i++) write_box(&w, &p->boxes[i]);
    for (size_t i = 0; i < p->n_arrows && !w.t.failed; i++) write_arrow(&w, &p->arrows[i]);
    p->title = p->o.title ? p->o.title : p->g->name;
    p->summary = w.t.failed ? NULL : summary(&w);
    rill_text_free(&w.t);
    return p->summary ? RILL_OK : rill_nomem(err, "picture");
}
