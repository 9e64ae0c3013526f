/* Graphs that load, what they become, and that saving and loading again changes nothing. */
#include "json_test.h"

#include "graph/graph.h"
#include "io/json.h"
#include "io_test.h"

static char *to_json(const rill_graph *g)
{
    char *text = NULL;
    rill_error err;
    if (rill_graph_json(g, &text, &err) != RILL_OK) fail_msg("%s", err.message);
    return text;
}

static char *to_text(const rill_graph *g)
{
    char *text = NULL;
    assert_int_equal(rill_graph_text(g, &text, NULL), RILL_OK);
    return text;
}

static rill_graph *from_json(const char *text)
{
    rill_graph *g = NULL;
    rill_error err = {.status = RILL_OK};
    if (rill_graph_parse(NULL, text, strlen(text), NULL, &g, &err) != RILL_OK)
        fail_msg("%u:%u: %s\n%s", err.line, err.column, err.message, text);
    return g;
}

/* Saves and loads; JSON must stay as it is, and so must the text form if `same_text`. Frees g. */
static void check_round_trip(rill_graph *g, bool same_text)
{
    char *json = to_json(g), *text = to_text(g);
    rill_graph *back = from_json(json);
    assert_int_equal(rill_graph_validate(back, NULL), RILL_OK);
    char *json2 = to_json(back), *text2 = to_text(back);
    assert_string_equal(json, json2);
    if (same_text) assert_string_equal(text, text2);
    rill_string_free(NULL, json);
    rill_string_free(NULL, json2);
    rill_string_free(NULL, text);
    rill_string_free(NULL, text2);
    rill_graph_destroy(back);
    rill_graph_destroy(g);
}

static void check_text(const rill_graph *g, const char *want)
{
    char *text = to_text(g);
    assert_string_equal(text, want);
    rill_string_free(NULL, text);
}

/* ---- what files become ----------------------------------------------------------------------- */

static const char mnist[] =
    "{"
    "  'format': 'rill-graph', 'version': 1, 'name': 'mnist-mlp',\n"
    "  'inputs':    [{'name': 'x', 'dtype': 'f32', 'shape': ['batch', 784]},\n"
    "                {'name': 'y', 'dtype': 'i32', 'shape': ['batch']}],\n"
    "  'variables': [{'name': 'w', 'dtype': 'f32', 'shape': [784, 10],\n"
    "                 'init': {'op': 'glorot_uniform'}},\n"
    "                {'name': 'b', 'dtype': 'f32', 'shape': [10], 'init': {'op': 'zeros'}}],\n"
    "  'constants': [{'name': 'c', 'dtype': 'f32', 'shape': [2, 2], 'data': [[1, 2], [3, 4]]}],\n"
    "  'nodes':     [{'name': 'z', 'op': 'matmul', 'inputs': ['x', 'w']},\n"
    "                {'name': 'logits', 'op': 'add', 'inputs': ['z', 'b']},\n"
    "                {'name': 'p', 'op': 'softmax', 'inputs': ['logits'], 'attrs': {'axis': -1}},\n"
    "                {'name': 'loss', 'op': 'sparse_softmax_cross_entropy', 'inputs': ['logits', "
    "'y']},\n"
    "                {'name': 'w_next', 'op': 'neg', 'inputs': ['w']}],\n"
    "  'outputs':   ['p', 'loss'],\n"
    "  'updates':   [{'variable': 'w', 'value': 'w_next'}],\n"
    "  'training':  {'loss': 'loss', 'inputs': ['x'], 'targets': ['y'], 'predictions': ['p'],\n"
    "                'optimizer': {'op': 'adam', 'learning_rate': 0.001},\n"
    "                'metrics': [{'op': 'sparse_categorical_accuracy', 'inputs': ['p', 'y']}],\n"
    "                'batch_size': 128, 'epochs': 10}\n"
    "}\n";

static const char mnist_text[] =
    "graph mnist-mlp (%0 x: f32[batch,784], %1 y: i32[batch], %2 w: f32[784,10], %3 b: f32[10]) -> "
    "(%7, %8) {\n"
    "  %4 = constant [1, 2, 3, 4]               : f32[2,2]  # c\n"
    "  %5 = matmul %0, %2                       : f32[batch,10]  # z\n"
    "  %6 = add %5, %3                          : f32[batch,10]  # logits\n"
    "  %7 = softmax %6                          : f32[batch,10]  # p\n"
    "  %8 = sparse_softmax_cross_entropy %6, %1 : f32[]  # loss\n"
    "  %9 = neg %2                              : f32[784,10]  # w_next\n"
    "  update %2 <- %9\n"
    "}\n";

static const char mnist_json[] =
    "{\n"
    "  'format': 'rill-graph',\n"
    "  'version': 1,\n"
    "  'name': 'mnist-mlp',\n"
    "  'inputs': [\n"
    "    {'name': 'x', 'dtype': 'f32', 'shape': ['batch', 784]},\n"
    "    {'name': 'y', 'dtype': 'i32', 'shape': ['batch']}\n"
    "  ],\n"
    "  'variables': [\n"
    "    {'name': 'w', 'dtype': 'f32', 'shape': [784, 10], 'init': {'op': 'glorot_uniform'}},\n"
    "    {'name': 'b', 'dtype': 'f32', 'shape': [10], 'init': {'op': 'zeros'}}\n"
    "  ],\n"
    "  'constants': [\n"
    "    {'name': 'c', 'dtype': 'f32', 'shape': [2, 2], 'data': [[1,2],[3,4]]}\n"
    "  ],\n"
    "  'nodes': [\n"
    "    {'name': 'z', 'op': 'matmul', 'inputs': ['x', 'w']},\n"
    "    {'name': 'logits', 'op': 'add', 'inputs': ['z', 'b']},\n"
    "    {'name': 'p', 'op': 'softmax', 'inputs': ['logits']},\n"
    "    {'name': 'loss', 'op': 'sparse_softmax_cross_entropy', 'inputs': ['logits', 'y']},\n"
    "    {'name': 'w_next', 'op': 'neg', 'inputs': ['w']}\n"
    "  ],\n"
    "  'outputs': ['p', 'loss'],\n"
    "  'updates': [\n"
    "    {'variable': 'w', 'value': 'w_next'}\n"
    "  ],\n"
    "  'training': {\n"
    "    'loss': 'loss',\n"
    "    'inputs': ['x'],\n"
    "    'targets': ['y'],\n"
    "    'predictions': ['p'],\n"
    "    'optimizer': {'op': 'adam', 'learning_rate': 0.001},\n"
    "    'metrics': [{'op': 'sparse_categorical_accuracy', 'inputs': ['p', 'y']}],\n"
    "    'batch_size': 128,\n"
    "    'epochs': 10\n"
    "  }\n"
    "}\n";

/* The contract's own example; golden texts of both forms. */
static void test_contract_example(void **state)
{
    (void)state;
    rill_graph *g = json_load(mnist);
    check_text(g, mnist_text);
    char *json = to_json(g), *want = json_quoted(mnist_json);
    assert_string_equal(json, want);
    rill_string_free(NULL, json);
    free(want);
    check_round_trip(g, true);
}

static void test_contract_message(void **state)
{
    (void)state;
    json_refuse(
        JSON_GRAPH("'inputs':[{'name':'x','dtype':'f32','shape':['n',28,28,1]}],"
                   "'variables':[{'name':'k','dtype':'f32','shape':[3,3,1,8]}],\n"
                   "'nodes':[{'name':'a','op':'relu','inputs':['x']},\n"
                   "{'name':'b','op':'relu','inputs':['a']},\n"
                   "{'name':'c','op':'relu','inputs':['b']},\n"
                   "{'name':'conv1','op':'conv2d','inputs':['c','k'],'attrs':{'strides':[0, 1]}}]"),
        5, 69, "nodes[3] 'conv1': attribute 'strides': expected 2 positive integers, got [0, 1]");
}

static void test_minimal(void **state)
{
    (void)state;
    rill_graph *g = json_load("{'format':'rill-graph','version':1}");
    assert_string_equal(rill_graph_name(g), "graph");
    assert_int_equal(rill_graph_n_nodes(g), 0);
    assert_null(rill_graph_training(g));
    check_round_trip(g, true);
}

static void test_any_order(void **state)
{
    (void)state;
    rill_graph *g =
        json_load(JSON_GRAPH("'inputs':[{'name':'x','dtype':'f64','shape':[]}],'nodes':["
                             "{'name':'d','op':'add','inputs':['b','c']},"
                             "{'name':'c','op':'exp','inputs':['a']},"
                             "{'name':'e','op':'neg','inputs':['x']},"
                             "{'name':'b','op':'log','inputs':['a']},"
                             "{'name':'a','op':'neg','inputs':['x']}],'outputs':['d']"));
    check_text(g, "graph graph (%0 x: f64[]) -> (%4) {\n"
                  "  %1 = neg %0     : f64[]  # a\n"
                  "  %2 = log %1     : f64[]  # b\n"
                  "  %3 = exp %1     : f64[]  # c\n"
                  "  %4 = add %2, %3 : f64[]  # d\n"
                  "  %5 = neg %0     : f64[]  # e\n"
                  "}\n");
    check_round_trip(g, true);
}

/* A chain written backwards: no recursion on the C stack, and every node is visited once. */
static void test_long_chain(void **state)
{
    enum { N = 30000 };
    (void)state;
    char *text = malloc((size_t)N * 64 + 200), *p = text;
    assert_non_null(text);
    p += sprintf(p, "{\"format\":\"rill-graph\",\"version\":1,\"inputs\":[{\"name\":\"n0\","
                    "\"dtype\":\"f32\",\"shape\":[]}],\"nodes\":[");
    for (int i = N; i >= 1; i--)
        p += sprintf(p, "{\"name\":\"n%d\",\"op\":\"neg\",\"inputs\":[\"n%d\"]}%s", i, i - 1,
                     i > 1 ? "," : "");
    sprintf(p, "],\"outputs\":[\"n%d\"]}", N);
    rill_graph *g = from_json(text);
    assert_int_equal(rill_graph_n_nodes(g), N + 1);
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, N, &info), RILL_OK);
    assert_string_equal(info.name, "n30000");
    rill_graph_destroy(g);
    free(text);
}

static void test_inputs_of_nodes(void **state)
{
    (void)state;
    rill_graph *g = json_load(
        JSON_GRAPH("'inputs':[{'name':'x','dtype':'f32','shape':['n',4]}],"
                   "'variables':[{'name':'s','dtype':'f32','shape':[4],'init':'ones'},"
                   "{'name':'b','dtype':'f32','shape':[4]},"
                   "{'name':'m','dtype':'f32','shape':[4],'trainable':false},"
                   "{'name':'v','dtype':'f32','shape':[4],'init':'ones','trainable':false}],"
                   "'nodes':[{'name':'bn','op':'batch_norm','inputs':['x','s','b','m','v']},"
                   "{'name':'r','op':'neg','inputs':['bn:0']},"
                   "{'name':'d','op':'dense','inputs':['x','w',null]},"
                   "{'name':'w','op':'reshape','inputs':['wf'],'attrs':{'shape':[4,-1]}},"
                   "{'name':'wf','op':'concat','inputs':['s','b'],'attrs':{'axis':0}},"
                   "{'name':'t','op':'is_training','inputs':[]},{'name':'t2','op':'is_training'}],"
                   "'outputs':['r','bn:1','d'],"
                   "'updates':[{'variable':'m','value':'bn:1'},{'variable':'v','value':'bn:2'}]"));
    rill_value bn = rill_graph_find(g, "bn"), r = rill_graph_find(g, "r");
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, r), &info), RILL_OK);
    assert_int_equal(info.inputs[0].ref, bn.ref);
    assert_int_equal(rill_graph_output(g, 1).ref, rill_output_of(g, bn, 1).ref);
    rill_node_info d;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, rill_graph_find(g, "d")), &d),
                     RILL_OK);
    assert_int_equal(d.n_inputs, 2);
    rill_node_info m;
    assert_int_equal(rill_graph_node(g, (size_t)rill_value_node(g, rill_graph_find(g, "m")), &m),
                     RILL_OK);
    assert_false(m.trainable);
    char *json = to_json(g);
    assert_non_null(strstr(json, "\"outputs\": [\"r\", \"bn:1\", \"d\"]"));
    assert_non_null(strstr(json, "{\"variable\": \"v\", \"value\": \"bn:2\"}"));
    assert_non_null(strstr(json, "{\"name\": \"m\", \"dtype\": \"f32\", \"shape\": [4], "
                                 "\"init\": {\"op\": \"zeros\"}, \"trainable\": false}"));
    rill_string_free(NULL, json);
    check_round_trip(g, true);
}

static void test_attributes(void **state)
{
    (void)state;
    rill_graph *g = json_load(
        JSON_GRAPH("'inputs':[{'name':'x','dtype':'f32','shape':['batch',28,28]}],"
                   "'nodes':[{'name':'r','op':'reshape','inputs':['x'],'attrs':{'shape':['batch',"
                   "784]}},"
                   "{'name':'c','op':'clip','inputs':['r'],'attrs':{'max':'inf','min':-1}},"
                   "{'name':'k','op':'cast','inputs':['c'],'attrs':{'to':'f64'}},"
                   "{'name':'g','op':'gelu','inputs':['k'],'attrs':{'approximate':'tanh'}},"
                   "{'name':'m','op':'reduce_sum','inputs':['g'],'attrs':{'axes':[-1],'keepdims':"
                   "true}},"
                   "{'name':'n','op':'reduce_sum','inputs':['g'],'attrs':{'axes':[]}},"
                   "{'name':'a','op':'reduce_sum','inputs':['g']}],'outputs':['m','n','a']"));
    char *json = to_json(g);
    assert_non_null(strstr(json, "\"attrs\": {\"shape\": [\"batch\", 784]}}"));
    assert_non_null(strstr(json, "\"attrs\": {\"min\": -1, \"max\": \"inf\"}}"));
    assert_non_null(strstr(json, "\"attrs\": {\"to\": \"f64\"}}"));
    assert_non_null(strstr(json, "\"attrs\": {\"axes\": []}}"));
    assert_non_null(strstr(json, "{\"name\": \"a\", \"op\": \"reduce_sum\", \"inputs\": [\"g\"]}"));
    rill_string_free(NULL, json);
    check_round_trip(g, true);
}

/* The stream of a random op is written, so it survives renaming and 64 bits. */
static void test_streams(void **state)
{
    (void)state;
    rill_graph *g =
        json_load(JSON_GRAPH("'inputs':[{'name':'x','dtype':'f32','shape':[4]}],"
                             "'nodes':[{'name':'d','op':'dropout','inputs':['x'],'attrs':{'rate':"
                             "0.5}},{'name':'e','op':'dropout','inputs':['d'],'attrs':{'rate':0.5,"
                             "'stream':'-9223372036854775808'}},{'name':'f','op':'dropout',"
                             "'inputs':['d'],'attrs':{'rate':0.5,'stream':7}}]"));
    char *json = to_json(g), want[100];
    snprintf(want, sizeof want, "{\"rate\": 0.5, \"stream\": \"%lld\"}",
             (long long)rill_fnv1a("d", 1));
    assert_non_null(strstr(json, want));
    assert_non_null(strstr(json, "{\"rate\": 0.5, \"stream\": \"-9223372036854775808\"}"));
    assert_non_null(strstr(json, "{\"rate\": 0.5, \"stream\": 7}"));
    rill_string_free(NULL, json);
    check_round_trip(g, true);
}

static void test_data(void **state)
{
    (void)state;
    rill_graph *g = json_load(JSON_GRAPH(
        "'variables':["
        "{'name':'a','dtype':'f32','shape':[2,3],'data':[1,2,3,4,5,6]},"
        "{'name':'b','dtype':'i64','shape':[2],'data':['9007199254740993','-1']},"
        "{'name':'c','dtype':'f64','shape':[2,2],'data':0.1},"
        "{'name':'d','dtype':'f32','shape':[],'init':{'op':'data','data':3}},"
        "{'name':'e','dtype':'f32','shape':[2],'init':{'op':'constant','value':'-inf'}},"
        "{'name':'f','dtype':'bool','shape':[2],'init':{'op':'constant','value':true}},"
        "{'name':'g','dtype':'i64','shape':[2],'init':{'op':'constant','value':-7}},"
        "{'name':'h','dtype':'f32','shape':[2],'init':{'op':'uniform','low':-1,'high':1}},"
        "{'name':'i','dtype':'f32','shape':[2],'init':{'op':'normal','stddev':0.5}},"
        "{'name':'j','dtype':'f32','shape':[2,2],'init':{'op':'orthogonal','gain':2}},"
        "{'name':'k','dtype':'f32','shape':[8,4,3,3],'init':{'op':'he_normal','layout':'OIHW'}},"
        "{'name':'l','dtype':'f32','shape':[2],'init':{'op':'glorot_normal','fan_in':3,"
        "'fan_out':4}},"
        "{'name':'m','dtype':'f32','shape':[2,3],'slot_of':'a'}],"
        "'constants':["
        "{'name':'n','dtype':'f32','shape':[4],'data':['nan','inf','-inf',-0.0]},"
        "{'name':'o','dtype':'u8','shape':[3,0],'data':[]},"
        "{'name':'p','dtype':'bool','shape':[3],'data':[0,true,1]}]"));
    rill_node_info info;
    assert_int_equal(rill_graph_node(g, 1, &info), RILL_OK);
    assert_true(((const int64_t *)rill_tensor_cdata(info.init->data))[0] ==
                INT64_C(9007199254740993));
    assert_int_equal(rill_graph_node(g, 10, &info), RILL_OK);
    assert_true(info.init->oihw && info.init->kind == RILL_INIT_HE_NORMAL);
    assert_int_equal(rill_graph_node(g, 11, &info), RILL_OK);
    assert_true(info.init->fan_in == 3 && info.init->fan_out == 4);
    assert_int_equal(rill_graph_node(g, 12, &info), RILL_OK);
    assert_string_equal(rill_value_name(g, info.slot_of), "a");
    assert_false(info.trainable);
    char *json = to_json(g);
    assert_non_null(strstr(json, "\"data\": [[1,2,3],[4,5,6]]}"));
    assert_non_null(strstr(json, "\"data\": [\"9007199254740993\",-1]}"));
    assert_non_null(strstr(json, "\"data\": 0.1}"));
    assert_non_null(strstr(json, "{\"op\": \"constant\", \"value\": \"-inf\"}"));
    assert_non_null(strstr(json, "{\"op\": \"constant\", \"value\": true}"));
    assert_non_null(strstr(json, "{\"op\": \"constant\", \"value\": -7}"));
    assert_non_null(strstr(json, "{\"op\": \"uniform\", \"low\": -1, \"high\": 1}"));
    assert_non_null(strstr(json, "{\"op\": \"he_normal\", \"layout\": \"OIHW\"}"));
    assert_non_null(strstr(json, "\"data\": [\"nan\",\"inf\",\"-inf\",-0]}"));
    assert_non_null(strstr(json, "\"slot_of\": \"a\"}"));
    rill_string_free(NULL, json);
    check_round_trip(g, true);
}

static void test_training_defaults(void **state)
{
    (void)state;
    rill_graph *g = json_load(
        JSON_GRAPH("'inputs':[{'name':'a','dtype':'f32','shape':['n']},{'name':'b','dtype':'f32',"
                   "'shape':['n']},{'name':'t','dtype':'f32','shape':['n']}],"
                   "'nodes':[{'name':'p','op':'add','inputs':['a','b']},"
                   "{'name':'l','op':'mean_squared_error','inputs':['p','t']}],'outputs':['p','l'],"
                   "'training':{'loss':'l','metrics':['mean_absolute_error']}"));
    const rill_training *t = rill_graph_training(g);
    assert_non_null(t);
    assert_int_equal(t->n_inputs, 2);
    assert_string_equal(rill_value_name(g, t->inputs[0]), "a");
    assert_string_equal(rill_value_name(g, t->inputs[1]), "b");
    assert_int_equal(t->n_targets, 1);
    assert_string_equal(rill_value_name(g, t->targets[0]), "t");
    assert_int_equal(t->n_predictions, 1);
    assert_string_equal(rill_value_name(g, t->predictions[0]), "p");
    assert_int_equal(t->n_metrics, 1);
    assert_string_equal(t->metric_names[0], "mean_absolute_error");
    assert_int_equal(t->metric_predictions[0].ref, t->predictions[0].ref);
    assert_int_equal(t->metric_targets[0].ref, t->targets[0].ref);
    assert_int_equal(t->batch_size, 32);
    assert_int_equal(t->epochs, 10);
    assert_int_equal(t->optimizer.kind, RILL_SGD);
    check_round_trip(g, true);
}

static void check_optimizer(const char *optimizer, const char *saved)
{
    char text[1000], want[600];
    snprintf(text, sizeof text,
             JSON_GRAPH("'variables':[{'name':'l','dtype':'f32','shape':[]}],'training':{'loss':"
                        "'l','optimizer':%s}"),
             optimizer);
    rill_graph *g = json_load(text);
    char *json = to_json(g), *quoted = json_quoted(saved);
    snprintf(want, sizeof want, "\"optimizer\": %s,\n", quoted);
    if (!strstr(json, want)) fail_msg("%s\n%s", want, json);
    rill_string_free(NULL, json);
    free(quoted);
    check_round_trip(g, true);
}

static void test_optimizers(void **state)
{
    (void)state;
    check_optimizer("'sgd'", "{'op': 'sgd'}");
    check_optimizer("{'op':'sgd','momentum':0.9,'nesterov':true,'learning_rate':0.5}",
                    "{'op': 'sgd', 'learning_rate': 0.5, 'momentum': 0.9, 'nesterov': true}");
    check_optimizer("{'op':'rmsprop','rho':0.95,'centered':true,'momentum':0.1,'epsilon':0}",
                    "{'op': 'rmsprop', 'momentum': 0.1, 'rho': 0.95, 'centered': true, 'epsilon': "
                    "0}");
    check_optimizer("{'op':'adam','beta1':0.8,'beta2':0.99,'epsilon':1e-8,'l1':0.1,'l2':0.2,"
                    "'clip_norm':1,'clip_value':2}",
                    "{'op': 'adam', 'beta1': 0.8, 'beta2': 0.99, 'epsilon': 1e-8, 'l1': 0.1, "
                    "'l2': 0.2, 'clip_norm': 1, 'clip_value': 2}");
    check_optimizer("'adamw'", "{'op': 'adamw', 'weight_decay': 0.01}");
    check_optimizer("{'op':'sgd','learning_rate':{'op':'step','every':10,'factor':0.5}}",
                    "{'op': 'sgd', 'learning_rate': {'op': 'step', 'every': 10, 'factor': 0.5}}");
    check_optimizer("{'op':'sgd','learning_rate':{'op':'exponential','rate':1,'every':10}}",
                    "{'op': 'sgd', 'learning_rate': {'op': 'exponential', 'rate': 1, 'every': 10, "
                    "'factor': 0.1}}");
    check_optimizer("{'op':'sgd','learning_rate':{'op':'cosine','every':9,'final':0.1}}",
                    "{'op': 'sgd', 'learning_rate': {'op': 'cosine', 'every': 9, 'final': 0.1}}");
}

/* Keys that begin with x- are allowed in every object, mean nothing, and are written again. */
static void test_extras(void **state)
{
    static const char *const kept[] = {"\"x-top\": {\"a\":[1,2.50,\"b c\"]}",
                                       "\"x-input\": 1",
                                       "\"x-onnx-name\": \"a b\\\"\"",
                                       "\"x-init\": null",
                                       "\"x-node\": true",
                                       "\"x-attr\": []",
                                       "\"x-update\": {}",
                                       "\"x-training\": 0",
                                       "\"x-opt\": 1",
                                       "\"x-rate\": 2",
                                       "\"x-metric\": 3",
                                       "\"x-const\": 4"};
    (void)state;
    rill_graph *g = json_load(
        JSON_GRAPH("'x-top':{'a':[ 1, 2.50,\n'b c' ]},'inputs':[{'x-input':1,'name':'x','dtype':"
                   "'f32','shape':[]}],'variables':[{'name':'v','dtype':'f32','shape':[],"
                   "'x-onnx-name':'a b\\\"','init':{'op':'zeros','x-init':null}}],"
                   "'constants':[{'name':'c','dtype':'f32','shape':[],'data':0,'x-const':4}],"
                   "'nodes':[{'name':'n','op':'relu','inputs':['x'],'x-node':true,'attrs':{"
                   "'x-attr':[]}}],'updates':[{'variable':'v','value':'n','x-update':{}}],"
                   "'training':{'loss':'n','x-training':0,'predictions':['n'],'optimizer':{'op':"
                   "'sgd','x-opt':1,'learning_rate':{'op':'step','every':1,'x-rate':2}},"
                   "'metrics':[{'op':'accuracy','x-metric':3}]}"));
    char *json = to_json(g);
    for (size_t i = 0; i < RILL_LEN(kept); i++)
        if (!strstr(json, kept[i])) fail_msg("%s was lost\n%s", kept[i], json);
    rill_string_free(NULL, json);
    check_round_trip(g, true);
}

/* ---- graphs made in C ------------------------------------------------------------------------ */

static void test_built_graph(void **state)
{
    rill_graph *g;
    (void)state;
    assert_int_equal(rill_graph_create(NULL, "built", &g, NULL), RILL_OK);
    rill_value x =
        rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "n"), rill_symbol(g, "m")));
    rill_scope_begin(g, "block");
    rill_value y = rill_relu(g, x);
    rill_value z = rill_add(rill_named(g, "sum"), y, x);
    rill_scope_end(g);
    assert_int_equal(rill_output(g, z), RILL_OK);
    check_round_trip(g, true);
}

/* A gradient graph is a graph: its tags survive, and it can be saved and loaded again and again.
 * The constants that autodiff made come first in the file, so numbers in the text form change. */
static void test_gradient_graph(void **state)
{
    (void)state;
    rill_graph *g = json_load(mnist);
    rill_value loss = rill_graph_find(g, "loss"), grads[2],
               xs[2] = {rill_graph_find(g, "w"), rill_graph_find(g, "b")};
    assert_int_equal(rill_gradients(g, &loss, 1, xs, 2, grads, NULL, NULL), RILL_OK);
    assert_int_equal(rill_output(g, grads[0]), RILL_OK);
    assert_int_equal(rill_output(g, grads[1]), RILL_OK);
    size_t tagged = 0, back_tagged = 0;
    for (size_t i = 0; i < g->n_nodes; i++) tagged += g->nodes[i].gradient_of >= 0;
    assert_true(tagged > 0);
    char *json = to_json(g);
    rill_graph *back = from_json(json);
    for (size_t i = 0; i < back->n_nodes; i++) {
        const rill_node_s *n = &back->nodes[i];
        rill_value v = rill_graph_find(g, n->name);
        assert_true(rill_valid(v));
        const rill_node_s *old = rill_node_of(g, v);
        assert_int_equal(n->gradient_of >= 0, old->gradient_of >= 0);
        if (n->gradient_of < 0) continue;
        back_tagged++;
        assert_string_equal(back->nodes[n->gradient_of].name, g->nodes[old->gradient_of].name);
    }
    assert_int_equal(tagged, back_tagged);
    rill_string_free(NULL, json);
    rill_graph_destroy(g);
    check_round_trip(back, true);
}

static void test_failed_graph(void **state)
{
    rill_graph *g;
    rill_error err = {.status = RILL_OK};
    char *json = (char *)&g;
    (void)state;
    assert_int_equal(rill_graph_create(NULL, NULL, &g, NULL), RILL_OK);
    rill_relu(g, RILL_NONE);
    assert_int_equal(rill_graph_json(g, &json, &err), RILL_ERR_INVALID);
    assert_null(json);
    assert_true(err.message[0] != 0);
    rill_graph_destroy(g);
}

static void test_files(void **state)
{
    (void)state;
    const char *path = temp_path("graph.json");
    rill_graph *g = json_load(mnist), *back;
    assert_int_equal(rill_graph_save(g, path, NULL), RILL_OK);
    assert_int_equal(rill_graph_load(NULL, path, &back, NULL), RILL_OK);
    char *a = to_json(g), *b = to_json(back);
    assert_string_equal(a, b);
    rill_string_free(NULL, a);
    rill_string_free(NULL, b);
    rill_graph_destroy(g);
    rill_graph_destroy(back);
    assert_int_equal(unlink(path), 0);
}

/* ---- out of memory --------------------------------------------------------------------------- */

/* Each allocation of loading and saving fails in turn: a clean status, nothing leaks. */
static void test_failing_allocations(void **state)
{
    char *text = json_quoted(mnist);
    (void)state;
    for (long n = 1;; n++) {
        counter c;
        rill_graph *g = NULL;
        char *json = NULL;
        rill_error err = {.status = RILL_OK};
        counter_init(&c);
        c.calls = 0;
        c.fail_at = n;
        rill_status st = rill_graph_parse(c.ctx, text, strlen(text), NULL, &g, &err);
        if (st == RILL_OK) st = rill_graph_json(g, &json, &err);
        bool done = c.calls < n;
        if (!done) {
            assert_int_equal(st, RILL_ERR_NOMEM);
            assert_int_equal(err.status, RILL_ERR_NOMEM);
            assert_null(json);
        } else {
            assert_int_equal(st, RILL_OK);
        }
        rill_string_free(c.ctx, json);
        rill_graph_destroy(g);
        counter_end(&c);
        if (done) {
            assert_true(n > 20);
            break;
        }
    }
    free(text);
}

/* ---- schema ---------------------------------------------------------------------------------- */

/* It is valid JSON, has every op with its attributes, and depends on nothing but the registry. */
static void test_schema(void **state)
{
    char *schema, *again, key[300];
    (void)state;
    assert_int_equal(rill_schema_json(NULL, &schema, NULL), RILL_OK);
    assert_int_equal(rill_schema_json(NULL, &again, NULL), RILL_OK);
    assert_string_equal(schema, again);
    rill_json_document doc;
    assert_int_equal(rill_json_open(rill_context_of(NULL), schema, strlen(schema), &doc, NULL),
                     RILL_OK);
    rill_json defs = rill_json_get(rill_json_root(&doc), "$defs");
    for (size_t i = 0; i < rill_op_count(NULL); i++) {
        const rill_op *op = rill_op_at(NULL, i);
        snprintf(key, sizeof key, "op_%s", op->name);
        rill_json def = rill_json_get(defs, key);
        assert_true(rill_json_is(def, cJSON_Object));
        rill_json attrs =
            rill_json_get(rill_json_get(rill_json_get(def, "properties"), "attrs"), "properties");
        assert_int_equal(rill_json_count(attrs), op->n_attrs);
        for (uint32_t k = 0; k < op->n_attrs; k++)
            assert_non_null(rill_json_get(attrs, op->attrs[k].name).item);
    }
    rill_json_close(&doc);
    rill_string_free(NULL, schema);
    rill_string_free(NULL, again);
}

static int clean_up(void **state)
{
    (void)state;
    remove_temp_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract_example),
        cmocka_unit_test(test_contract_message),
        cmocka_unit_test(test_minimal),
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_long_chain),
        cmocka_unit_test(test_inputs_of_nodes),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_training_defaults),
        cmocka_unit_test(test_optimizers),
        cmocka_unit_test(test_extras),
        cmocka_unit_test(test_built_graph),
        cmocka_unit_test(test_gradient_graph),
        cmocka_unit_test(test_failed_graph),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
