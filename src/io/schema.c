/* The JSON Schema (draft 2020-12) of the graph format. What the format itself fixes stands here as
 * text, one definition a line; the ops are written from the registry, one definition for each, so
 * that the schema knows every attribute, its range and its default. What a schema can't say (names
 * are unique, references lead somewhere, shapes agree) is for the loader.
 */
#include "io/graph_json.h"

/* Objects take keys that begin with x- and no others but their own. */
#define CLOSED "\"patternProperties\": {\"^x-\": true}, \"additionalProperties\": false"
#define REF(name) "{\"$ref\": \"#/$defs/" name "\"}"
#define ARRAY_OF(name) "{\"type\": \"array\", \"items\": " REF(name) "}"
#define NUMBER_FROM_0 "{\"type\": \"number\", \"minimum\": 0}"
#define POSITIVE "{\"type\": \"number\", \"exclusiveMinimum\": 0}"
#define BELOW_1 "{\"type\": \"number\", \"minimum\": 0, \"exclusiveMaximum\": 1}"
#define COUNT "{\"type\": \"integer\", \"minimum\": 1}"
#define DATA_KEYS                                                                          \
    "\"data\": " REF("data") ", \"file\": {\"type\": \"string\"}, \"tensor\": {\"type\": " \
                             "\"string\"}"
#define INIT(op, more)                                                                        \
    "{\"type\": \"object\", \"required\": [\"op\"], \"properties\": {\"op\": {\"enum\": [" op \
    "]}" more "}, " CLOSED "}"
#define OPTIMIZER(op, more)                                                                   \
    "{\"type\": \"object\", \"required\": [\"op\"], \"properties\": {\"op\": {\"enum\": [" op \
    "]}, \"learning_rate\": " REF("learning_rate") more                                       \
        ", \"l1\": " NUMBER_FROM_0 ", \"l2\": " NUMBER_FROM_0 ", \"clip_norm\": " POSITIVE    \
        ", \"clip_value\": " POSITIVE "}, " CLOSED "}"
#define SCHEDULE(op, more)                                                                \
    "{\"type\": \"object\", \"required\": [\"op\", \"every\"], \"properties\": {\"op\": " \
    "{\"enum\": [" op "]}, \"rate\": " POSITIVE ", \"every\": " COUNT more "}, " CLOSED "}"

static const char *const definitions[][2] = {
    {"name", "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255, \"pattern\": "
             "\"^[^\\\\s\\\\x00-\\\\x1f\\\\x7f:=,%\\\"\\\\\\\\]+$\"}"},
    {"ref",
     "{\"type\": \"string\", \"description\": \"a name, or name:k for output k of a node\"}"},
    {"dtype", "{\"enum\": [\"f32\", \"f64\", \"i32\", \"i64\", \"u8\", \"bool\"]}"},
    {"integer",
     "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": -9007199254740992, \"maximum\": "
     "9007199254740992}, {\"type\": \"string\", \"pattern\": \"^-?(0|[1-9][0-9]*)$\"}]}"},
    {"number", "{\"anyOf\": [{\"type\": \"number\"}, {\"enum\": [\"nan\", \"inf\", \"-inf\"]}]}"},
    {"size", "{\"type\": \"integer\", \"minimum\": 0}"},
    {"symbol", "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255, \"description\": \"a "
               "dimension that has one value wherever it occurs in the graph\"}"},
    {"shape", "{\"type\": \"array\", \"maxItems\": 8, \"items\": {\"anyOf\": [" REF(
                  "size") ", " REF("symbol") "]}}"},
    {"static_shape", "{\"type\": \"array\", \"maxItems\": 8, \"items\": " REF("size") "}"},
    {"data", "{\"anyOf\": [{\"type\": \"boolean\"}, " REF("number") ", " REF(
                 "integer") ", " ARRAY_OF("data") "]}"},
    {"input",
     "{\"type\": \"object\", \"required\": [\"name\", \"dtype\", \"shape\"], \"properties\": "
     "{\"name\": " REF("name") ", \"dtype\": " REF("dtype") ", \"shape\": " REF(
         "shape") "}, " CLOSED "}"},
    {"init",
     "{\"anyOf\": [{\"enum\": [\"zeros\", \"ones\", \"constant\", \"uniform\", \"normal\", "
     "\"truncated_normal\", \"glorot_uniform\", \"glorot_normal\", \"he_uniform\", \"he_normal\", "
     "\"orthogonal\"]}, " INIT("\"zeros\", \"ones\"", "") ", " INIT(
         "\"constant\"",
         ", \"value\": "
         "{\"anyOf\": "
         "[{\"type\": "
         "\"boolean\"},"
         " " REF(
             "numbe"
             "r") ","
                  " " REF(
                      "integer") "]}") ", " INIT("\"uniform\"",
                                                 ", \"low\": {\"type\": \"number\"}, \"high\": "
                                                 "{\"type\": "
                                                 "\"number\"}") ", " INIT("\"normal\", "
                                                                          "\"truncated_normal\"",
                                                                          ", \"mean\": {\"type\": "
                                                                          "\"number\"}, "
                                                                          "\"stddev\":"
                                                                          " " NUMBER_FROM_0) ","
                                                                                             " " INIT("\"glorot_"
                                                                                                      "uniform\""
                                                                                                      ", "
                                                                                                      "\"glorot_"
                                                                                                      "normal\","
                                                                                                      " \"he_"
                                                                                                      "uniform\""
                                                                                                      ", "
                                                                                                      "\"he_"
                                                                                                      "normal\"",
                                                                                                      ", "
                                                                                                      "\"fan_"
                                                                                                      "in\":"
                                                                                                      " " POSITIVE
                                                                                                      ", "
                                                                                                      "\"fan_"
                                                                                                      "out\":"
                                                                                                      " " POSITIVE
                                                                                                      ", "
                                                                                                      "\"layout"
                                                                                                      "\": "
                                                                                                      "{\"enum\""
                                                                                                      ": "
                                                                                                      "[\"HWIO\""
                                                                                                      ", "
                                                                                                      "\"OIHW\"]"
                                                                                                      "}") ","
                                                                                                           " " INIT("\"orthogonal\"", ", \"gain\": {\"type\": \"number\"}") ", " INIT(
                                                                                                               "\"data\"",
                                                                                                               ", " DATA_KEYS) "]}"},
    {"variable",
     "{\"type\": \"object\", \"required\": [\"name\", \"dtype\", \"shape\"], \"properties\": "
     "{\"name\": " REF("name") ", \"dtype\": " REF("dtype") ", \"shape\": " REF(
         "static_shape") ", \"init\": " REF("init") ", " DATA_KEYS
                                                    ", \"trainable\": {\"type\": \"boolean\", "
                                                    "\"default\": true}, \"slot_of\": " REF(
                                                        "ref") "}, " CLOSED "}"},
    {"constant",
     "{\"type\": \"object\", \"required\": [\"name\", \"dtype\", \"shape\"], \"properties\": "
     "{\"name\": " REF("name") ", \"dtype\": " REF("dtype") ", \"shape\": " REF(
         "static_shape") ", " DATA_KEYS ", \"gradient_of\": " REF("ref") "}, " CLOSED "}"},
    {"update", "{\"type\": \"object\", \"required\": [\"variable\", \"value\"], \"properties\": "
               "{\"variable\": " REF("ref") ", \"value\": " REF("ref") "}, " CLOSED "}"},
    {"learning_rate",
     "{\"anyOf\": [" POSITIVE
     ", " SCHEDULE("\"step\", \"exponential\"", ", \"factor\": " POSITIVE) ", " SCHEDULE(
         "\"cosine\"", ", \"final\": " NUMBER_FROM_0) "]}"},
    {"optimizer",
     "{\"anyOf\": [{\"enum\": [\"sgd\", \"rmsprop\", \"adam\", \"adamw\"]}, " OPTIMIZER(
         "\"sgd\"",
         ", \"momentum\": " BELOW_1 ", \"nesterov\": {\"type\": \"boolean\"}, "
         "\"weight_decay\": " NUMBER_FROM_0) ", " OPTIMIZER("\"rmsprop\"",
                                                            ", \"rho\": " BELOW_1
                                                            ", \"momentum\": " BELOW_1
                                                            ", \"centered\": {\"type\": "
                                                            "\"boolean\"}, "
                                                            "\"epsilon\": " NUMBER_FROM_0 ", "
                                                            "\"weight_decay\":"
                                                            " " NUMBER_FROM_0) ","
                                                                               " " OPTIMIZER(
                                                                                   "\"adam\"",
                                                                                   ", "
                                                                                   "\"beta1\":"
                                                                                   " " BELOW_1
                                                                                   ", "
                                                                                   "\"beta2\":"
                                                                                   " " BELOW_1
                                                                                   ", "
                                                                                   "\"epsilon\":"
                                                                                   " " NUMBER_FROM_0) ", " OPTIMIZER("\"adamw\"",
                                                                                                                     ", \"beta1\": " BELOW_1
                                                                                                                     ", \"beta2\": " BELOW_1
                                                                                                                     ", \"epsilon\": " NUMBER_FROM_0
                                                                                                                     ", \"weight_decay\": " NUMBER_FROM_0) "]}"},
    {"metric",
     "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", \"required\": [\"op\"], "
     "\"properties\": {\"op\": {\"type\": \"string\"}, \"inputs\": {\"type\": \"array\", "
     "\"items\": " REF("ref") ", \"minItems\": 2, \"maxItems\": 2}}, " CLOSED "}]}"},
    {"training", "{\"type\": \"object\", \"required\": [\"loss\"], \"properties\": {\"loss\": " REF("ref") ", \"inputs\": " ARRAY_OF("ref") ", \"targets\": " ARRAY_OF(
                     "ref") ", \"predictions\": " ARRAY_OF("ref") ", \"optimizer\": " REF("optimize"
                                                                                          "r") ", "
                                                                                               "\"m"
                                                                                               "etr"
                                                                                               "ics"
                                                                                               "\":"
                                                                                               " " ARRAY_OF(
                                                                                                   "metric") ", \"batch_size\": " COUNT
                                                                                                             ", \"epochs\": " COUNT
                                                                                                             "}, " CLOSED
                                                                                                             "}"},
};

static const char head[] =
    "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
    "  \"title\": \"rill graph, version 1\",\n  \"type\": \"object\",\n"
    "  \"required\": [\"format\", \"version\"],\n  \"properties\": {\n"
    "    \"format\": {\"const\": \"rill-graph\"},\n    \"version\": {\"const\": 1},\n"
    "    \"name\": " REF("name") ",\n    \"inputs\": " ARRAY_OF(
        "input") ",\n"
                 "    \"variables\": " ARRAY_OF("variable") ",\n    \"constants\": " ARRAY_OF(
                     "constant") ",\n"
                                 "    \"nodes\": " ARRAY_OF("node") ",\n    \"outputs\": " ARRAY_OF(
                                     "ref") ",\n"
                                            "    \"updates\": " ARRAY_OF(
                                                "update") ",\n    "
                                                          "\"training\":"
                                                          " " REF("trainin"
                                                                  "g") "\n"
                                                                       "  "
                                                                       "},"
                                                                       "\n"
                                                                       " "
                                                                       " " CLOSED ","
                                                                       "\n"
                                                                       "  "
                                                                       "\""
                                                                       "$d"
                                                                       "ef"
                                                                       "s"
                                                                       "\""
                                                                       ": "
                                                                       "{"
                                                                       "\n";

/* ---- ops ------------------------------------------------------------------------------------- */

static void add(rill_text *t, const char *s)
{
    rill_text_append(t, s, strlen(s));
}

/* `, "minimum": ..., "maximum": ...`; beyond 10^15 is no limit. */
static void add_range(rill_text *t, const rill_attr_spec *spec)
{
    if (!(spec->min < spec->max)) return;
    if (spec->min > -1e15) {
        add(t, ", \"minimum\": ");
        rill_json_write_float(t, spec->min, false);
    }
    if (spec->max < 1e15) {
        add(t, ", \"maximum\": ");
        rill_json_write_float(t, spec->max, false);
    }
}

static void add_choices(rill_text *t, const char *const *choices)
{
    add(t, "\"enum\": [");
    for (const char *const *c = choices; *c; c++) {
        if (c != choices) add(t, ", ");
        rill_json_write_string(t, *c);
    }
    add(t, "]");
}

static void add_ints(rill_text *t, const rill_attr_spec *spec)
{
    add(t, "\"type\": \"array\", \"items\": {\"type\": \"integer\"");
    add_range(t, spec);
    add(t, "}");
    if (spec->n_max)
        rill_text_add(t, ", \"minItems\": %u, \"maxItems\": %u", spec->n_min, spec->n_max);
}

static void add_attr(rill_text *t, const rill_attr_spec *spec)
{
    bool ranged = spec->min < spec->max;
    rill_json_write_string(t, spec->name);
    add(t, ": {");
    switch (spec->type) {
    case RILL_ATTR_INT:
        add(t, ranged ? "\"type\": \"integer\"" : "\"$ref\": \"#/$defs/integer\"");
        add_range(t, spec);
        break;
    case RILL_ATTR_FLOAT:
        add(t, ranged ? "\"type\": \"number\"" : "\"$ref\": \"#/$defs/number\"");
        add_range(t, spec);
        break;
    case RILL_ATTR_BOOL:
        add(t, "\"type\": \"boolean\"");
        break;
    case RILL_ATTR_STRING:
        if (spec->choices)
            add_choices(t, spec->choices);
        else
            add(t, "\"type\": \"string\"");
        break;
    case RILL_ATTR_INTS:
        add_ints(t, spec);
        break;
    case RILL_ATTR_SHAPE:
        add(t, "\"type\": \"array\", \"maxItems\": 8, \"items\": {\"anyOf\": [{\"type\": "
               "\"integer\", \"minimum\": -1}, " REF("symbol") "]}");
        break;
    default:
        add(t, "\"$ref\": \"#/$defs/dtype\"");
    }
    if (spec->def.type != RILL_ATTR_ABSENT) {
        add(t, ", \"default\": ");
        rill_json_write_attr(t, NULL, &spec->def);
    }
    if (spec->doc) {
        add(t, ", \"description\": ");
        rill_json_write_string(t, spec->doc);
    }
    add(t, "}");
}

static void add_inputs(rill_text *t, const rill_op *op)
{
    uint32_t least = 0;
    bool optional = false;
    for (uint32_t i = 0; i < op->n_inputs; i++) {
        if (op->inputs[i].flags & RILL_PORT_OPTIONAL)
            optional = true;
        else if (!optional)
            least = i + 1;
    }
    bool variadic = op->n_inputs && (op->inputs[op->n_inputs - 1].flags & RILL_PORT_VARIADIC);
    rill_text_add(t, "\"inputs\": {\"type\": \"array\", \"minItems\": %u", least);
    if (!variadic) rill_text_add(t, ", \"maxItems\": %u", op->n_inputs);
    add(t, ", \"items\": ");
    add(t, optional ? "{\"anyOf\": [" REF("ref") ", {\"type\": \"null\"}]}" : REF("ref"));
    add(t, ", \"description\": \"");
    for (uint32_t i = 0; i < op->n_inputs; i++)
        rill_text_add(t, "%s%s", i ? ", " : "", op->inputs[i].name);
    add(t, variadic ? ", ...\"}" : "\"}");
}

static void add_attrs(rill_text *t, const rill_op *op)
{
    bool any = false;
    add(t, "\"attrs\": {\"type\": \"object\", \"properties\": {");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        if (i) add(t, ", ");
        add_attr(t, &op->attrs[i]);
    }
    add(t, "}");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        if (!op->attrs[i].required) continue;
        add(t, any ? ", " : ", \"required\": [");
        rill_json_write_string(t, op->attrs[i].name);
        any = true;
    }
    add(t, any ? "], " CLOSED "}" : ", " CLOSED "}");
}

static void add_op(rill_text *t, const rill_op *op)
{
    bool attrs = false;
    for (uint32_t i = 0; i < op->n_attrs; i++) attrs = attrs || op->attrs[i].required;
    rill_text_add(t, "    \"op_%s\": {\"type\": \"object\", \"description\": ", op->name);
    rill_json_write_string(t, op->summary ? op->summary : op->name);
    add(t, ", \"required\": [\"name\", \"op\"");
    if (op->n_inputs && !(op->inputs[0].flags & RILL_PORT_OPTIONAL)) add(t, ", \"inputs\"");
    if (attrs) add(t, ", \"attrs\"");
    rill_text_add(t, "], \"properties\": {\"name\": " REF("name") ", \"op\": {\"const\": \"%s\"}, ",
                  op->name);
    add_inputs(t, op);
    add(t, ", ");
    add_attrs(t, op);
    add(t, ", \"gradient_of\": " REF("ref") "}, " CLOSED "}");
}

rill_status rill_schema_json(rill_context *ctx, char **out, rill_error *err)
{
    rill_text t;
    ctx = rill_context_of(ctx);
    rill_text_init(&t, ctx);
    add(&t, head);
    for (size_t i = 0; i < RILL_LEN(definitions); i++) {
        rill_text_add(&t, "    \"%s\": ", definitions[i][0]);
        add(&t, definitions[i][1]);
        add(&t, ",\n");
    }
    add(&t, "    \"node\": {\"oneOf\": [");
    for (size_t i = 0; i < rill_op_count(ctx); i++)
        rill_text_add(&t, "%s" REF("op_%s"), i ? ", " : "", rill_op_at(ctx, i)->name);
    add(&t, "]}");
    for (size_t i = 0; i < rill_op_count(ctx); i++) {
        add(&t, ",\n");
        add_op(&t, rill_op_at(ctx, i));
    }
    add(&t, "\n  }\n}\n");
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "JSON Schema");
}
