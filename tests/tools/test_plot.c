/* rill plot: where its numbers come from, what it refuses; the curves of rill train. */
#include "command.h"
#include "draw/xml.h"

static void drawn(const char *path)
{
    static char svg[1 << 20];
    read_text(path, svg, sizeof svg);
    if (!xml_document(svg)) fail_msg("%s: not well-formed: %.2000s", path, svg);
    memcpy(command_out, svg, sizeof svg);
}

static void test_columns_of_files(void **state)
{
    (void)state;
    write_text("h.csv", "epoch,loss,val_loss\n1,4,5\n2,2,nan\n3,1,2\n");
    ran(0, "rill plot h.csv -o all.svg");
    printed("", "");
    drawn("all.svg");
    said(command_out, "y over epoch. loss: 3 numbers, first 4, last 1, from 1 to 4. "
                      "val_loss: 2 numbers, first 5, last 2, from 2 to 5.</desc>");
    ran(0, "rill plot h.csv -x epoch -y val_loss --log y --title 'A title' -o one.svg");
    drawn("one.svg");
    said(command_out, "<title>A title</title>\n<desc>val_loss over epoch. ");
    ran(0, "cp h.csv g.csv; rill plot g.csv h.csv -y loss --points -o -");
    said(command_out, "<desc>loss over epoch. g: 3 points, from 1 to 4. h: 3 points,");
    ran(0, "rill run regression.json --input 'x=[[1,2,3],[4,5,6]]' --output xw=v.npz "
           "--output x=v.npz && rill plot v.npz -x x.0 -y x.2,xw -o v.svg");
    drawn("v.svg");
    said(command_out, "y over x.0. x.2: 2 numbers, first 3, last 6");
    ran(0, "rill run regression.json --input 'x=[[1,2,3],[4,5,6]]' --output prediction=v.npy && "
           "rill plot v.npy -o v.svg");
    drawn("v.svg");
    said(command_out, "v over x. v: 2 numbers");
}

static void test_values_of_graphs(void **state)
{
    (void)state;
    write_text(
        "act.json",
        "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"act\", \"inputs\": [{\"name\": "
        "\"x\", \"dtype\": \"f64\", \"shape\": [\"n\"]}], \"nodes\": [{\"name\": \"f\", \"op\": "
        "\"square\", \"inputs\": [\"x\"]}, {\"name\": \"total\", \"op\": \"reduce_sum\", "
        "\"inputs\": [\"f\"]}], \"outputs\": [\"f\"]}");
    ran(0, "rill grad act.json --of total --wrt x -o slope.json && "
           "rill plot slope.json --sweep x=-4:4:9 -y f,grad/x -o s.svg");
    drawn("s.svg");
    said(command_out, "y over x. f: 9 numbers, first 16, last 16, from 0 to 16. "
                      "grad/x: 9 numbers, first -8, last 8, from -8 to 8.");
    /* A scalar input takes one run a point, to the same picture. */
    ran(0, "sed 's/\\[\"n\"\\]/[]/; s/\"op\": \"reduce_sum\"/\"op\": \"identity\"/' act.json "
           ">scalar.json"
           " && rill grad scalar.json --of total --wrt x -o slope1.json && "
           "rill plot slope1.json --sweep x=-4:4:9 -y f,grad/x -o s1.svg");
    same_bytes("s.svg", "s1.svg");
    ran(0, "rill plot regression.json --input 'x=[[1,2,3],[4,5,6]]' -x xw -y prediction -o -");
    said(command_out, "prediction over xw. prediction: 2 numbers");
}

static void test_usage(void **state)
{
    static const struct {
        int status;
        const char *arguments, *message;
    } rows[] = {
        {2, "", "GRAPH|FILE... is missing; usage: rill plot GRAPH|FILE... -o FILE.svg"},
        {2, "h.csv", "-o FILE.svg is missing"},
        {2, "h.csv -o a.txt", "-o: expected a file name that ends in .svg or .png, got \"a.txt\""},
        {2, "lenet5.json -o a.png", "a picture shows one value: name it with -y"},
        {2, "d.npz:x -o a.png", "--layout is missing: the tensor has 3 axes"},
        {2, "d.npz:x --layout NH -o a.png", "layout \"NH\" of u8[3,28,28]: expected a letter for"},
        {2, "d.npz:x --layout NHW --zoom 0 -o a.png", "--zoom: expected an integer from 1 to 64"},
        {4, "h.csv -o none/a.svg", "none/a.svg: cannot write: No such file"},
        {2, "none.csv -o a.svg", "none.csv: cannot open: No such file"},
        {2, "h.txt -o a.svg", "h.txt: expected a graph (.json), or numbers: .csv"},
        {2, "h.csv -y los -o a.svg", "-y: no column \"los\" in h; did you mean \"loss\"?"},
        {2, "h.csv -x q -o a.svg", "-x: no column \"q\" in h; there are epoch, loss"},
        {2, "h.csv --log z -o a.svg", "--log: expected x, y or xy, got \"z\""},
        {2, "h.csv --sweep x=1:2 -o a.svg", "--sweep is for a graph, and h.csv is none"},
        {2, "one.csv -x a -o a.svg", "there is nothing to draw: one.csv has one column"},
        {2, "xor.json xor.json -o a.svg", "expected one graph, or files of numbers, got 2 graphs"},
        {2, "xor.json --sweep x=1:2:3 -o a.svg",
         "--sweep: \"x\" is f32[batch,2]; expected a scalar"},
        {2, "xor.json --sweep z=1:2:3 -o a.svg", "--sweep: no value is called \"z\""},
        {2, "xor.json --sweep p=1:2:3 -o a.svg", "--sweep: \"p\" is no input of the graph"},
        {2, "xor.json --sweep y=1:2:3 -o a.svg", "--sweep: \"y\" holds no floats"},
        {2, "xor.json --sweep x=2:1:3 -o a.svg",
         "--sweep: expected NAME=LOW:HIGH:N with LOW < HIGH"},
        {2, "xor.json --sweep x=1:2:3: -o a.svg", "--sweep: expected NAME=LOW:HIGH:N"},
        {2, "xor.json --sweep x=1:2:1 -o a.svg", "--sweep: expected NAME=LOW:HIGH:N"},
        {2, "xor.json -y q -o a.svg", "-y: no value is called \"q\""},
        {2, "xor.json -o a.svg", "xor.json: input \"x\""},
        {2, "long.csv h.csv -y loss -o a.svg", "-y: no column \"loss\" in long"},
    };
    (void)state;
    write_text("h.csv", "epoch,loss\n1,4\n2,2\n");
    write_text("one.csv", "a\n1\n2\n");
    write_text("long.csv", "a,b\n1,2\n2,3\n");
    write_text("h.txt", "1");
    ran(0, "rill data 'synthetic:digits?rows=3' -o d.npz");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ran(rows[i].status, "rill plot %s", rows[i].arguments);
        assert_string_equal(command_out, "");
        if (strncmp(command_err, "rill plot: ", 11) != 0 ||
            strncmp(command_err + 11, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("%s: %s", rows[i].arguments, command_err);
        assert_false(is_there("a.svg"));
    }
}

#define XOR "rill train xor.json --data 'synthetic:xor?rows=80' --validation-split 0.25"

static void test_curves_of_a_training(void **state)
{
    static char whole[1 << 16];
    (void)state;
    ran(0, "rm -f *.safetensors; " XOR " --epochs 4 --plot whole.svg");
    said(command_out, "\ncurves in whole.svg\nparameters in xor.safetensors\n");
    drawn("whole.svg");
    said(command_out, "<title>loss; sparse_categorical_accuracy</title>");
    said(command_out, "loss over epoch. training: 4 numbers, first 0.");
    said(command_out, "sparse_categorical_accuracy over epoch. training: 4 numbers");
    said(command_out, "validation: 4 numbers, first 0.");
    read_text("whole.svg", whole, sizeof whole);
    /* A resumed training draws the epochs of the history, too. */
    ran(0,
        "rm -f *.safetensors h.csv; " XOR " --epochs 2 --checkpoint c.safetensors --history h.csv");
    ran(0, XOR " --epochs 2 --resume c.safetensors --history h.csv --plot parts.svg");
    same_bytes("whole.svg", "parts.svg");
    ran(2, XOR " --plot whole.svg --force --save a.safetensors --plot a.png");
    said(command_err, "rill train: --plot: expected a file name that ends in .svg, got \"a.png\"");
    ran(2, XOR " --plot whole.svg --save b.safetensors");
    said(command_err, "whole.svg exists; --force replaces it");
}

static void test_pictures(void **state)
{
    (void)state;
    ran(0, "rill data 'synthetic:digits?rows=12' -o d.npz && "
           "rill plot d.npz:x --layout NHW -o d.png && head -c 4 d.png | tail -c 3");
    printed("PNG", "");
    ran(0, "rill plot lenet5.json -y c1/filter -o f.png && head -c 4 f.png | tail -c 3");
    printed("PNG", "");
}

/* The number behind the first `label` of a text. */
static double number_after(const char *text, const char *label)
{
    const char *at = strstr(text, label);
    if (!at) fail_msg("no %s in %.3000s", label, text);
    return strtod(at + strlen(label), NULL);
}

#define LENET "lenet5.json --data 'synthetic:digits?rows=60' --batch-size 32"

/* The report says what `rill eval` says, and its command gives the same parameters. */
static void test_report(void **state)
{
    static char page[1 << 20];
    (void)state;
    ran(0, "rm -f *.safetensors; rill train " LENET " --epochs 1 --save r.safetensors "
           "--report r.html");
    said(command_out, "\nparameters in r.safetensors\nreport in r.html\n");
    read_text("r.html", page, sizeof page);
    ran(0, "rill eval " LENET " --params r.safetensors");
    assert_true(number_after(page, "id=\"loss\">") == number_after(command_out, "loss "));
    assert_true(number_after(page, "sparse_categorical_accuracy</th><td>") ==
                number_after(command_out, "sparse_categorical_accuracy "));
    said(page, "On 60 rows that are the test part of the data");
    said(page, "<pre class=\"command\">rill train lenet5.json --data 'synthetic:digits?rows=60' "
               "--batch-size 32 --epochs 1 --save r.safetensors --report r.html --seed 0</pre>");
    said(page, "<table id=\"confusion\">");
    said(page, "data:image/png;base64,iVBOR");
    said(page, "<h2>Filters of c1</h2>");
    said(page, "<h2>Feature maps of c1");
    assert_null(strstr(page, "src=\"http"));
    assert_null(strstr(page, "<script"));
    /* Figures of the confusion matrix add up to the rows. */
    int sum = 0;
    const char *end = strstr(strstr(page, "id=\"confusion\""), "</table>");
    for (const char *p = strstr(page, "id=\"confusion\""); (p = strstr(p, "<td")) && p < end;) {
        p = strchr(p, '>') + 1;
        if (strncmp(p, "<b>", 3) == 0) p += 3;
        sum += atoi(p);
    }
    assert_int_equal(sum, 60);
    ran(0, "rill train regression.json --data 'synthetic:regression?rows=50' --epochs 1 --report "
           "q.html");
    read_text("q.html", page, sizeof page);
    said(page, "<title>Predictions and targets; Residuals</title>");
    said(page, "On 50 rows that are the test part of the data");
    ran(0, "rm -f *.safetensors; rill data 'synthetic:regression?rows=50' -o q.csv && rill train "
           "regression.json --data q.csv --validation-split 0.2 --epochs 1 --report h.html");
    read_text("h.html", page, sizeof page);
    said(page, "On 10 rows that were held out");
    ran(2, "rill train " LENET " --save b.safetensors --report r.txt");
    said(command_err, "--report: expected a file name that ends in .html, got \"r.txt\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_of_files),
        cmocka_unit_test(test_values_of_graphs),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_curves_of_a_training),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_report),
    };
    return RUN_COMMAND_TESTS(tests);
}
