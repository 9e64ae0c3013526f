/* rill eval and rill predict, and data from CSV files and IDX folders. */
#include "command.h"

#define XOR_DATA "--data 'synthetic:xor?rows=40'"

static int begin_trained(void **state)
{
    if (begin_commands(state) != 0) return -1;
    return system("\"" RILL_EXE "\" train xor.json --data synthetic:xor --save p.safetensors "
                  ">.out 2>.err") == 0
               ? 0
               : -1;
}

static void test_eval(void **state)
{
    (void)state;
    char one[300];
    ran(0, "rill eval xor.json --params p.safetensors " XOR_DATA " --batch-size 40");
    assert_string_equal(command_err, "");
    assert_int_equal(strncmp(command_out, "40 samples  loss 0.0", 20), 0);
    said(command_out, "  sparse_categorical_accuracy 1.000000\n");
    snprintf(one, sizeof one, "%.299s", command_out);
    ran(0, "rill eval xor.json --params p.safetensors " XOR_DATA " --batch-size 7 --threads 3");
    assert_string_equal(command_out, one); /* weighted by rows */
    ran(0, "rill eval xor.json --params p.safetensors " XOR_DATA " --json");
    printed_json();
    assert_int_equal(strncmp(command_out, "{\"samples\": 40, \"loss\": 0.0", 27), 0);
    said(command_out, ", \"metrics\": {\"sparse_categorical_accuracy\": 1}}\n");
    ran(0, "rill eval xor.json --params p.safetensors " XOR_DATA " >a; rill eval xor.json --params "
           "p.safetensors " XOR_DATA " --split train >b; ! cmp -s a b");
    ran(0, "rill eval xor.json --params p.safetensors " XOR_DATA " --kernels reference");
}

/* Two metrics of one name stay apart; loss ops are metrics. */
static void test_names_of_metrics(void **state)
{
    (void)state;
    ran(0,
        "sed 's/\"metrics\": .*/\"metrics\": [\"accuracy\", \"accuracy\", "
        "{\"op\": \"sparse_softmax_cross_entropy\", \"inputs\": [\"logits\", \"y\"]}],/' xor.json "
        ">two.json && rill eval two.json --params p.safetensors " XOR_DATA " --json");
    printed_json();
    said(command_out, "\"metrics\": {\"accuracy\": 1, \"accuracy_2\": 1, "
                      "\"sparse_softmax_cross_entropy\": 0.");
    ran(0, "rill train two.json " XOR_DATA " --epochs 1 --history h.csv --save q.npz");
    said(command_out, "  accuracy 0.");
    said(command_out, "  accuracy_2 0.");
    ran(0, "head -n 1 h.csv");
    printed("epoch,loss,accuracy,accuracy_2,sparse_softmax_cross_entropy,samples_per_second\n", "");
}

static void test_predict(void **state)
{
    (void)state;
    ran(0, "rill predict xor.json --params p.safetensors --data 'synthetic:xor?rows=4' --classes");
    printed("p: i64[4] = [0,1,1,0]\n", "");
    ran(0, "rill predict xor.json --params p.safetensors --data 'synthetic:xor?rows=4' --classes "
           "--json");
    printed("{\"outputs\": [{\"name\": \"p\", \"dtype\": \"i64\", \"shape\": [4], \"data\": "
            "[0,1,1,0]}]}\n",
            "");
    ran(0, "rill predict xor.json --params p.safetensors " XOR_DATA " >a; rill predict xor.json "
           "--params p.safetensors " XOR_DATA " --batch-size 7 --output p >b; cmp a b");
    ran(0, "rill predict xor.json --params p.safetensors " XOR_DATA " --output p=p.npy");
    printed("", "");
    assert_true(is_there("p.npy"));
    ran(2, "rill predict xor.json --params p.safetensors " XOR_DATA " --output hidden");
    said(command_err, "rill predict: --output: \"hidden\" is no prediction of the training block");
    ran(2, "rill predict xor.json --params p.safetensors " XOR_DATA " --output p=p.txt");
    ran(4, "rill predict xor.json --params p.safetensors " XOR_DATA " --output p=none/p.npy");
}

static void test_bad_calls(void **state)
{
    (void)state;
    ran(2, "rill eval xor.json --params p.safetensors");
    printed("", "rill eval: --data SPEC is missing, as in --data synthetic:digits\n");
    ran(2, "rill eval xor.json " XOR_DATA);
    printed("", "rill eval: --params FILE is missing: what `rill train` wrote\n");
    ran(2, "rill eval xor.json --params none.safetensors " XOR_DATA);
    printed("", "rill eval: none.safetensors: cannot open: No such file or directory\n");
    ran(2, "rill eval xor.json --params p.safetensors " XOR_DATA " --split val");
    printed("", "rill eval: --split: expected train or test, got \"val\"\n");
    ran(2, "rill eval lenet5.json --params p.safetensors --data 'synthetic:digits?rows=8'");
    said(command_err, "rill eval: \"p.safetensors\": no tensor for variable \"");
    ran(2, "rill eval xor.json --params p.safetensors --data 'synthetic:digits?rows=8'");
    ran(2, "rill eval xor.json --params p.safetensors --data /etc/passwd");
    said(command_err, "expected an IDX folder, a .csv file, or synthetic:NAME");
    ran(2, "rill eval xor.json --params p.safetensors --data .");
}

static void test_csv(void **state)
{
    (void)state;
    write_text("line.csv", "a,b,c,y\n1,0,0,3\n0,1,0,-2\n0,0,1,1.5\n1,1,1,0.5\n0,0,0,1\n2,1,0,2\n");
    ran(0, "rill train regression.json --data line.csv --epochs 200 --batch-size 3 --optimizer sgd "
           "--learning-rate 0.1 --save line.safetensors | tail -n 1");
    printed("parameters in line.safetensors\n", command_err);
    ran(0, "rill eval regression.json --params line.safetensors --data line.csv --json");
    printed_json();
    said(command_out, "{\"samples\": 6, \"loss\": ");
    ran(0, "rill run regression.json --params line.safetensors --input 'x=[[1,0,0]]' --expect "
           "'prediction=[3]' --atol 0.05");
    write_text("bad.csv", "a,b,c,y\n1,0,zero,3\n");
    ran(2, "rill eval regression.json --params line.safetensors --data bad.csv");
    said(command_err, "bad.csv");
}

/* Two images of 2 x 2 with labels, as MNIST has them. */
static void test_idx_folder(void **state)
{
    (void)state;
    ran(0,
        "mkdir idx; for p in train t10k; do "
        "printf '\\0\\0\\010\\003\\0\\0\\0\\002\\0\\0\\0\\002\\0\\0\\0\\002\\0\\0\\0\\0\\377\\377"
        "\\377\\377' >idx/$p-images-idx3-ubyte; "
        "printf '\\0\\0\\010\\001\\0\\0\\0\\002\\0\\001' >idx/$p-labels-idx1-ubyte; done; "
        "gzip idx/t10k-*");
    write_text(
        "idx.json",
        "{\"format\":\"rill-graph\",\"version\":1,\"name\":\"idx\",\"inputs\":[{\"name\":"
        "\"x\",\"dtype\":\"f32\",\"shape\":[\"n\",4]},{\"name\":\"y\",\"dtype\":\"i32\","
        "\"shape\":[\"n\"]}],\"variables\":[{\"name\":\"w\",\"dtype\":\"f32\",\"shape\":[4,2],"
        "\"init\":\"glorot_uniform\"},{\"name\":\"b\",\"dtype\":\"f32\",\"shape\":[2]}],"
        "\"nodes\":[{\"name\":\"z\",\"op\":\"dense\",\"inputs\":[\"x\",\"w\",\"b\"]},{\"name\":"
        "\"loss\",\"op\":\"sparse_softmax_cross_entropy\",\"inputs\":[\"z\",\"y\"]}],"
        "\"outputs\":[\"z\"],\"training\":{\"loss\":\"loss\",\"optimizer\":{\"op\":\"sgd\","
        "\"learning_rate\":1},\"metrics\":[\"accuracy\"],\"epochs\":50}}");
    ran(0, "rill train idx.json --data idx");
    said(command_out, "\nparameters in idx.safetensors\n");
    ran(0, "rill eval idx.json --params idx.safetensors --data idx --json"); /* t10k, gzip */
    printed_json();
    said(command_out, "\"metrics\": {\"accuracy\": 1}");
    ran(2, "mkdir empty; rill eval idx.json --params idx.safetensors --data empty");
}

static void test_data_shows_and_writes(void **state)
{
    (void)state;
    ran(0, "rill data 'synthetic:xor?rows=4'");
    said(command_out, "4 rows\n\ncolumn       type                        least     greatest");
    said(command_out, "\nx            f32[4,2] ");
    said(command_out,
         "\ny            i32[4]                          0            1          0.5\n");
    ran(0, "rill data 'synthetic:xor?rows=4' -o -");
    assert_int_equal(strncmp(command_out, "x.0,x.1,y\n", 10), 0);
    ran(0,
        "rill data 'synthetic:xor?rows=4' -o - >a && rill data 'synthetic:xor?rows=4' -o x.csv && "
        "cmp a x.csv");
    printed("", "");
    /* What is written reads back to the same bits: trained on, it gives the same parameters. */
    ran(0, "rill data 'synthetic:surrealism?rows=200' -o s.csv && "
           "cp " RILL_SOURCE_DIR "/docs/lessons/surrealism-0.json . && "
           "rill train surrealism-0.json --data s.csv --epochs 3 --save c.safetensors && "
           "rill train surrealism-0.json --data 'synthetic:surrealism?rows=200' --epochs 3 --save "
           "d.safetensors");
    same_bytes("c.safetensors", "d.safetensors");
    ran(0,
        "rill data 'synthetic:digits?rows=3' --split test -o d.npz && rill plot d.npz -x y -y y -o "
        "d.svg 2>err || grep -q 'has 3 axes' err");
    ran(0, "rill data s.csv -o again.csv && cmp s.csv again.csv");
    ran(2, "rill data synthetic:xor -o x.txt");
    said(command_err,
         "rill data: -o: expected a file name that ends in .csv, .npz or .safetensors");
    ran(2, "rill data synthetic:xor --split val");
    said(command_err, "--split: expected train or test, got \"val\"");
    ran(2, "rill data");
    said(command_err, "rill data: SPEC is missing; usage: rill data SPEC [-o FILE]");
    ran(4, "rill data synthetic:xor -o none/x.csv");
    ran(2, "rill data synthetic:xr");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_shows_and_writes),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_names_of_metrics),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_idx_folder),
    };
    return cmocka_run_group_tests(tests, begin_trained, end_commands);
}
