/* The JSON Schema (draft 2020-12) of the graph format. What the format itself fixes stands here as
 * a table; the ops are written from the registry, one definition for each, so that the schema knows
 * every attribute, its range and its default. What a schema can't say (names are unique, references
 * lead somewhere, shapes agree) is for the loader.
 *
 * In the table ' stands for ", and @NAME for a reference to the definition of that name.
 */
#include "io/graph_json.h"

/* Rows with the same name are alternatives. A row is a schema as such, or an object with these
 * required keys and properties, which takes keys that begin with x- and no others. */
typedef struct definition {
    const char *name, *schema, *required, *properties;
} definition;

#define FROM_0 "{'type':'number','minimum':0}"
#define POSITIVE "{'type':'number','exclusiveMinimum':0}"
#define BELOW_1 "{'type':'number','minimum':0,'exclusiveMaximum':1}"
#define COUNT "{'type':'integer','minimum':1}"
#define NUMBER "{'type':'number'}"
#define STRING "{'type':'string'}"
#define BOOLEAN "{'type':'boolean'}"
#define REFS "{'type':'array','items':@ref}"
#define TYPED "'name':@name,'dtype':@dtype,"
#define DATA ",'data':@data,'file':" STRING ",'tensor':" STRING
#define OP(names) "'op':{'enum':[" names "]}"
#define COMMON                                                                              \
    ",'learning_rate':@learning_rate,'l1':" FROM_0 ",'l2':" FROM_0 ",'clip_norm':" POSITIVE \
    ",'clip_value':" POSITIVE
#define ADAM ",'beta1':" BELOW_1 ",'beta2':" BELOW_1 ",'epsilon':" FROM_0

static const definition definitions[] = {
    {"name",
     "{'type':'string','minLength':1,'maxLength':255,"
     "'pattern':'^[^\\\\s\\\\x00-\\\\x1f\\\\x7f:=,%\\\\x22\\\\x5c]+$'}",
     NULL, NULL},
    {"ref", "{'type':'string','description':'a name, or name:k for output k of a node'}", NULL,
     NULL},
    {"dtype", "{'enum':['f32','f64','i32','i64','u8','bool']}", NULL, NULL},
    {"integer", "{'type':'integer','minimum':-9007199254740992,'maximum':9007199254740992}", NULL,
     NULL},
    {"integer", "{'type':'string','pattern':'^-?(0|[1-9][0-9]*)$'}", NULL, NULL},
    {"number", NUMBER, NULL, NULL},
    {"number", "{'enum':['nan','inf','-inf']}", NULL, NULL},
    {"size", "{'type':'integer','minimum':0}", NULL, NULL},
    {"symbol",
     "{'type':'string','minLength':1,'maxLength':255,"
     "'description':'a dimension that has one value wherever it occurs in the graph'}",
     NULL, NULL},
    {"shape", "{'type':'array','maxItems':8,'items':{'anyOf':[@size,@symbol]}}", NULL, NULL},
    {"static_shape", "{'type':'array','maxItems':8,'items':@size}", NULL, NULL},
    {"element", BOOLEAN, NULL, NULL},
    {"element", "@number", NULL, NULL},
    {"element", "@integer", NULL, NULL},
    {"data", "@element", NULL, NULL},
    {"data", "{'type':'array','items':@data}", NULL, NULL},
    {"input", NULL, "'name','dtype','shape'", TYPED "'shape':@shape"},
    {"init",
     "{'enum':['zeros','ones','constant','uniform','normal','truncated_normal','glorot_uniform',"
     "'glorot_normal','he_uniform','he_normal','orthogonal']}",
     NULL, NULL},
    {"init", NULL, "'op'", OP("'zeros','ones'")},
    {"init", NULL, "'op'", OP("'constant'") ",'value':@element"},
    {"init", NULL, "'op'", OP("'uniform'") ",'low':" NUMBER ",'high':" NUMBER},
    {"init", NULL, "'op'", OP("'normal','truncated_normal'") ",'mean':" NUMBER ",'stddev':" FROM_0},
    {"init", NULL, "'op'",
     OP("'glorot_uniform','glorot_normal','he_uniform','he_normal'") ",'fan_in':" POSITIVE
                                                                     ",'fan_out':" POSITIVE
                                                                     ",'layout':{'enum':['HWIO','"
                                                                     "OIHW']}"},
    {"init", NULL, "'op'", OP("'orthogonal'") ",'gain':" NUMBER},
    {"init", NULL, "'op'", OP("'data'") DATA},
    {"variable", NULL, "'name','dtype','shape'",
     TYPED "'shape':@static_shape,'init':@init" DATA
           ",'trainable':{'type':'boolean','default':true},'slot_of':@ref"},
    {"constant", NULL, "'name','dtype','shape'",
     TYPED "'shape':@static_shape" DATA ",'gradient_of':@ref"},
    {"update", NULL, "'variable','value'", "'variable':@ref,'value':@ref"},
    {"learning_rate", POSITIVE, NULL, NULL},
    {"learning_rate", NULL, "'op','every'",
     OP("'step','exponential'") ",'rate':" POSITIVE ",'every':" COUNT ",'factor':" POSITIVE},
    {"learning_rate", NULL, "'op','every'",
     OP("'cosine'") ",'rate':" POSITIVE ",'every':" COUNT ",'final':" FROM_0},
    {"optimizer", "{'enum':['sgd','rmsprop','adam','adamw']}", NULL, NULL},
    {"optimizer", NULL, "'op'",
     OP("'sgd'") ",'momentum':" BELOW_1 ",'nesterov':" BOOLEAN ",'weight_decay':" FROM_0 COMMON},
    {"optimizer", NULL, "'op'",
     OP("'rmsprop'") ",'rho':" BELOW_1 ",'momentum':" BELOW_1 ",'centered':" BOOLEAN
                     ",'epsilon':" FROM_0 ",'weight_decay':" FROM_0 COMMON},
    {"optimizer", NULL, "'op'", OP("'adam'") ADAM COMMON},
    {"optimizer", NULL, "'op'", OP("'adamw'") ADAM ",'weight_decay':" FROM_0 COMMON},
    {"metric", STRING, NULL, NULL},
    {"metric", NULL, "'op'",
     "'op':" STRING ",'inputs':{'type':'array','items':@ref,'minItems':2,'maxItems':2}"},
    {"training", NULL, "'loss'",
     "'loss':@ref,'inputs':" REFS ",'targets':" REFS ",'predictions':" REFS
     ",'optimizer':@optimizer,'metrics':{'type':'array','items':@metric},"
     "'batch_size':" COUNT ",'epochs':" COUNT},
};

static const char file_keys[] =
    "'format':{'const':'rill-graph'},'version':{'const':1},'name':" STRING ","
    "'inputs':{'type':'array','items':@input},'variables':{'type':'array','items':@variable},"
    "'constants':{'type':'array','items':@constant},'nodes':{'type':'array','items':@node},"
    "'outputs':" REFS ",'updates':{'type':'array','items':@update},'training':@training";

/* ---- the table ------------------------------------------------------------------------------- */

/* Text in the table's notation. */
static void add(rill_text *t, const char *s)
{
    while (*s) {
        size_t n = strcspn(s, "'@");
        rill_text_append(t, s, n);
        s += n;
        if (*s == '\'') {
            rill_text_append(t, "\"", 1);
            s++;
        } else if (*s == '@') {
            n = strspn(++s, "abcdefghijklmnopqrstuvwxyz_");
            rill_text_add(t, "{\"$ref\": \"#/$defs/%.*s\"}", (int)n, s);
            s += n;
        }
    }
}

/* `"required": [...], "properties": {...}` and no other keys. */
static void add_keys(rill_text *t, const char *required, const char *properties)
{
    add(t, "'type':'object','required':[");
    add(t, required);
    add(t, "],'properties':{");
    add(t, properties);
    add(t, "},'patternProperties':{'^x-':true},'additionalProperties':false");
}

static void add_definition(rill_text *t, const definition *d)
{
    if (d->schema) {
        add(t, d->schema);
        return;
    }
    add(t, "{");
    add_keys(t, d->required, d->properties);
    add(t, "}");
}

static void add_definitions(rill_text *t)
{
    for (size_t i = 0, n; i < RILL_LEN(definitions); i += n) {
        const definition *d = &definitions[i];
        n = 1;
        while (i + n < RILL_LEN(definitions) && strcmp(d[n].name, d->name) == 0) n++;
        rill_text_add(t, "    \"%s\": ", d->name);
        if (n > 1) add(t, "{'anyOf':[");
        for (size_t k = 0; k < n; k++) {
            if (k) add(t, ",");
            add_definition(t, &d[k]);
        }
        add(t, n > 1 ? "]},\n" : ",\n");
    }
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* Beyond 10^15 is no limit. */
static void add_range(rill_text *t, const rill_attr_spec *spec)
{
    if (!(spec->min < spec->max)) return;
    if (spec->min > -1e15) {
        add(t, ",'minimum':");
        rill_json_write_float(t, spec->min, false);
    }
    if (spec->max < 1e15) {
        add(t, ",'maximum':");
        rill_json_write_float(t, spec->max, false);
    }
}

static void add_choices(rill_text *t, const char *const *choices)
{
    add(t, "'enum':[");
    for (const char *const *c = choices; *c; c++) {
        if (c != choices) add(t, ",");
        rill_json_write_string(t, *c);
    }
    add(t, "]");
}

static void add_ints(rill_text *t, const rill_attr_spec *spec)
{
    add(t, "'type':'array','items':{'type':'integer'");
    add_range(t, spec);
    add(t, "}");
    if (spec->n_max) rill_text_add(t, ",\"minItems\":%u,\"maxItems\":%u", spec->n_min, spec->n_max);
}

static void add_attr_type(rill_text *t, const rill_attr_spec *spec)
{
    bool ranged = spec->min < spec->max;
    switch (spec->type) {
    case RILL_ATTR_INT:
        add(t, ranged ? "'type':'integer'" : "'$ref':'#/$defs/integer'");
        add_range(t, spec);
        break;
    case RILL_ATTR_FLOAT:
        add(t, ranged ? "'type':'number'" : "'$ref':'#/$defs/number'");
        add_range(t, spec);
        break;
    case RILL_ATTR_BOOL:
        add(t, "'type':'boolean'");
        break;
    case RILL_ATTR_STRING:
        if (spec->choices)
            add_choices(t, spec->choices);
        else
            add(t, "'type':'string'");
        break;
    case RILL_ATTR_INTS:
        add_ints(t, spec);
        break;
    case RILL_ATTR_SHAPE:
        add(t, "'type':'array','maxItems':8,"
               "'items':{'anyOf':[{'type':'integer','minimum':-1},@symbol]}");
        break;
    case RILL_ATTR_DTYPE:
    case RILL_ATTR_ABSENT:
        add(t, "'$ref':'#/$defs/dtype'");
        break;
    }
}

static void add_attrs(rill_text *t, const rill_op *op)
{
    bool any = false;
    add(t, ",'attrs':{'type':'object','properties':{");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        const rill_attr_spec *spec = &op->attrs[i];
        if (i) add(t, ",");
        rill_json_write_string(t, spec->name);
        add(t, ":{");
        add_attr_type(t, spec);
        if (spec->def.type != RILL_ATTR_ABSENT) {
            add(t, ",'default':");
            rill_json_write_attr(t, NULL, &spec->def);
        }
        add(t, ",'description':");
        rill_json_write_string(t, spec->doc ? spec->doc : "");
        add(t, "}");
    }
    add(t, "},'patternProperties':{'^x-':true},'additionalProperties':false");
    for (uint32_t i = 0; i < op->n_attrs; i++) {
        if (!op->attrs[i].required) continue;
        add(t, any ? "," : ",'required':[");
        rill_json_write_string(t, op->attrs[i].name);
        any = true;
    }
    add(t, any ? "]}" : "}");
}

static void add_inputs(rill_text *t, const rill_op *op)
{
    uint32_t least = 0;
    while (least < op->n_inputs && !(op->inputs[least].flags & RILL_PORT_OPTIONAL)) least++;
    bool variadic = op->n_inputs && (op->inputs[op->n_inputs - 1].flags & RILL_PORT_VARIADIC);
    rill_text_add(t, ",\"inputs\":{\"type\":\"array\",\"minItems\":%u", least);
    if (!variadic) rill_text_add(t, ",\"maxItems\":%u", op->n_inputs);
    add(t, least < op->n_inputs ? ",'items':{'anyOf':[@ref,{'type':'null'}]}" : ",'items':@ref");
    add(t, ",'description':'");
    for (uint32_t i = 0; i < op->n_inputs; i++)
        rill_text_add(t, "%s%s", i ? ", " : "", op->inputs[i].name);
    add(t, variadic ? ", ...'}" : "'}");
}

static void add_op(rill_text *t, const rill_op *op)
{
    bool attrs = false;
    for (uint32_t i = 0; i < op->n_attrs; i++) attrs = attrs || op->attrs[i].required;
    rill_text_add(t, "    \"op_%s\": {\"description\":", op->name);
    rill_json_write_string(t, op->summary ? op->summary : op->name);
    add(t, ",'type':'object','required':['name','op'");
    if (op->n_inputs && !(op->inputs[0].flags & RILL_PORT_OPTIONAL)) add(t, ",'inputs'");
    if (attrs) add(t, ",'attrs'");
    rill_text_add(t, "],\"properties\":{\"op\":{\"const\":\"%s\"}", op->name);
    add(t, ",'name':@name,'gradient_of':@ref");
    add_inputs(t, op);
    add_attrs(t, op);
    add(t, "},'patternProperties':{'^x-':true},'additionalProperties':false}");
}

rill_status rill_schema_json(rill_context *ctx, char **out, rill_error *err)
{
    rill_text t;
    ctx = rill_context_of(ctx);
    rill_text_init(&t, ctx);
    add(&t, "{\n  '$schema':'https://json-schema.org/draft/2020-12/schema',\n"
            "  'title':'rill graph, version 1',\n  ");
    add_keys(&t, "'format','version'", file_keys);
    add(&t, ",\n  '$defs':{\n");
    add_definitions(&t);
    add(&t, "    'node':{'oneOf':[");
    for (size_t i = 0; i < rill_op_count(ctx); i++)
        rill_text_add(&t, "%s{\"$ref\":\"#/$defs/op_%s\"}", i ? "," : "", rill_op_at(ctx, i)->name);
    add(&t, "]}");
    for (size_t i = 0; i < rill_op_count(ctx); i++) {
        add(&t, ",\n");
        add_op(&t, rill_op_at(ctx, i));
    }
    add(&t, "\n  }\n}\n");
    *out = rill_text_take(&t);
    return *out ? RILL_OK : rill_nomem(err, "JSON Schema");
}
