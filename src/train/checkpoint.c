/* checkpoint.c: variables to and from .safetensors: all of them with the step, the epoch and the
 * seed (a checkpoint), or those that are no state of the optimiser (parameters).
 *
 * Loading checks everything before it changes anything. */
#include "exec/session.h"
#include "rill/io.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdio.h>

static const char meta_step[] = "rill.step", meta_epoch[] = "rill.epoch", meta_seed[] = "rill.seed";

/* Whether variable `node` belongs into the file. */
static bool is_kept(const rill_node_s *node, bool all)
{
    return node->kind == RILL_NODE_VARIABLE && (all || !rill_name_is_state(node->name));
}

/* ---- saving --------------------------------------------------------------------------------- */

static rill_status collect(const rill_session *s, bool all, rill_bundle **out, rill_error *err)
{
    const rill_graph *g = rill_session_graph(s);
    RILL_TRY(rill_bundle_create(g->ctx, out, err));
    rill_status status = RILL_OK;
    for (size_t i = 0; i < g->n_nodes && status == RILL_OK; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (!is_kept(node, all)) continue;
        const rill_tensor *t = rill_session_get(s, rill_node_value(node, 0));
        status = t ? rill_bundle_add(*out, node->name, t, err) : rill_nomem(err, "initial values");
    }
    if (status != RILL_OK) rill_bundle_destroy(*out);
    return status;
}

static rill_status set_number(rill_bundle *b, const char *key, uint64_t value, rill_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return rill_bundle_set_meta(b, key, text, err);
}

rill_status rill_checkpoint_save(const rill_session *s, const char *path, int64_t epoch,
                                 rill_error *err)
{
    rill_bundle *b;
    RILL_TRY(collect(s, true, &b, err));
    rill_status status = set_number(b, meta_step, rill_session_step(s), err);
    if (status == RILL_OK) status = set_number(b, meta_epoch, (uint64_t)epoch, err);
    if (status == RILL_OK) status = set_number(b, meta_seed, rill_session_seed(s), err);
    if (status == RILL_OK) status = rill_bundle_save(b, path, err);
    rill_bundle_destroy(b);
    return status;
}

rill_status rill_params_save(const rill_session *s, const char *path, rill_error *err)
{
    rill_bundle *b;
    RILL_TRY(collect(s, false, &b, err));
    rill_status status = rill_bundle_save(b, path, err);
    rill_bundle_destroy(b);
    return status;
}

/* ---- loading -------------------------------------------------------------------------------- */

static bool find_variable(const rill_graph *g, const char *name, bool all)
{
    rill_value v = rill_graph_find(g, name);
    return rill_valid(v) && strchr(name, ':') == NULL && is_kept(rill_node_of(g, v), all);
}

static rill_status missing_tensor(const rill_bundle *b, const char *path, const char *name,
                                  rill_error *err)
{
    char hint[300];
    rill_nearest near;
    rill_nearest_init(&near, name);
    for (size_t i = 0; i < rill_bundle_count(b); i++)
        rill_nearest_offer(&near, rill_bundle_name(b, i));
    return rill_fail(err, RILL_ERR_INVALID, "\"%s\": no tensor for variable \"%s\"%s", path, name,
                     rill_nearest_hint(&near, hint, sizeof hint));
}

/* One tensor for each variable, of its type, and no others. */
static rill_status check_bundle(const rill_graph *g, const rill_bundle *b, const char *path,
                                bool all, rill_error *err)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (!is_kept(node, all)) continue;
        const rill_tensor *t = rill_bundle_find(b, node->name);
        if (!t) return missing_tensor(b, path, node->name, err);
        const rill_type *want = rill_type_of(g, rill_node_value(node, 0));
        char have_text[160], want_text[160];
        if (t->type.dtype != want->dtype || !rill_shape_equal(&t->type.shape, &want->shape))
            return rill_fail(err, RILL_ERR_INVALID,
                             "\"%s\": tensor \"%s\" is %s, but the variable is %s", path,
                             node->name, rill_type_text(g, &t->type, have_text, sizeof have_text),
                             rill_type_text(g, want, want_text, sizeof want_text));
    }
    for (size_t i = 0; i < rill_bundle_count(b); i++) {
        const char *name = rill_bundle_name(b, i);
        if (!all && rill_name_is_state(name)) continue;
        if (!find_variable(g, name, all))
            return rill_fail(err, RILL_ERR_INVALID,
                             "\"%s\": tensor \"%s\" is no variable of graph \"%s\"", path, name,
                             g->name);
    }
    return RILL_OK;
}

/* The bundle is read for this only: its bytes become the session's. */
static void apply_bundle(rill_session *s, const rill_bundle *b, bool all)
{
    const rill_graph *g = rill_session_graph(s);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (!is_kept(node, all)) continue;
        rill_tensor *t = (rill_tensor *)(uintptr_t)rill_bundle_find(b, node->name);
        rill_session_exchange(s, rill_node_value(node, 0), t);
    }
}

static rill_status get_number(const rill_bundle *b, const char *path, const char *key,
                              uint64_t *out, rill_error *err)
{
    const char *text = rill_bundle_meta(b, key), *p = text;
    if (!text)
        return rill_fail(err, RILL_ERR_INVALID,
                         "\"%s\" is no checkpoint: its metadata has no \"%s\"", path, key);
    uint64_t n = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (n > (UINT64_MAX - digit) / 10) break;
        n = n * 10 + digit;
    }
    if (p == text || *p)
        return rill_fail(err, RILL_ERR_INVALID,
                         "\"%s\": metadata \"%s\": expected a whole number, got \"%.60s\"", path,
                         key, text);
    *out = n;
    return RILL_OK;
}

static rill_status load_checkpoint(rill_session *s, const rill_bundle *b, const char *path,
                                   int64_t *epoch, rill_error *err)
{
    uint64_t step, done, seed;
    RILL_TRY(get_number(b, path, meta_step, &step, err));
    RILL_TRY(get_number(b, path, meta_epoch, &done, err));
    RILL_TRY(get_number(b, path, meta_seed, &seed, err));
    if (seed != rill_session_seed(s))
        return rill_fail(err, RILL_ERR_INVALID,
                         "\"%s\" was trained with seed %" PRIu64 ", this session has seed %" PRIu64
                         ": going on would not give the bits of one run",
                         path, seed, rill_session_seed(s));
    if (done > INT64_MAX)
        return rill_fail(err, RILL_ERR_INVALID, "\"%s\": epoch %" PRIu64 " is out of range", path,
                         done);
    RILL_TRY(check_bundle(rill_session_graph(s), b, path, true, err));
    apply_bundle(s, b, true);
    rill_session_set_step(s, step);
    if (epoch) *epoch = (int64_t)done;
    return RILL_OK;
}

rill_status rill_checkpoint_load(rill_session *s, const char *path, int64_t *epoch, rill_error *err)
{
    rill_bundle *b;
    RILL_TRY(rill_bundle_load(rill_session_graph(s)->ctx, path, &b, err));
    rill_status status = load_checkpoint(s, b, path, epoch, err);
    rill_bundle_destroy(b);
    return status;
}

rill_status rill_params_load(rill_session *s, const char *path, rill_error *err)
{
    rill_bundle *b;
    RILL_TRY(rill_bundle_load(rill_session_graph(s)->ctx, path, &b, err));
    rill_status status = check_bundle(rill_session_graph(s), b, path, false, err);
    if (status == RILL_OK) apply_bundle(s, b, false);
    rill_bundle_destroy(b);
    return status;
}
