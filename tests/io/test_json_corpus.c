/* A corpus of bad graphs, made by rule from good ones. Every file of the first kind must be
 * refused, with a message; files of the second kind may load or not, but whatever loads must be a
 * valid graph that can be saved and loaded again. Neither may crash, hang or leak, which the
 * sanitizers judge.
 *
 * A rule takes a good text and its index (where every key and value stands) and writes variants of
 * it. Texts are copied into blocks of their exact size, so that reading past the end shows.
 */
#include "json_test.h"

#include "core/core.h"
#include "io/json.h"

static const char *const good_files[] = {
    "{'format':'rill-graph','version':1,'name':'a','inputs':[{'name':'x','dtype':'f32','shape':['n'"
    ",4]},{'name':'y','dtype':'i32','shape':['n']}],'variables':[{'name':'w','dtype':'f32','shape':"
    "[4,3],'init':{'op':'uniform','low':-1,'high':1}},{'name':'b','dtype':'f32','shape':[3],'data':"
    "[1,2,3]}],'constants':[{'name':'c','dtype':'i64','shape':[2],'data':['9007199254740993',1]}],"
    "'nodes':[{'name':'z','op':'matmul','inputs':['x','w'],'attrs':{'transpose_a':false}},{'name':"
    "'l','op':'add','inputs':['z','b']},{'name':'p','op':'softmax','inputs':['l'],'attrs':{'axis':"
    "-1}},{'name':'e','op':'sparse_softmax_cross_entropy','inputs':['l','y']}],'outputs':['p','e'],"
    "'updates':[{'variable':'b','value':'b'}],'training':{'loss':'e','inputs':['x'],'targets':['y'"
    "],'predictions':['p'],'optimizer':{'op':'sgd','momentum':0.5,'learning_rate':{'op':'cosine',"
    "'every':10,'final':0.5}},'metrics':[{'op':'accuracy','inputs':['p','y']}],'batch_size':8,"
    "'epochs':2}}",
    "{'format':'rill-graph','version':1,'inputs':[{'name':'x','dtype':'f64','shape':['n',8,8,2]}],"
    "'variables':[{'name':'k','dtype':'f64','shape':[3,3,2,4],'init':{'op':'he_normal','layout':"
    "'HWIO'}},{'name':'s','dtype':'f64','shape':[4],'init':'ones'},{'name':'m','dtype':'f64',"
    "'shape':[4],'trainable':false},{'name':'t','dtype':'f64','shape':[4],'slot_of':'s'}],'nodes':["
    "{'name':'v','op':'conv2d','inputs':['x','k'],'attrs':{'strides':[1,1],'padding':'same'}},"
    "{'name':'bn','op':'batch_norm','inputs':['v','s','m','m','s']},{'name':'q','op':'max_pool2d',"
    "'inputs':['bn:0'],'attrs':{'kernel_shape':[2,2]}},{'name':'d','op':'dropout','inputs':['q'],"
    "'attrs':{'rate':0.5,'stream':3}},{'name':'f','op':'reshape','inputs':['d'],'attrs':{'shape':["
    "'n',-1]}}],'outputs':['f','bn:1'],'updates':[{'variable':'m','value':'bn:1'}]}",
};

/* ---- judging --------------------------------------------------------------------------------- */

typedef struct corpus {
    bool must_refuse;
    uint64_t *seen; /* hashes of texts, open addressing */
    size_t size, distinct, refused, loaded;
} corpus;

/* False if the text has been judged before. */
static bool is_new(corpus *c, const char *text, size_t n)
{
    uint64_t h = rill_fnv1a(text, n) | 1;
    size_t i = (size_t)(h >> 7) & (c->size - 1);
    for (; c->seen[i]; i = (i + 1) & (c->size - 1))
        if (c->seen[i] == h) return false;
    c->seen[i] = h;
    c->distinct++;
    assert_true(c->distinct < c->size / 2);
    return true;
}

static void check_loaded(rill_graph *g)
{
    rill_error err = {.status = RILL_OK};
    char *a = NULL, *b = NULL;
    rill_graph *back = NULL;
    if (rill_graph_validate(g, &err) != RILL_OK) fail_msg("%s", err.message);
    assert_int_equal(rill_graph_json(g, &a, &err), RILL_OK);
    if (rill_graph_parse(NULL, a, strlen(a), NULL, &back, &err) != RILL_OK)
        fail_msg("%s\n%s", err.message, a);
    assert_int_equal(rill_graph_json(back, &b, &err), RILL_OK);
    assert_string_equal(a, b);
    rill_string_free(NULL, a);
    rill_string_free(NULL, b);
    rill_graph_destroy(back);
}

static void judge(corpus *c, const char *text, size_t n)
{
    if (!is_new(c, text, n)) return;
    char *exact = malloc(n ? n : 1);
    rill_graph *g = NULL;
    rill_error err = {.status = RILL_OK};
    assert_non_null(exact);
    memcpy(exact, text, n);
    rill_status st = rill_graph_parse(NULL, exact, n, NULL, &g, &err);
    free(exact);
    if (st == RILL_OK) {
        if (c->must_refuse) fail_msg("loaded: %.*s", (int)n, text);
        check_loaded(g);
        rill_graph_destroy(g);
        c->loaded++;
        return;
    }
    assert_null(g);
    if (st == RILL_ERR_NOMEM || st == RILL_ERR_INTERNAL || !err.message[0] || err.line == 0 ||
        err.column == 0)
        fail_msg("%s (%u:%u) for %.*s", err.message, err.line, err.column, (int)n, text);
    c->refused++;
}

/* The text with [from, to) replaced. */
static void judge_replaced(corpus *c, const char *text, size_t from, size_t to, const char *by,
                           size_t n_by)
{
    size_t n = strlen(text);
    char *variant = malloc(n + n_by + 1);
    assert_non_null(variant);
    memcpy(variant, text, from);
    memcpy(variant + from, by, n_by);
    memcpy(variant + from + n_by, text + to, n - to + 1);
    judge(c, variant, n - (to - from) + n_by);
    free(variant);
}

static void judge_span(corpus *c, const char *text, rill_json_span s, const char *by)
{
    judge_replaced(c, text, s.start, s.end, by, strlen(by));
}

/* ---- rules: refused ---------------------------------------------------------------------------
 */

static void truncate_text(corpus *c, const char *text)
{
    for (size_t n = 0; n < strlen(text); n++) judge(c, text, n);
}

/* One bracket or colon less, one bracket more, a comma become another byte, a tail. */
static void break_structure(corpus *c, const char *text, const rill_json_index *index)
{
    static const char *const tails[] = {"{}", "x", ",", "]", "}", "\x01", "\xEF\xBB\xBF", "//"};
    bool string = false;
    (void)index;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '"') string = !string;
        if (string) continue;
        if (strchr("{}[]:", text[i])) judge_replaced(c, text, i, i + 1, "", 0);
        if (strchr("{}[]", text[i])) judge_replaced(c, text, i, i, text + i, 1);
        if (text[i] == ',') judge_replaced(c, text, i, i + 1, ";", 1);
        if (text[i] == ',') judge_replaced(c, text, i, i, ",", 1);
        if (text[i] == ']' || text[i] == '}') judge_replaced(c, text, i, i, ",", 1);
    }
    for (size_t i = 0; i < RILL_LEN(tails); i++)
        judge_replaced(c, text, strlen(text), strlen(text), tails[i], strlen(tails[i]));
}

/* Numbers that are none, or that fit nowhere. */
static void break_numbers(corpus *c, const char *text, const rill_json_index *index)
{
    static const char *const bad[] = {
        "01",  "1.",  ".5",       "+1",    "-",      "1e",  "0x1",
        "NaN", "Inf", "Infinity", "1e999", "-1e999", "1 2", "1,2,3,4,5,6,7,8,9,0"};
    for (size_t i = 0; i < index->n; i++)
        for (size_t k = 0; k < RILL_LEN(bad); k++)
            if (strchr("-0123456789", text[index->spans[i].start]))
                judge_span(c, text, index->spans[i], bad[k]);
}

/* Bytes that no string may hold. */
static void break_strings(corpus *c, const char *text, const rill_json_index *index)
{
    static const char *const bad[] = {"\x01",     "\n",  "\xFF",  "\xC0\xAF",        "\xED\xA0\x80",
                                      "\xE2\x82", "\\x", "\\u12", "\\u0000",         "\\ud800",
                                      "\\udc00x", "\"",  "\\",    "\xF5\x80\x80\x80"};
    for (size_t i = 0; i < index->n; i++)
        for (size_t k = 0; k < RILL_LEN(bad); k++)
            if (text[index->spans[i].start] == '"')
                judge_replaced(c, text, index->spans[i].start + 1, index->spans[i].start + 1,
                               bad[k], strlen(bad[k]));
}

static bool is_key(const char *text, rill_json_span s)
{
    return text[s.end] == ':';
}

/* A key twice; a key renamed; an entry that nobody knows. */
static void break_keys(corpus *c, const char *text, const rill_json_index *index)
{
    char by[2000];
    for (size_t i = 0; i < index->n; i++) {
        rill_json_span s = index->spans[i];
        if (!is_key(text, s)) continue;
        rill_json_span value = index->spans[i + 1];
        snprintf(by, sizeof by, "%.*s,", (int)(value.end - s.start), text + s.start);
        judge_replaced(c, text, s.start, s.start, by, strlen(by));
        snprintf(by, sizeof by, "%.*s_\"", (int)(s.end - s.start - 1), text + s.start);
        judge_span(c, text, s, by);
        judge_replaced(c, text, s.start, s.start, "\"\":0,", 5);
        judge_replaced(c, text, s.start, s.start, "\"unheard_of\":[],", 16);
        snprintf(by, sizeof by, "\"%c", text[s.start + 1] - 32);
        judge_replaced(c, text, s.start, s.start + 2, by, 2);
    }
}

/* What fits nowhere in place of each value. */
static void break_values(corpus *c, const char *text, const rill_json_index *index)
{
    static const char *const bad[] = {"{\"?\":0}", "[[[[[[[[[[1]]]]]]]]]]",
                                      "\"no such\\u0007thing\"", "-0.5e-3,",
                                      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                                      "[[[[[[0]]]]]]]]]]]]]]]]]]]]]]]]]"
                                      "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"};
    for (size_t i = 0; i < index->n; i++)
        for (size_t k = 0; k < RILL_LEN(bad); k++)
            if (!is_key(text, index->spans[i])) judge_span(c, text, index->spans[i], bad[k]);
}

static rill_json_index index_of(const char *text)
{
    rill_json_index index;
    assert_int_equal(rill_json_index_make(rill_context_of(NULL), text, strlen(text), &index, NULL),
                     RILL_OK);
    return index;
}

/* Cycles of every size up to 20, entered from outside or not. */
static void make_cycles(corpus *c)
{
    char text[4000];
    for (int size = 1; size <= 20; size++)
        for (int tail = 0; tail < 2; tail++) {
            size_t n =
                (size_t)sprintf(text, "{\"format\":\"rill-graph\",\"version\":1,\"nodes\":[");
            if (tail)
                n += (size_t)sprintf(text + n,
                                     "{\"name\":\"t\",\"op\":\"neg\",\"inputs\":[\"n0\"]},");
            for (int i = 0; i < size; i++)
                n += (size_t)sprintf(text + n,
                                     "%s{\"name\":\"n%d\",\"op\":\"neg\",\"inputs\":[\"n%d\"]}",
                                     i ? "," : "", i, (i + 1) % size);
            n += (size_t)sprintf(text + n, "]}");
            judge(c, text, n);
        }
}

/* Shapes that promise more than memory, or more than 64 bits, can hold. */
static void make_lying_shapes(corpus *c)
{
    static const char *const shapes[] = {"[1000000000]",
                                         "[1000000000,1000000000]",
                                         "[9007199254740992]",
                                         "[9007199254740992,1024]",
                                         "[4294967296,4294967296]",
                                         "[2147483648,2147483648,4]",
                                         "[9007199254740993]",
                                         "[\"18446744073709551617\"]",
                                         "[-9223372036854775808]",
                                         "[1e18]",
                                         "[2,2,2,2,2,2,2,2,2]"};
    static const char *const datas[] = {"[1]", "[[1]]", "[]", "[[],[]]"};
    char text[400];
    for (size_t i = 0; i < RILL_LEN(shapes); i++)
        for (size_t k = 0; k < RILL_LEN(datas); k++)
            for (int variable = 0; variable < 2; variable++) {
                int n = snprintf(text, sizeof text,
                                 "{\"format\":\"rill-graph\",\"version\":1,\"%s\":[{\"name\":\"c\","
                                 "\"dtype\":\"f64\",\"shape\":%s,\"data\":%s}]}",
                                 variable ? "variables" : "constants", shapes[i], datas[k]);
                judge(c, text, (size_t)n);
            }
}

/* ---- rules: survived ------------------------------------------------------------------------- */

static void swap_values(corpus *c, const char *text, const rill_json_index *index)
{
    static const char *const others[] = {"null",    "true",    "0",   "-1", "1.5",
                                         "\"x\"",   "\"\"",    "[]",  "{}", "[1]",
                                         "[\"x\"]", "\"nan\"", "1e15"};
    for (size_t i = 0; i < index->n; i++)
        for (size_t k = 0; k < RILL_LEN(others); k++)
            if (!is_key(text, index->spans[i])) judge_span(c, text, index->spans[i], others[k]);
}

/* Every value takes the place of every other one of the file, sparsely. */
static void cross_values(corpus *c, const char *text, const rill_json_index *index)
{
    char by[3000];
    for (size_t i = 0; i < index->n; i++)
        for (size_t k = i % 11; k < index->n; k += 11) {
            rill_json_span a = index->spans[i], b = index->spans[k];
            if (is_key(text, a) || is_key(text, b)) continue;
            snprintf(by, sizeof by, "%.*s", (int)(b.end - b.start), text + b.start);
            judge_span(c, text, a, by);
        }
}

static void delete_members(corpus *c, const char *text, const rill_json_index *index)
{
    for (size_t i = 0; i < index->n; i++) {
        rill_json_span s = index->spans[i];
        size_t end = is_key(text, s) ? index->spans[i + 1].end : s.end;
        if (text[end] == ',')
            judge_replaced(c, text, s.start, end + 1, "", 0);
        else if (s.start > 0 && text[s.start - 1] == ',')
            judge_replaced(c, text, s.start - 1, end, "", 0);
    }
}

static void damage_bytes(corpus *c, const char *text)
{
    size_t n = strlen(text);
    rill_random r;
    rill_random_init(&r, 1, n, 0);
    for (int i = 0; i < 4000; i++) {
        char by[2] = {(char)rill_random_below(&r, 256), (char)rill_random_below(&r, 128)};
        size_t at = (size_t)rill_random_below(&r, n);
        size_t cut = (size_t)rill_random_below(&r, 3);
        judge_replaced(c, text, at, at + cut > n ? n : at + cut, by,
                       (size_t)rill_random_below(&r, 3));
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void begin(corpus *c, bool must_refuse)
{
    *c = (corpus){.must_refuse = must_refuse, .size = 1 << 16};
    c->seen = calloc(c->size, sizeof *c->seen);
    assert_non_null(c->seen);
}

static void test_good_files_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < RILL_LEN(good_files); i++) {
        rill_graph *g = json_load(good_files[i]);
        check_loaded(g);
        rill_graph_destroy(g);
    }
}

static void test_refused(void **state)
{
    corpus c;
    (void)state;
    begin(&c, true);
    for (size_t i = 0; i < RILL_LEN(good_files); i++) {
        char *text = json_quoted(good_files[i]);
        rill_json_index index = index_of(text);
        truncate_text(&c, text);
        break_structure(&c, text, &index);
        break_numbers(&c, text, &index);
        break_strings(&c, text, &index);
        break_keys(&c, text, &index);
        break_values(&c, text, &index);
        rill_json_index_free(&index);
        free(text);
    }
    make_cycles(&c);
    make_lying_shapes(&c);
    print_message("%zu distinct bad files, all refused\n", c.refused);
    assert_true(c.refused >= 200);
    free(c.seen);
}

static void test_survived(void **state)
{
    corpus c;
    (void)state;
    begin(&c, false);
    for (size_t i = 0; i < RILL_LEN(good_files); i++) {
        char *text = json_quoted(good_files[i]);
        rill_json_index index = index_of(text);
        swap_values(&c, text, &index);
        cross_values(&c, text, &index);
        delete_members(&c, text, &index);
        damage_bytes(&c, text);
        rill_json_index_free(&index);
        free(text);
    }
    print_message("%zu refused, %zu loaded\n", c.refused, c.loaded);
    assert_true(c.loaded > 100 && c.refused > 1000);
    free(c.seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files_load),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
