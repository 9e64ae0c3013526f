/* Tensors in files beside the graph, and the wall around the graph's folder. */
#include "json_test.h"

#include "io/json.h"
#include "io_test.h"

#include <sys/stat.h>

/* folder/ holds the graph; beside.npy lies outside of it. */
static char root[128], folder[192];

static const char *in_folder(const char *name)
{
    static char paths[4][400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static rill_tensor *counting(rill_dtype dtype, rill_shape shape)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, NULL), RILL_OK);
    for (int64_t i = 0; i < rill_tensor_count(t); i++) rill_tensor_put(t, i, (double)i + 0.5);
    return t;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/rill-json-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(folder, sizeof folder, "%s/graph", root);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(in_folder("sub"), 0700), 0);
    rill_tensor *t = counting(RILL_F32, RILL_SHAPE(2, 3)), *u = counting(RILL_I64, RILL_SHAPE(2));
    char outside[192];
    snprintf(outside, sizeof outside, "%s/outside.npy", root);
    assert_int_equal(rill_tensor_save(t, outside, NULL), RILL_OK);
    assert_int_equal(rill_tensor_save(t, in_folder("t.npy"), NULL), RILL_OK);
    assert_int_equal(rill_tensor_save(t, in_folder("sub/t.npy"), NULL), RILL_OK);
    rill_bundle *b;
    assert_int_equal(rill_bundle_create(NULL, &b, NULL), RILL_OK);
    assert_int_equal(rill_bundle_add(b, "weight", t, NULL), RILL_OK);
    assert_int_equal(rill_bundle_add(b, "count", u, NULL), RILL_OK);
    assert_int_equal(rill_bundle_save(b, in_folder("b.safetensors"), NULL), RILL_OK);
    assert_int_equal(rill_bundle_save(b, in_folder("b.npz"), NULL), RILL_OK);
    rill_bundle_destroy(b);
    rill_tensor_destroy(t);
    rill_tensor_destroy(u);
    assert_int_equal(rill_file_write(NULL, in_folder("text.txt"), "hi", 2, NULL), RILL_OK);
    assert_int_equal(rill_file_write(NULL, in_folder("bad.npy"), "hi", 2, NULL), RILL_OK);
    assert_int_equal(symlink(outside, in_folder("link.npy")), 0);
    assert_int_equal(symlink("t.npy", in_folder("inside.npy")), 0);
    assert_int_equal(symlink(root, in_folder("up")), 0);
    assert_int_equal(mkfifo(in_folder("pipe.npy"), 0600), 0);
    assert_int_equal(mkdir(in_folder("folder.npy"), 0700), 0);
    return 0;
}

static int clean_up(void **state)
{
    static const char *const names[] = {"t.npy",    "sub/t.npy", "b.safetensors", "b.npz",
                                        "text.txt", "bad.npy",   "link.npy",      "inside.npy",
                                        "up",       "pipe.npy",  "graph.json"};
    char outside[192];
    (void)state;
    for (size_t i = 0; i < RILL_LEN(names); i++) unlink(in_folder(names[i]));
    rmdir(in_folder("sub"));
    rmdir(in_folder("folder.npy"));
    rmdir(folder);
    snprintf(outside, sizeof outside, "%s/outside.npy", root);
    unlink(outside);
    return rmdir(root);
}

/* A graph file whose variable v, f32[2,3], has these keys. */
static rill_status load(const char *keys, rill_graph **g, rill_error *err)
{
    char text[1000];
    snprintf(text, sizeof text,
             JSON_GRAPH("\n'variables':[{'name':'v','dtype':'f32','shape':[2,3],%s}]"), keys);
    char *quoted = json_quoted(text);
    const char *path = in_folder("graph.json");
    assert_int_equal(rill_file_write(NULL, path, quoted, strlen(quoted), NULL), RILL_OK);
    free(quoted);
    return rill_graph_load(NULL, path, g, err);
}

static void accept(const char *keys)
{
    rill_graph *g;
    rill_error err = {.status = RILL_OK};
    if (load(keys, &g, &err) != RILL_OK) fail_msg("%s", err.message);
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, 0, &info), RILL_OK);
    assert_int_equal(info.init->kind, RILL_INIT_DATA);
    for (int64_t i = 0; i < 6; i++)
        assert_true(rill_tensor_get(info.init->data, i) == (double)i + 0.5);
    rill_graph_destroy(g);
}

static void refuse(const char *keys, const char *message)
{
    rill_graph *g = NULL;
    rill_error err = {.status = RILL_OK};
    char *want = json_quoted(message);
    rill_status st = load(keys, &g, &err);
    assert_true(st == RILL_ERR_INVALID || st == RILL_ERR_NOT_FOUND);
    assert_null(g);
    assert_string_equal(err.message, want);
    assert_int_equal(err.line, 2);
    assert_true(err.column > 10);
    free(want);
}

static void test_files_that_load(void **state)
{
    (void)state;
    accept("'file':'t.npy'");
    accept("'file':'./sub/../t.npy'");
    accept("'file':'sub/t.npy'");
    accept("'file':'inside.npy'");
    accept("'file':'b.safetensors','tensor':'weight'");
    accept("'file':'b.npz','tensor':'weight'");
    accept("'init':{'op':'data','file':'t.npy'}");
    /* Loaded, the data is part of the graph: it is written inline. */
    rill_graph *g;
    char *json;
    assert_int_equal(load("'file':'t.npy'", &g, NULL), RILL_OK);
    assert_int_equal(rill_graph_json(g, &json, NULL), RILL_OK);
    assert_non_null(strstr(json, "\"data\": [[0.5,1.5,2.5],[3.5,4.5,5.5]]}"));
    rill_string_free(NULL, json);
    rill_graph_destroy(g);
}

static void test_files_that_are_refused(void **state)
{
    (void)state;
#define V "variables[0] 'v': "
    refuse("'file':'../outside.npy'", V "file: '../outside.npy' leads out of the graph`s folder");
    refuse("'file':'link.npy'", V "file: 'link.npy' leads out of the graph`s folder");
    refuse("'file':'up/outside.npy'", V "file: 'up/outside.npy' leads out of the graph`s folder");
    refuse("'file':'sub/../../outside.npy'",
           V "file: 'sub/../../outside.npy' leads out of the graph`s folder");
    refuse("'file':'/etc/passwd'", V "file: expected a path relative to the graph, got "
                                     "'/etc/passwd'");
    refuse("'file':7", V "file: expected a path relative to the graph, got 7");
    refuse("'file':'none.npy'", V "file: 'none.npy' cannot be found beside the graph");
    refuse("'file':'none/t.npy'", V "file: 'none/t.npy' cannot be found beside the graph");
    refuse("'file':'pipe.npy'", V "file: 'pipe.npy' is no regular file");
    refuse("'file':'folder.npy'", V "file: 'folder.npy' is no regular file");
    refuse("'file':'sub'", V "file: 'sub' is no regular file");
    refuse("'file':'text.txt'",
           V "file: expected a .npy, .npz or .safetensors file, got 'text.txt'");
    refuse("'file':'t.npy','tensor':'a'", V "tensor: a .npy file holds one tensor without a name");
    refuse("'file':'b.npz'", V "tensor: expected the name of a tensor in the file, got nothing");
    refuse("'file':'b.npz','tensor':1", V "tensor: expected the name of a tensor in the file, "
                                          "got 1");
    refuse("'file':'b.npz','tensor':'wieght'",
           V "tensor: the file has no 'wieght'; did you mean 'weight'?");
    refuse("'file':'b.safetensors','tensor':'count'", V "file: expected f32[2,3], got i64[2]");
    rill_graph *g;
    rill_error err = {.status = RILL_OK};
    assert_int_equal(load("'file':'bad.npy'", &g, &err), RILL_ERR_INVALID);
    assert_int_equal(strncmp(err.message, "variables[0] \"v\": file: ", 24), 0);
    assert_int_equal(err.line, 2);
}

/* Thousands of tensors of one file: it is read once. */
static void test_many_tensors_of_one_file(void **state)
{
    enum { N = 2000 };
    char *text = malloc(N * 100 + 200), *p = text;
    rill_graph *g;
    rill_error err = {.status = RILL_OK};
    (void)state;
    assert_non_null(text);
    p += sprintf(p, "{\"format\":\"rill-graph\",\"version\":1,\"variables\":[");
    for (int i = 0; i < N; i++)
        p += sprintf(p,
                     "%s{\"name\":\"v%d\",\"dtype\":\"i64\",\"shape\":[2],\"file\":\"b.npz\","
                     "\"tensor\":\"count\"}",
                     i ? "," : "", i);
    sprintf(p, "]}");
    if (rill_graph_parse(NULL, text, strlen(text), folder, &g, &err) != RILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(rill_graph_n_nodes(g), N);
    rill_graph_destroy(g);
    free(text);
}

/* Each allocation fails in turn while side files are read, the schema is made, a tensor is parsed.
 */
static void test_failing_allocations(void **state)
{
    const char *path = in_folder("graph.json");
    char *text = json_quoted(
        JSON_GRAPH("'x-a':1,'inputs':[{'name':'x','dtype':'f32','shape':['n','m']}],'variables':["
                   "{'name':'a','dtype':'f32','shape':[2,3],'file':'t.npy'},"
                   "{'name':'b','dtype':'i64','shape':[2],'file':'b.npz','tensor':'count'}],"
                   "'nodes':[{'name':'r','op':'reshape','inputs':['x'],'attrs':{'shape':['m','n']}}"
                   "]"));
    (void)state;
    assert_int_equal(rill_file_write(NULL, path, text, strlen(text), NULL), RILL_OK);
    for (long n = 1, done = 0; !done; n++) {
        counter c;
        rill_graph *g = NULL;
        rill_tensor *t = NULL;
        char *schema = NULL;
        rill_error err = {.status = RILL_OK};
        counter_init(&c);
        c.calls = 0;
        c.fail_at = n;
        rill_status st = rill_tensor_parse(c.ctx, "[[1,2],[3,\"inf\"]]", RILL_F64, &t, &err);
        if (st == RILL_OK) st = rill_graph_load(c.ctx, path, &g, &err);
        if (st == RILL_OK) st = rill_schema_json(c.ctx, &schema, &err);
        done = c.calls < n;
        assert_int_equal(st, done ? RILL_OK : RILL_ERR_NOMEM);
        rill_tensor_destroy(t);
        rill_graph_destroy(g);
        rill_string_free(c.ctx, schema);
        counter_end(&c);
    }
    free(text);
}

/* ---- cJSON's memory -------------------------------------------------------------------------- */

static long cjson_left;

static void *failing_malloc(size_t size)
{
    return cjson_left-- > 0 ? malloc(size) : NULL;
}

/* cJSON allocates by itself; when that fails the status is out of memory, not a syntax error. */
static void test_cjson_without_memory(void **state)
{
    const char *text = "{\"format\":\"rill-graph\",\"version\":1,\"name\":\"a\",\"x-a\":[1,2,{}]}";
    cJSON_Hooks hooks = {failing_malloc, free};
    (void)state;
    cJSON_InitHooks(&hooks);
    for (long n = 0;; n++) {
        rill_graph *g;
        rill_error err = {.status = RILL_OK};
        cjson_left = n;
        rill_status st = rill_graph_parse(NULL, text, strlen(text), NULL, &g, &err);
        if (st == RILL_OK) {
            rill_graph_destroy(g);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(st, RILL_ERR_NOMEM);
        assert_string_equal(err.message, "out of memory (JSON tree)");
    }
    cJSON_InitHooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_load),
        cmocka_unit_test(test_files_that_are_refused),
        cmocka_unit_test(test_many_tensors_of_one_file),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_cjson_without_memory),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
