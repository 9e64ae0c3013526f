/* rill inside a host program: a scorer that loads its graph from memory, is fed and asked by name,
 * lets the host look at inner values, and reports every failure to its caller.
 *
 *   cc embed.c $(pkg-config --cflags --libs rill) && ./a.out
 *
 * The host keeps its own rules: memory comes from its allocator, messages go to its log, nothing
 * exits or prints behind its back, and a failed call leaves an object that can be used or freed.
 */
#include <rill/rill.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns from the calling function with the status of a call that failed. */
#define TRY(call)                               \
    do {                                        \
        rill_status status_ = (call);           \
        if (status_ != RILL_OK) return status_; \
    } while (0)

/* ---- what the host gives to rill ------------------------------------------------------------- */

/* Counts the bytes in use; any thread of a run may call it. */
static void *host_alloc(void *user, size_t size, size_t align)
{
    size_t padded = (size + align - 1) / align * align; /* as aligned_alloc wants it */
    void *ptr = padded < size ? NULL : aligned_alloc(align, padded ? padded : align);
    if (ptr) atomic_fetch_add((atomic_size_t *)user, size);
    return ptr;
}

static void host_release(void *user, void *ptr, size_t size)
{
    free(ptr);
    atomic_fetch_sub((atomic_size_t *)user, size);
}

static void host_log(void *user, rill_log_level level, const char *message)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", level == RILL_LOG_WARNING ? "warning" : "note", message);
}

/* ---- the scorer ------------------------------------------------------------------------------ */

/* A logistic model of three measurements, whose weights came from elsewhere. */
static const char MODEL[] =
    "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"scorer\","
    " \"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [\"batch\", 3]}],"
    " \"variables\": [{\"name\": \"w\", \"dtype\": \"f32\", \"shape\": [3, 1],"
    "                  \"data\": [[0.5], [-1], [2]]},"
    "                 {\"name\": \"b\", \"dtype\": \"f32\", \"shape\": [1], \"data\": [-0.25]}],"
    " \"nodes\": [{\"name\": \"z\", \"op\": \"dense\", \"inputs\": [\"x\", \"w\", \"b\"]},"
    "             {\"name\": \"score\", \"op\": \"sigmoid\", \"inputs\": [\"z\"]}],"
    " \"outputs\": [\"score\"]}";

typedef struct scorer {
    rill_context *ctx;
    rill_graph *graph;
    rill_session *session;
    rill_value input, score;
} scorer;

/* Frees what is there, also of a scorer that was only half opened. */
static void scorer_close(scorer *s)
{
    rill_session_destroy(s->session);
    rill_graph_destroy(s->graph);
    rill_context_destroy(s->ctx);
    *s = (scorer){0};
}

/* After a failure the caller closes the scorer, too. */
static rill_status scorer_open(scorer *s, const char *json, atomic_size_t *bytes, rill_error *err)
{
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    rill_session_options session = RILL_SESSION_OPTIONS_INIT;
    allocator.user = bytes;
    allocator.alloc = host_alloc;
    allocator.release = host_release;
    options.allocator = &allocator;
    options.log = host_log;
    session.threads = 1; /* the host has its own threads; a session each would serve them */
    *s = (scorer){0};
    TRY(rill_context_create(&options, &s->ctx, err));
    TRY(rill_graph_parse(s->ctx, json, strlen(json), NULL, &s->graph, err));
    TRY(rill_graph_lookup(s->graph, "x", &s->input, err));
    TRY(rill_graph_lookup(s->graph, "score", &s->score, err));
    return rill_session_create(s->graph, &session, &s->session, err);
}

/* Scores `rows` rows of `columns` measurements into `scores`; nothing is copied on the way. */
static rill_status scorer_run(scorer *s, float *x, int64_t rows, int64_t columns, float *scores,
                              rill_observe_fn observe, rill_error *err)
{
    rill_tensor *in = NULL, *out = NULL;
    size_t row_bytes = sizeof(float) * (size_t)columns;
    TRY(rill_tensor_borrow(s->ctx, RILL_F32, RILL_SHAPE(rows, columns), x, (size_t)rows * row_bytes,
                           &in, err));
    rill_status status = rill_tensor_borrow(s->ctx, RILL_F32, RILL_SHAPE(rows, 1), scores,
                                            (size_t)rows * sizeof *scores, &out, err);
    if (status == RILL_OK) {
        rill_feed feed = {s->input, in};
        rill_run_options o = RILL_RUN_OPTIONS_INIT;
        o.feeds = &feed, o.n_feeds = 1;
        o.fetches = &s->score, o.n_fetches = 1, o.results = &out;
        o.observe = observe;
        status = rill_session_run(s->session, &o, err);
    }
    rill_tensor_destroy(out);
    rill_tensor_destroy(in);
    return status;
}

/* ---- the host -------------------------------------------------------------------------------- */

/* Called for each node while a run goes on, in the order of the graph. */
static rill_status look(void *user, const rill_graph *g, size_t node,
                        const rill_tensor *const *outputs, size_t n_outputs)
{
    (void)user;
    rill_node_info info;
    TRY(rill_graph_node(g, node, &info));
    if (info.kind == RILL_NODE_OP && n_outputs > 0)
        printf("  %s (%s): first element %.4f\n", info.name, info.op->name,
               rill_tensor_get(outputs[0], 0));
    return RILL_OK;
}

static rill_status use(scorer *s, rill_error *err)
{
    float x[] = {1, 0, 0.5f, 0, 1, 0}, scores[2];
    TRY(scorer_run(s, x, 2, 3, scores, NULL, err));
    printf("scores: %.4f %.4f\n", scores[0], scores[1]);
    printf("looking inside:\n");
    TRY(scorer_run(s, x, 1, 3, scores, look, err)); /* another number of rows just works */

    /* A mistake is a status and a sentence, and the session goes on. */
    if (scorer_run(s, x, 3, 2, scores, NULL, err) != RILL_OK) printf("refused: %s\n", err->message);
    TRY(scorer_run(s, x, 1, 3, scores, NULL, err));
    printf("still there: %.4f\n", scores[0]);
    return RILL_OK;
}

int main(void)
{
    atomic_size_t bytes = 0; /* outlives all that is allocated with it */
    rill_error err;
    scorer s;
    /* A graph that names an op which does not exist: the message says where and proposes one. */
    if (scorer_open(&s,
                    "{\"format\": \"rill-graph\", \"version\": 1,\n"
                    " \"inputs\": [{\"name\": \"x\", \"dtype\": \"f32\", \"shape\": [3]}],\n"
                    " \"nodes\": [{\"name\": \"score\", \"op\": \"sigmod\", \"inputs\": [\"x\"]}]}",
                    &bytes, &err) != RILL_OK)
        printf("line %u: %s\n", (unsigned)err.line, err.message);
    scorer_close(&s);

    rill_status status = scorer_open(&s, MODEL, &bytes, &err);
    if (status == RILL_OK) status = use(&s, &err);
    if (status != RILL_OK) fprintf(stderr, "%s: %s\n", rill_status_name(status), err.message);
    size_t open = atomic_load(&bytes);
    scorer_close(&s);
    printf("bytes in use: %zu, closed: %zu\n", open, atomic_load(&bytes));
    return status == RILL_OK && atomic_load(&bytes) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
