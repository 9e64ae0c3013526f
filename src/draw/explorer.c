/* explorer.c: the page: a frame of HTML, style and script that is the same for all graphs
 * (src/draw/explorer/), and the JSON document inside it.
 *
 * In the document, "<" occurs in strings only and is written as an escape there, so that no text of
 * a graph can end the element that holds it. */
#include "draw/explorer.h"

#include "draw/explorer_page.h"

static void add_document(rill_explorer *x, rill_status *st, rill_error *err)
{
    rill_text *t = &x->text;
    rill_text_add(t, "{\"format\":\"rill-explorer\",\"version\":1,\"rill\":\"%s\",\"about\":",
                  rill_version());
    rill_json_write_string(t, x->o.about ? x->o.about : "");
    rill_explorer_add_graph(x);
    *st = rill_explorer_add_views(x, err);
    if (*st == RILL_OK) *st = rill_explorer_add_run(x, err);
    rill_text_add(t, "}");
}

static void append_escaped(rill_text *page, const char *json, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        if (json[i] != '<') continue;
        rill_text_append(page, json + start, i - start);
        rill_text_append(page, "\\u003c", 6);
        start = i + 1;
    }
    rill_text_append(page, json + start, n - start);
}

static rill_status make_page(const rill_explorer *x, char **out, rill_error *err)
{
    rill_text page;
    rill_text_init(&page, x->ctx);
    rill_text_append(&page, rill_explorer_page_head, rill_explorer_page_head_size);
    if (x->text.length) append_escaped(&page, x->text.data, x->text.length);
    rill_text_append(&page, rill_explorer_page_tail, rill_explorer_page_tail_size);
    *out = rill_text_take(&page);
    return *out ? RILL_OK : rill_nomem(err, "explorer");
}

static rill_status check_options(const rill_explorer_options *o, rill_error *err)
{
    if (o->steps < 1 || o->every < 1 || o->batch_size < 0)
        return rill_fail(err, RILL_ERR_INVALID,
                         "explorer: expected steps and every of 1 or more and batch_size of 0 or "
                         "more, got %lld, %lld and %lld",
                         (long long)o->steps, (long long)o->every, (long long)o->batch_size);
    if (o->steps > INT64_MAX / o->every)
        return rill_fail(err, RILL_ERR_INVALID, "explorer: steps times every is too large");
    return RILL_OK;
}

rill_status rill_explorer_html(rill_session *s, const rill_explorer_options *options, char **out,
                               rill_error *err)
{
    *out = NULL;
    rill_explorer x = {.ctx = s->ctx, .session = s, .graph = s->graph};
    x.o = (rill_explorer_options)RILL_EXPLORER_OPTIONS_INIT;
    rill_options_copy(&x.o, sizeof x.o, options);
    RILL_TRY(check_options(&x.o, err));
    rill_arena_init(&x.memory, x.ctx);
    rill_text_init(&x.text, x.ctx);
    rill_status st = rill_explorer_find_parts(&x, err);
    if (st == RILL_OK) add_document(&x, &st, err);
    if (st == RILL_OK && (x.text.failed || x.missing)) st = rill_nomem(err, "explorer");
    if (st == RILL_OK) st = make_page(&x, out, err);
    rill_text_free(&x.text);
    rill_arena_free(&x.memory);
    return st;
}
