/* Every way in which the loader refuses a graph that is valid JSON: the exact message, which begins
 * with the place, and line and column. */
#include "json_test.h"

#include "core/core.h"

typedef struct row {
    const char *text;
    uint32_t line, column;
    const char *message;
} row;

static void refuse_all(const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_refuse(rows[i].text, rows[i].line, rows[i].column, rows[i].message);
}

#define X "{'name':'x','dtype':'f32','shape':['n',4]}"
#define Y "{'name':'y','dtype':'i32','shape':['n']}"
#define W "{'name':'w','dtype':'f32','shape':[4]}"
#define NODE(node) JSON_GRAPH("'inputs':[" X "," Y "],'variables':[" W "],\n'nodes':[" node "]")
#define NODES(nodes) NODE(nodes)

static void test_header(void **state)
{
    static const row rows[] = {
        {"[]", 1, 1, "expected an object with 'format': 'rill-graph', got []"},
        {"7", 1, 1, "expected an object with 'format': 'rill-graph', got 7"},
        {"{}", 1, 1, "format: expected 'rill-graph', got nothing"},
        {"{'format':'onnx'}", 1, 11, "format: expected 'rill-graph', got 'onnx'"},
        {"{'format':1}", 1, 11, "format: expected 'rill-graph', got 1"},
        {"{'format':'rill-graph'}", 1, 1, "version: expected 1, got nothing"},
        {"{'format':'rill-graph','version':'1'}", 1, 34, "version: expected 1, got '1'"},
        {"{'format':'rill-graph','version':0}", 1, 34, "version: expected 1, got 0"},
        {"{'format':'rill-graph','version':1.5}", 1, 34, "version: expected 1, got 1.5"},
        {"{'format':'rill-graph','version':2,'new':1}", 1, 34,
         "version: the file has version 2, this rill reads up to version 1"},
        {"{'format':'rill-graph','version':99999999999999999999}", 1, 34,
         "version: the file has version 99999999999999999999, this rill reads up to version 1"},
        {JSON_GRAPH("\n'outputs ':[]"), 2, 1, "unknown key 'outputs '; did you mean 'outputs'?"},
        {JSON_GRAPH("\n'node':[]"), 2, 1, "unknown key 'node'; did you mean 'nodes'?"},
        {JSON_GRAPH("\n'Inputs':[]"), 2, 1, "unknown key 'Inputs'; did you mean 'inputs'?"},
        {JSON_GRAPH("\n'whatever':[]"), 2, 1, "unknown key 'whatever'"},
        {JSON_GRAPH("\n'name':5"), 2, 8, "name: expected a string, got 5"},
        {JSON_GRAPH("\n'name':'a\\nb'"), 2, 8,
         "graph name: expected UTF-8 text without control characters"},
        {JSON_GRAPH("\n'inputs':{}"), 2, 10, "inputs: expected an array, got {}"},
        {JSON_GRAPH("\n'nodes':null"), 2, 9, "nodes: expected an array, got null"},
        {JSON_GRAPH("\n'outputs':'y'"), 2, 11, "outputs: expected an array of names, got 'y'"},
        {JSON_GRAPH("\n'updates':{}"), 2, 11, "updates: expected an array, got {}"},
        {JSON_GRAPH("\n'inputs':[3]"), 2, 11, "inputs[0]: expected an object, got 3"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_names(void **state)
{
    static const row rows[] = {
        {JSON_GRAPH("'inputs':[\n{'dtype':'f32','shape':[]}]"), 2, 1,
         "inputs[0]: name: expected a name, got nothing"},
        {JSON_GRAPH("'inputs':[\n{'name':7,'dtype':'f32','shape':[]}]"), 2, 9,
         "inputs[0]: name: expected a name, got 7"},
        {JSON_GRAPH("'inputs':[\n{'name':'','dtype':'f32','shape':[]}]"), 2, 9,
         "inputs[0]: name: a name must not be empty, got ''"},
        {JSON_GRAPH("'inputs':[\n{'name':'a:0','dtype':'f32','shape':[]}]"), 2, 9,
         "inputs[0]: name: a name must not contain any of : = , % ' \\, got 'a:0'"},
        {JSON_GRAPH("'inputs':[\n{'name':'a\\u0007','dtype':'f32','shape':[]}]"), 2, 9,
         "inputs[0]: name: a name must not contain control characters or white space, got "
         "'a\\u0007'"},
        {JSON_GRAPH("'inputs':[" X ",\n" X "]"), 2, 1,
         "inputs[1] 'x': name: 'x' is the name of inputs[0] already"},
        {JSON_GRAPH("'inputs':[" X "],'nodes':[\n{'name':'x','op':'relu','inputs':['x']}]"), 2, 1,
         "nodes[0] 'x': name: 'x' is the name of inputs[0] already"},
        {JSON_GRAPH("'constants':[{'name':'c','dtype':'f32','shape':[],'data':1},\n"
                    "{'name':'c','dtype':'f32','shape':[],'data':1}]"),
         2, 1, "constants[1] 'c': name: 'c' is the name of constants[0] already"},
    };
    char *text = malloc(2000);
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
    assert_non_null(text);
    snprintf(text, 2000, "{'format':'rill-graph','version':1,'inputs':[{'name':'%0300d'}]}", 0);
    json_refuse(text, 1, 54,
                "inputs[0]: name: a name has at most 255 bytes, got "
                "'00000000000000000000000000000000000000000000000000000000000...");
    free(text);
}

static void test_types(void **state)
{
#define INPUT(rest) JSON_GRAPH("'inputs':[\n{'name':'x'" rest "}]")
    static const row rows[] = {
        {INPUT(""), 2, 1,
         "inputs[0] 'x': dtype: expected 'f32', 'f64', 'i32', 'i64', 'u8' or 'bool', got nothing"},
        {INPUT(",'dtype':'float32','shape':[]"), 2, 21,
         "inputs[0] 'x': dtype: expected 'f32', 'f64', 'i32', 'i64', 'u8' or 'bool', got "
         "'float32'"},
        {INPUT(",'dtype':'none','shape':[]"), 2, 21,
         "inputs[0] 'x': dtype: expected 'f32', 'f64', 'i32', 'i64', 'u8' or 'bool', got 'none'"},
        {INPUT(",'dtype':'f32'"), 2, 1,
         "inputs[0] 'x': shape: expected an array of sizes and symbols, got nothing"},
        {INPUT(",'dtype':'f32','shape':3"), 2, 35,
         "inputs[0] 'x': shape: expected an array of sizes and symbols, got 3"},
        {INPUT(",'dtype':'f32','shape':[2,-1]"), 2, 38,
         "inputs[0] 'x': shape[1]: expected a size of 0 or more or a symbol, got -1"},
        {INPUT(",'dtype':'f32','shape':[2.5]"), 2, 36,
         "inputs[0] 'x': shape[0]: expected a size of 0 or more or a symbol, got 2.5"},
        {INPUT(",'dtype':'f32','shape':[null]"), 2, 36,
         "inputs[0] 'x': shape[0]: expected a size of 0 or more or a symbol, got null"},
        {INPUT(",'dtype':'f32','shape':[1e300]"), 2, 36,
         "inputs[0] 'x': shape[0]: expected a size of 0 or more or a symbol, got 1e300"},
        {INPUT(",'dtype':'f32','shape':['']"), 2, 36,
         "inputs[0] 'x': shape[0]: symbol '': a name must not be empty"},
        {INPUT(",'dtype':'f32','shape':['?']"), 2, 36,
         "inputs[0] 'x': shape[0]: symbol '?': expected a name that begins with a letter"},
        {INPUT(",'dtype':'f32','shape':['7']"), 2, 36,
         "inputs[0] 'x': shape[0]: symbol '7': expected a name that begins with a letter"},
        {INPUT(",'dtype':'f32','shape':[1,1,1,1,1,1,1,1,1]"), 2, 35,
         "inputs[0] 'x': shape: expected at most 8 dimensions, got 9"},
        {INPUT(",'dtype':'f64','shape':[4503599627370496,4503599627370496]"), 2, 35,
         "inputs[0] 'x': shape: too many elements"},
        {INPUT(",'dtype':'f64','shape':[],\n'trainable':true"), 3, 1,
         "inputs[0] 'x': unknown key 'trainable'"},
        {INPUT(",'dtype':'f64','shape':[],\n'dytpe':1"), 3, 1,
         "inputs[0] 'x': unknown key 'dytpe'; did you mean 'dtype'?"},
        {INPUT(",'dtype':'f64','shape':[],\n'shapes':1"), 3, 1,
         "inputs[0] 'x': unknown key 'shapes'; did you mean 'shape'?"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_constants(void **state)
{
#define CONSTANT(dtype, shape, rest) \
    JSON_GRAPH("'constants':[\n{'name':'c','dtype':'" dtype "','shape':" shape "," rest "}]")
    static const row rows[] = {
        {CONSTANT("f32", "[2]", "'x-a':1"), 2, 1,
         "constants[0] 'c': expected 'data' or 'file', got neither"},
        {CONSTANT("f32", "[2]", "'data':1,'file':'a.npy'"), 2, 55,
         "constants[0] 'c': expected 'data' or 'file', got both"},
        {CONSTANT("f32", "[2]", "'data':1,'tensor':'a'"), 2, 57,
         "constants[0] 'c': 'tensor' goes with 'file'"},
        {CONSTANT("f32", "['n']", "'data':1"), 2, 35,
         "constants[0] 'c': shape: expected sizes without symbols, got ['n']"},
        {CONSTANT("f32", "[2]", "'data':[1,2,3]"), 2, 46,
         "constants[0] 'c': data: expected 2 elements, got 3"},
        {CONSTANT("f32", "[2,2]", "'data':[1,2,3]"), 2, 48,
         "constants[0] 'c': data: expected 4 elements, got 3"},
        {CONSTANT("f32", "[2,2]", "'data':[[1,2],[3,4],[5,6]]"), 2, 48,
         "constants[0] 'c': data: expected 2 rows, got 3"},
        {CONSTANT("f32", "[2,2]", "'data':[[1,2],[3]]"), 2, 55,
         "constants[0] 'c': data[1]: expected 2 elements, got 1"},
        {CONSTANT("f32", "[1000000,1000000]", "'data':[1]"), 2, 60,
         "constants[0] 'c': data: expected 1000000000000 elements, got 1"},
        {CONSTANT("f32", "[]", "'data':[]"), 2, 45,
         "constants[0] 'c': data: expected 1 element, got 0"},
        {CONSTANT("f32", "[2]", "'data':null"), 2, 46,
         "constants[0] 'c': data: expected a number, 'nan', 'inf' or '-inf', got null"},
        {CONSTANT("f32", "[2]", "'data':[1,[2]]"), 2, 49,
         "constants[0] 'c': data[1]: expected a number, 'nan', 'inf' or '-inf', got [2]"},
        {CONSTANT("f32", "[2]", "'data':1e39"), 2, 46,
         "constants[0] 'c': data: 1e39 overflows f32"},
        {CONSTANT("u8", "[2]", "'data':[1,256]"), 2, 48,
         "constants[0] 'c': data[1]: 256 is out of range for u8 (0 to 255)"},
        {CONSTANT("i32", "[2]", "'data':[1,0.5]"), 2, 49,
         "constants[0] 'c': data[1]: expected an integer, got 0.5"},
        {CONSTANT("i64", "[]", "'data':9007199254740993"), 2, 45,
         "constants[0] 'c': data: integers beyond 2^53 are written as strings, got the number "
         "9007199254740993"},
        {CONSTANT("bool", "[2]", "'data':[1,2]"), 2, 50,
         "constants[0] 'c': data[1]: expected true or false, got 2"},
        {CONSTANT("f32", "[]", "'data':1,\n'init':'zeros'"), 3, 1,
         "constants[0] 'c': unknown key 'init'"},
        {CONSTANT("f32", "[]", "'data':1,'gradient_of':'d'"), 2, 61,
         "constants[0] 'c': gradient_of: no value is called 'd'"},
        {CONSTANT("f32", "[]", "'file':'c.npy'"), 2, 45,
         "constants[0] 'c': file: this graph has no folder to read files from"},
        {CONSTANT("f32", "[]", "'file':'/c.npy'"), 2, 45,
         "constants[0] 'c': file: expected a path relative to the graph, got '/c.npy'"},
        {CONSTANT("f32", "[]", "'file':''"), 2, 45,
         "constants[0] 'c': file: expected a path relative to the graph, got ''"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_variables(void **state)
{
#define VARIABLE(dtype, rest) \
    JSON_GRAPH("'variables':[\n{'name':'v','dtype':'" dtype "','shape':[2,3]," rest "}]")
    static const row rows[] = {
        {VARIABLE("f32", "'init':'zeroes'"), 2, 48,
         "variables[0] 'v': init: unknown initialiser 'zeroes'; did you mean 'zeros'?"},
        {VARIABLE("f32", "'init':7"), 2, 48,
         "variables[0] 'v': init: expected an object or the name of an initialiser, got 7"},
        {VARIABLE("f32", "'init':{}"), 2, 48,
         "variables[0] 'v': init: op: expected the name of an initialiser, got nothing"},
        {VARIABLE("f32", "'init':{'op':'glorot'}"), 2, 54,
         "variables[0] 'v': init: op: unknown initialiser 'glorot'"},
        {VARIABLE("f32", "'init':{'op':'zeros','value':1}"), 2, 62,
         "variables[0] 'v': init: unknown key 'value'"},
        {VARIABLE("f32", "'init':{'op':'uniform','low':'a'}"), 2, 70,
         "variables[0] 'v': init: low: expected a finite number, got 'a'"},
        {VARIABLE("f32", "'init':{'op':'uniform','high':'inf'}"), 2, 71,
         "variables[0] 'v': init: high: expected a finite number, got 'inf'"},
        {VARIABLE("f32", "'init':{'op':'uniform','low':1,'high':0}"), 2, 48,
         "variables[0] 'v': init 'uniform': low is above high"},
        {VARIABLE("f32", "'init':{'op':'normal','stddev':-1}"), 2, 48,
         "variables[0] 'v': init 'normal': stddev must be 0 or more"},
        {VARIABLE("f32", "'init':{'op':'he_normal','fan_in':0}"), 2, 75,
         "variables[0] 'v': init: fan_in: expected a positive number, got 0"},
        {VARIABLE("f32", "'init':{'op':'he_normal','layout':'OHWI'}"), 2, 75,
         "variables[0] 'v': init: layout: expected 'HWIO' or 'OIHW', got 'OHWI'"},
        {VARIABLE("f32", "'init':{'op':'constant','value':1e39}"), 2, 73,
         "variables[0] 'v': init: value: 1e39 overflows f32"},
        {VARIABLE("i32", "'init':{'op':'constant','value':0.5}"), 2, 73,
         "variables[0] 'v': init: value: expected an integer, got 0.5"},
        {VARIABLE("i32", "'init':'normal'"), 2, 48,
         "variables[0] 'v': init 'normal': expected dtype f32 or f64, got i32"},
        {VARIABLE("f32", "'init':'data'"), 2, 48,
         "variables[0] 'v': init: expected 'data' or 'file'"},
        {VARIABLE("f32", "'init':{'op':'data'}"), 2, 48,
         "variables[0] 'v': init: expected 'data' or 'file'"},
        {VARIABLE("f32", "'init':{'op':'data','data':[1,2]}"), 2, 68,
         "variables[0] 'v': init: data: expected 6 elements, got 2"},
        {VARIABLE("f32", "'init':'zeros','data':0"), 2, 48,
         "variables[0] 'v': expected 'init' or data, got both"},
        {VARIABLE("f32", "'tensor':'a'"), 2, 50, "variables[0] 'v': 'tensor' goes with 'file'"},
        {VARIABLE("f32", "'trainable':1"), 2, 53,
         "variables[0] 'v': trainable: expected true or false, got 1"},
        {VARIABLE("i32", "'trainable':true"), 2, 53,
         "variables[0] 'v': trainable: only f32 and f64 can be trained, this is i32"},
        {VARIABLE("f32", "'slot_of':'w'"), 2, 51,
         "variables[0] 'v': slot_of: no value is called 'w'"},
        {VARIABLE("f32", "'slot_of':'v'"), 2, 51,
         "variables[0] 'v': slot_of: expected another variable, got 'v'"},
        {VARIABLE("f32", "'slot_of':'v','trainable':true"), 2, 67,
         "variables[0] 'v': trainable: optimiser state is not trained"},
        {VARIABLE("f32", "\n'trainabel':true"), 3, 1,
         "variables[0] 'v': unknown key 'trainabel'; did you mean 'trainable'?"},
        {JSON_GRAPH("'variables':[\n{'name':'v','dtype':'f32','shape':['n']}]"), 2, 35,
         "variables[0] 'v': shape: expected sizes without symbols, got ['n']"},
        {JSON_GRAPH("'inputs':[" X "],'variables':[\n{'name':'v','dtype':'f32','shape':[],"
                    "'slot_of':'x'}]"),
         2, 48, "variables[0] 'v': slot_of: expected another variable, got 'x'"},
        {JSON_GRAPH("'variables':[\n{'name':'v','dtype':'f32','shape':[2],"
                    "'init':'orthogonal'}]"),
         2, 46, "variables[0] 'v': init 'orthogonal': expected rank 2 or more"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_nodes(void **state)
{
    static const row rows[] = {
        {NODE("{'name':'z','inputs':['x']}"), 2, 10,
         "nodes[0] 'z': op: expected the name of an op, got nothing"},
        {NODE("{'name':'z','op':1,'inputs':['x']}"), 2, 27,
         "nodes[0] 'z': op: expected the name of an op, got 1"},
        {NODE("{'name':'z','op':'reluu','inputs':['x']}"), 2, 27,
         "nodes[0] 'z': unknown op 'reluu'; did you mean 'relu'?"},
        {NODE("{'name':'z','op':'acme.frobnicate','inputs':['x']}"), 2, 27,
         "nodes[0] 'z': unknown op 'acme.frobnicate'"},
        {NODE("{'name':'z','op':'relu','inputs':'x'}"), 2, 43,
         "nodes[0] 'z': inputs: expected an array of names, got 'x'"},
        {NODE("{'name':'z','op':'relu'}"), 2, 10, "nodes[0] 'z': relu: expected 1 input, got 0"},
        {NODE("{'name':'z','op':'relu','inputs':['x','x']}"), 2, 10,
         "nodes[0] 'z': relu: expected 1 input, got 2"},
        {NODE("{'name':'z','op':'add','inputs':['x']}"), 2, 10,
         "nodes[0] 'z': add: expected 2 inputs, got 1"},
        {NODE("{'name':'z','op':'relu','inputs':[null]}"), 2, 10,
         "nodes[0] 'z': relu: input 0 (x): the invalid value was given"},
        {NODE("{'name':'z','op':'relu','inputs':[1]}"), 2, 44,
         "nodes[0] 'z': inputs[0]: expected a name or 'name:k', got 1"},
        {NODE("{'name':'z','op':'relu','inputs':['X']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: no value is called 'X'; did you mean 'x'?"},
        {NODE("{'name':'z','op':'relu','inputs':['hidden_layer']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: no value is called 'hidden_layer'"},
        {NODE("{'name':'z','op':'relu','inputs':['x:1']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: 'x:1': 'x' has 1 output, numbered from 0"},
        {NODE("{'name':'z','op':'relu','inputs':['x:']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: expected 'name:k' with k the number of an output, got 'x:'"},
        {NODE("{'name':'z','op':'relu','inputs':['x:00']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: expected 'name:k' with k the number of an output, got 'x:00'"},
        {NODE("{'name':'z','op':'relu','inputs':['x:-1']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: expected 'name:k' with k the number of an output, got 'x:-1'"},
        {NODE("{'name':'z','op':'relu','inputs':['x:99999999999']}"), 2, 44,
         "nodes[0] 'z': inputs[0]: expected 'name:k' with k the number of an output, got "
         "'x:99999999999'"},
        {NODE("{'name':'z','op':'relu','input':['x']}"), 2, 34,
         "nodes[0] 'z': unknown key 'input'; did you mean 'inputs'?"},
        {NODE("{'name':'z','op':'relu','inputs':['x'],'gradient_of':'q'}"), 2, 63,
         "nodes[0] 'z': gradient_of: no value is called 'q'"},
        {NODE("{'name':'z','op':'relu','inputs':['x'],'gradient_of':'x:0'}"), 2, 63,
         "nodes[0] 'z': gradient_of: expected the name of a node, got 'x:0'"},
        {NODE("{'name':'z','op':'add','inputs':['x','y']}"), 2, 10,
         "nodes[0] 'z': add: a is f32 and b is i32: operands have one dtype; use cast (a: "
         "f32[n,4], b: i32[n])"},
        {NODE("{'name':'z','op':'sigmoid','inputs':['y']}"), 2, 10,
         "nodes[0] 'z': sigmoid: input 0 (x): expected f32, f64, got i32; use cast (x: i32[n])"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_attributes(void **state)
{
#define CLIP(attrs) NODE("{'name':'z','op':'clip','inputs':['x'],'attrs':" attrs "}")
#define CAST(attrs) NODE("{'name':'z','op':'cast','inputs':['x'],'attrs':" attrs "}")
#define GELU(attrs) NODE("{'name':'z','op':'gelu','inputs':['x'],'attrs':" attrs "}")
    static const row rows[] = {
        {CLIP("[]"), 2, 57, "nodes[0] 'z': attrs: expected an object, got []"},
        {CLIP("{'mim':0}"), 2, 58,
         "nodes[0] 'z': unknown attribute 'mim' of clip; did you mean 'min'?"},
        {CLIP("{'lowest':0}"), 2, 58,
         "nodes[0] 'z': unknown attribute 'lowest' of clip; it has min, max"},
        {NODE("{'name':'z','op':'relu','inputs':['x'],'attrs':{'a':0}}"), 2, 58,
         "nodes[0] 'z': unknown attribute 'a' of relu; it has none"},
        {CLIP("{'min':'0'}"), 2, 64, "nodes[0] 'z': attribute 'min': expected a number, got '0'"},
        {CLIP("{'min':null}"), 2, 64, "nodes[0] 'z': attribute 'min': expected a number, got null"},
        {CLIP("{'min':1e999}"), 2, 64,
         "nodes[0] 'z': attribute 'min': expected a number, got 1e999"},
        {CAST("{}"), 2, 10, "nodes[0] 'z': attribute 'to' is missing: expected a dtype"},
        {CAST("{'to':'float'}"), 2, 63,
         "nodes[0] 'z': attribute 'to': expected a dtype, got 'float'"},
        {CAST("{'to':1}"), 2, 63, "nodes[0] 'z': attribute 'to': expected a dtype, got 1"},
        {GELU("{'approximate':'tanhh'}"), 2, 72,
         "nodes[0] 'z': attribute 'approximate': expected one of 'none', 'tanh', got 'tanhh'; did "
         "you mean 'tanh'?"},
        {GELU("{'approximate':true}"), 2, 72,
         "nodes[0] 'z': attribute 'approximate': expected a string, got true"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_cycles(void **state)
{
    static const row rows[] = {
        {NODES("{'name':'a','op':'relu','inputs':['a']}"), 2, 44,
         "nodes[0] 'a': inputs[0]: cycle: 'a' needs 'a'"},
        {NODES("{'name':'s','op':'relu','inputs':['c']},\n"
               "{'name':'a','op':'relu','inputs':['b']},\n"
               "{'name':'b','op':'add','inputs':['x','c']},\n"
               "{'name':'c','op':'relu','inputs':['a']}"),
         4, 38, "nodes[2] 'b': inputs[1]: cycle: 'c' needs 'a' needs 'b' needs 'c'"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
    char text[2000];
    size_t n = (size_t)sprintf(text, "{'format':'rill-graph','version':1,'nodes':[");
    for (int i = 0; i < 12; i++)
        n += (size_t)sprintf(text + n, "%s{'name':'n%d','op':'relu','inputs':['n%d']}",
                             i ? "," : "", i, (i + 1) % 12);
    sprintf(text + n, "]}");
    json_refuse(text, 1, (uint32_t)(n - 5),
                "nodes[11] 'n11': inputs[0]: cycle: 'n0' needs 'n1' needs 'n2' needs 'n3' needs "
                "'n4' needs 'n5' needs 'n6' needs 'n7' needs ... (12 nodes) needs 'n0'");
}

static void test_outputs_and_updates(void **state)
{
#define UPDATES(updates)                                                                \
    JSON_GRAPH("'inputs':[" X "],'variables':[" W "],'nodes':[{'name':'r','op':'relu'," \
               "'inputs':['w']}],\n'updates':" updates)
    static const row rows[] = {
        {JSON_GRAPH("'inputs':[" X "],\n'outputs':['x','z']"), 2, 16,
         "outputs[1]: no value is called 'z'"},
        {JSON_GRAPH("'inputs':[" X "],\n'outputs':[null]"), 2, 12,
         "outputs[0]: expected a name or 'name:k', got null"},
        {JSON_GRAPH("'inputs':[" X "],\n'outputs':['x:3']"), 2, 12,
         "outputs[0]: 'x:3': 'x' has 1 output, numbered from 0"},
        {UPDATES("['w']"), 2, 12, "updates[0]: expected an object, got 'w'"},
        {UPDATES("[{'value':'r'}]"), 2, 12,
         "updates[0]: variable: expected a name or 'name:k', got nothing"},
        {UPDATES("[{'variable':'w'}]"), 2, 12,
         "updates[0]: value: expected a name or 'name:k', got nothing"},
        {UPDATES("[{'variable':'x','value':'x'}]"), 2, 24,
         "updates[0]: variable: 'x' is an input, not a variable"},
        {UPDATES("[{'variable':'r','value':'r'}]"), 2, 24,
         "updates[0]: variable: 'r' is a node, not a variable"},
        {UPDATES("[{'variable':'v','value':'r'}]"), 2, 24,
         "updates[0]: variable: no value is called 'v'"},
        {UPDATES("[{'variable':'w','value':'q'}]"), 2, 36,
         "updates[0]: value: no value is called 'q'"},
        {UPDATES("[{'variable':'w','value':'x'}]"), 2, 12,
         "updates[0]: update of 'w': expected f32[4], got f32[n,4]"},
        {UPDATES("[{'variable':'w','value':'r'},\n{'variable':'w','value':'w'}]"), 3, 1,
         "updates[1]: update of 'w': it has one already"},
        {UPDATES("[{'variable':'w','value':'r','when':1}]"), 2, 40,
         "updates[0]: unknown key 'when'"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

static void test_training(void **state)
{
#define TRAINING(block)                                 \
    JSON_GRAPH("'inputs':[" X "," Y "],'variables':[" W \
               ",{'name':'s','dtype':'f32','shape':[]}],'outputs':['x'],\n'training':" block)
#define OPTIMIZER(o) TRAINING("{'loss':'s','optimizer':" o "}")
    static const row rows[] = {
        {TRAINING("[]"), 2, 12, "training: expected an object, got []"},
        {TRAINING("{}"), 2, 12, "training: loss: expected a name or 'name:k', got nothing"},
        {TRAINING("{'loss':'t'}"), 2, 20, "training: loss: no value is called 't'"},
        {TRAINING("{'loss':'w'}"), 2, 20,
         "training: loss: expected a scalar of f32 or f64, got f32[4]"},
        {TRAINING("{'loss':'s','inputs':'x'}"), 2, 33,
         "training: inputs: expected an array of names, got 'x'"},
        {TRAINING("{'loss':'s','inputs':['w']}"), 2, 34,
         "training: inputs[0]: expected an input of the graph, got 'w'"},
        {TRAINING("{'loss':'s','targets':['q']}"), 2, 35,
         "training: targets[0]: no value is called 'q'"},
        {TRAINING("{'loss':'s','predictions':[1]}"), 2, 39,
         "training: predictions[0]: expected a name or 'name:k', got 1"},
        {TRAINING("{'loss':'s','batch_size':0}"), 2, 37,
         "training: batch_size: expected a positive integer, got 0"},
        {TRAINING("{'loss':'s','epochs':1.5}"), 2, 33,
         "training: epochs: expected a positive integer, got 1.5"},
        {TRAINING("{'loss':'s','metrics':'accuracy'}"), 2, 34,
         "training: metrics: expected an array, got 'accuracy'"},
        {TRAINING("{'loss':'s','metrics':['acuracy']}"), 2, 35,
         "training: metrics[0]: unknown metric 'acuracy'; did you mean 'accuracy'?"},
        {TRAINING("{'loss':'s','metrics':[3]}"), 2, 35,
         "training: metrics[0]: expected the name of a metric, got 3"},
        {TRAINING("{'loss':'s','metrics':[{'op':'accuracy','inputs':['x']}]}"), 2, 61,
         "training: metrics[0]: inputs: expected [prediction, target], got ['x']"},
        {TRAINING("{'loss':'s','metrics':[{'op':'accuracy','inputs':['x','q']}]}"), 2, 66,
         "training: metrics[0]: inputs[1]: no value is called 'q'"},
        {TRAINING("{'loss':'s','predictions':[],'metrics':['accuracy']}"), 2, 52,
         "training: metrics[0]: 'inputs' are needed: there is no prediction and target"},
        {TRAINING("{'loss':'s','optimiser':'sgd'}"), 2, 24,
         "training: unknown key 'optimiser'; did you mean 'optimizer'?"},
        {OPTIMIZER("'adamm'"), 2, 36,
         "training: optimizer: unknown optimiser 'adamm'; did you mean 'adam'?"},
        {OPTIMIZER("'lbfgs'"), 2, 36,
         "training: optimizer: unknown optimiser 'lbfgs'; rill has sgd, rmsprop, adam, adamw"},
        {OPTIMIZER("{}"), 2, 36,
         "training: optimizer: op: expected the name of an optimiser, got nothing"},
        {OPTIMIZER("{'op':'sgd','beta1':0.9}"), 2, 48, "training: optimizer: unknown key 'beta1'"},
        {OPTIMIZER("{'op':'sgd','momentum':1}"), 2, 59,
         "training: optimizer: momentum: expected a number from 0 to below 1, got 1"},
        {OPTIMIZER("{'op':'sgd','nesterov':1}"), 2, 59,
         "training: optimizer: nesterov: expected true or false, got 1"},
        {OPTIMIZER("{'op':'adam','weight_decay':0.1}"), 2, 64,
         "training: optimizer: weight_decay: 'adam' has none; use 'adamw' for decoupled decay, or "
         "'l2'"},
        {OPTIMIZER("{'op':'adam','clip_norm':0}"), 2, 61,
         "training: optimizer: clip_norm: expected a positive number, got 0"},
        {OPTIMIZER("{'op':'adam','epsilon':'inf'}"), 2, 59,
         "training: optimizer: epsilon: expected a number of 0 or more, got 'inf'"},
        {OPTIMIZER("{'op':'sgd','learning_rate':0}"), 2, 64,
         "training: optimizer: learning_rate: expected a positive number or a schedule, got 0"},
        {OPTIMIZER("{'op':'sgd','learning_rate':1e999}"), 2, 64,
         "training: optimizer: learning_rate: expected a positive number or a schedule, got 1e999"},
        {OPTIMIZER("{'op':'sgd','learning_rate':{'op':'linear'}}"), 2, 70,
         "training: optimizer: learning_rate: op: expected 'step', 'exponential' or 'cosine', got "
         "'linear'"},
        {OPTIMIZER("{'op':'sgd','learning_rate':{'op':'step'}}"), 2, 64,
         "training: optimizer: learning_rate: every: expected a positive integer, got nothing"},
        {OPTIMIZER("{'op':'sgd','learning_rate':{'op':'step','every':0}}"), 2, 85,
         "training: optimizer: learning_rate: every: expected a positive integer, got 0"},
        {OPTIMIZER("{'op':'sgd','learning_rate':{'op':'step','every':5,'final':0}}"), 2, 87,
         "training: optimizer: learning_rate: unknown key 'final'"},
        {OPTIMIZER("{'op':'sgd','learning_rate':{'op':'cosine','every':5,'rate':-1}}"), 2, 96,
         "training: optimizer: learning_rate: rate: expected a positive number, got -1"},
    };
    (void)state;
    refuse_all(rows, RILL_LEN(rows));
}

/* NULL for the error is allowed everywhere. */
static void test_without_error(void **state)
{
    rill_graph *g;
    (void)state;
    assert_int_equal(rill_graph_parse(NULL, "{", 1, NULL, &g, NULL), RILL_ERR_INVALID);
    assert_null(g);
    assert_int_equal(rill_graph_load(NULL, "/nonexistent/graph.json", &g, NULL),
                     RILL_ERR_NOT_FOUND);
    assert_null(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_outputs_and_updates),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_without_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
