/* rill train: what it prints and writes, cut and continued trainings, threads, interrupts. */
#define _GNU_SOURCE
#include "command.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>

#define XOR "rill train xor.json --data 'synthetic:xor?rows=80'"
/* Dropout, so the counters of the random ops count. */
#define DIGITS "rill train mnist_mlp.json --data 'synthetic:digits?rows=200' --batch-size 64"

static void test_prints_lines(void **state)
{
    (void)state;
    ran(0, XOR " --epochs 2 --threads 1 --validation-split 0.25 --save p.safetensors");
    assert_string_equal(command_err,
                        "rill train: 80 rows of synthetic:xor?rows=80, 1 thread, seed 0\n");
    said(command_out, "epoch 1/2  step 4  loss 0.");
    said(command_out, "\nepoch 2/2  step 8  loss 0.");
    said(command_out, "  sparse_categorical_accuracy 0.");
    said(command_out, "  val_loss 0.");
    said(command_out, "  val_sparse_categorical_accuracy 0.");
    said(command_out, " samples/s\n");
    said(command_out, "\nparameters in p.safetensors\n");
    assert_null(strchr(command_err, '\r'));
    ran(0, "test $(rill run xor.json --params p.safetensors --output out/bias | wc -l) = 1");
}

static void test_default_file_and_force(void **state)
{
    (void)state;
    ran(0, "rm -f *.safetensors; " XOR " --epochs 1");
    said(command_out, "\nparameters in xor.safetensors\n");
    ran(2, XOR " --epochs 2");
    printed("", "rill train: xor.safetensors exists; --force replaces it\n");
    ran(0, "cp xor.safetensors old; " XOR " --epochs 2 --force; ! cmp -s old xor.safetensors");
    ran(0, "rm xor.safetensors; " XOR " --epochs 1 --checkpoint c.safetensors");
    said(command_out, "\ncheckpoint in c.safetensors\n");
    assert_false(is_there("xor.safetensors")); /* --checkpoint alone writes nothing else */
    ran(2, XOR " --epochs 1 --checkpoint c.safetensors");
    printed("",
            "rill train: c.safetensors exists; --force replaces it, --resume goes on from it\n");
    ran(0, XOR " --epochs 1 --save p.npz && rill run xor.json --params p.npz --output out/bias");
}

static void test_targets_are_checked_before_work(void **state)
{
    static const struct {
        int status;
        const char *options, *message;
    } rows[] = {
        {2, "--save a.txt", "--save: expected a file name that ends in .safetensors or .npz"},
        {2, "--checkpoint a.npz", "--checkpoint: expected a file name that ends in .safetensors"},
        {2, "--save a.safetensors --checkpoint a.safetensors", "--save and --checkpoint: "},
        {4, "--save none/a.npz", "none/a.npz: cannot write: No such file or directory"},
        {4, "--history none/h.csv", "none/h.csv: cannot write: No such file or directory"},
        {4, "--history .", ".: cannot write: it is a folder"},
        {2, "--save-best los", "--save-best: expected loss, sparse_categorical_accuracy (val_... "},
        {2, "--save-best val_loss", "--save-best: expected loss, "},
        {2, "--validation-split 0.2 --save-best val_los", "--save-best: expected loss, "},
        {2, "--epochs 0", "--epochs: expected an integer from 1 to"},
        {2, "--batch-size 0", "--batch-size: expected an integer from 1 to"},
        {2, "--validation-split 1", "--validation-split: expected a share from 0 to below 1"},
        {2, "--validation-split -0.1", "--validation-split: expected a share from 0 to below 1"},
        {2, "--learning-rate 0", "--learning-rate: expected a positive number, got \"0\""},
        {2, "--optimizer adagrad", "--optimizer: expected sgd, rmsprop, adam or adamw, got"},
        {2, "--resume none.safetensors", "none.safetensors: cannot open: No such file"},
        {2, "--resume xor.json", "xor.json: expected a file name that ends in"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ran(rows[i].status, "rm -f *.safetensors *.npz; " XOR " --epochs 1 %s", rows[i].options);
        assert_string_equal(command_out, "");
        assert_int_equal(strncmp(command_err, "rill train: ", 12), 0);
        if (strncmp(command_err + 12, rows[i].message, strlen(rows[i].message)) != 0)
            fail_msg("%s: %s", rows[i].options, command_err);
    }
    ran(2, "rill train xor.json");
    printed("", "rill train: --data SPEC is missing, as in --data synthetic:digits\n");
    ran(2, "rill train xor.json --data synthetic:xr");
    said(command_err,
         "there are digits, spirals, xor, regression and surrealism; did you mean \"xor\"?");
    ran(2, "rill train xor.json --data none.csv");
    ran(2, "rill train xor.json --data synthetic:digits"); /* does not fit the input */
    said(command_err, "input \"x\" takes f32[2]");
    write_text("plain.json", "{\"format\":\"rill-graph\",\"version\":1,\"name\":\"plain\","
                             "\"inputs\":[{\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[]}],"
                             "\"outputs\":[\"x\"]}");
    ran(2, "rill train plain.json --data synthetic:xor");
    said(command_err, "graph \"plain\" has no loss");
}

/* Two parts give the bits of the whole, also in the files beside. */
static void test_resume_gives_the_same_bits(void **state)
{
    (void)state;
    ran(0, "rm -f *.safetensors; " XOR
           " --epochs 5 --validation-split 0.25 --checkpoint c.safetensors "
           "--history h.csv --save-best val_loss --save b.safetensors && " XOR
           " --epochs 5 --validation-split 0.25 --checkpoint c.safetensors --resume c.safetensors "
           "--history h.csv --save-best val_loss --save b.safetensors");
    said(command_out, "epoch 6/10  step 24  ");
    ran(0,
        XOR " --epochs 10 --validation-split 0.25 --checkpoint c10.safetensors --history h10.csv "
            "--save-best val_loss --save b10.safetensors");
    same_bytes("c.safetensors", "c10.safetensors");
    same_bytes("b.safetensors", "b10.safetensors");
    ran(0, "cut -d, -f1-5 h.csv >a; cut -d, -f1-5 h10.csv | cmp - a");
    ran(0, DIGITS " --epochs 2 --seed 5 --checkpoint d.safetensors && " DIGITS
                  " --epochs 2 --resume d.safetensors --save d4.safetensors && " DIGITS
                  " --epochs 4 --seed 5 --save whole.safetensors");
    said(command_err, "seed 5\n"); /* taken from the checkpoint */
    same_bytes("d4.safetensors", "whole.safetensors");
}

static void test_resume_edges(void **state)
{
    (void)state;
    ran(0, "rm -f *.safetensors h.csv; " XOR " --epochs 20 --checkpoint c.safetensors");
    ran(0, XOR " --resume c.safetensors --save p.safetensors"); /* the block says 20 */
    said(command_err, "rill train: all 20 epochs are done; --epochs N trains N more\n");
    printed("parameters in p.safetensors\n", command_err);
    ran(2, XOR " --resume c.safetensors --seed 1");
    said(command_err, "was trained with seed 0, this session has seed 1");
    ran(2, DIGITS " --resume c.safetensors");
    ran(2, XOR " --resume p.safetensors"); /* parameters are no checkpoint */
    said(command_err, "is no checkpoint");
    write_text("h.csv", "epoch,loss\n1,2\n");
    ran(2, XOR " --epochs 1 --resume c.safetensors --history h.csv");
    said(command_err, "--history: h.csv has other columns than this training");
    /* A best epoch that is not known gets a warning. */
    ran(0, XOR " --epochs 1 --resume c.safetensors --save-best loss --save p.safetensors");
    said(command_err, "warning: p.safetensors does not say how good it is by loss");
}

/* A worse epoch does not replace a better one, also after a break. */
static void test_save_best_keeps_the_best(void **state)
{
    (void)state;
    ran(0, "rm -f *.safetensors; " XOR
           " --epochs 3 --save-best loss --checkpoint c.safetensors --save b.safetensors");
    said(command_out, "\nparameters of the best epoch (loss 0.");
    ran(0, "cp b.safetensors old; " XOR " --epochs 2 --resume c.safetensors --learning-rate 50 "
           "--save-best loss --save b.safetensors");
    same_bytes("old", "b.safetensors");
}

static void test_history(void **state)
{
    (void)state;
    char text[4000];
    ran(0, "rm -f *.safetensors h.csv; " XOR " --epochs 3 --history h.csv --seed 2");
    said(command_out, "\nhistory in h.csv\nparameters in xor.safetensors\n");
    read_text("h.csv", text, sizeof text);
    assert_int_equal(
        strncmp(text, "epoch,loss,sparse_categorical_accuracy,samples_per_second\n1,0.", 61), 0);
    ran(0, "test $(wc -l <h.csv) = 4 && tail -n 1 h.csv | grep -E -x "
           "'3,0\\.[0-9]{12,18},(0\\.[0-9]+|1),[0-9]+\\.[0-9]'");
}

/* The number of threads does not show in any bit. */
static void test_threads_give_the_same_bits(void **state)
{
    (void)state;
    ran(0, "rm -f *.safetensors; for n in 1 2 8; do " DIGITS
           " --epochs 2 --threads $n --save t$n.safetensors --checkpoint c$n.safetensors; done");
    same_bytes("t1.safetensors", "t2.safetensors");
    same_bytes("t1.safetensors", "t8.safetensors");
    same_bytes("c1.safetensors", "c2.safetensors");
    same_bytes("c1.safetensors", "c8.safetensors");
    ran(0, DIGITS " --epochs 2 --save again.safetensors && cmp t1.safetensors again.safetensors && "
                  "LC_ALL=de_DE.UTF-8 " DIGITS " --epochs 2 --force --save again.safetensors");
    same_bytes("t1.safetensors", "again.safetensors");
    ran(0, DIGITS " --epochs 2 --seed 1 --save other.safetensors; ! cmp -s t1.safetensors "
                  "other.safetensors");
}

static void test_optimizer_and_data_seed(void **state)
{
    (void)state;
    ran(0,
        "rm -f *.safetensors; for o in sgd rmsprop adam adamw; do " XOR
        " --epochs 1 --optimizer $o --learning-rate 0.01 --save $o.safetensors; done; "
        "! cmp -s sgd.safetensors adam.safetensors && ! cmp -s adam.safetensors adamw.safetensors");
    ran(0,
        "for s in 0 7; do rill train xor.json --data \"synthetic:xor?rows=80&seed=$s\" --epochs 1 "
        "--save s$s.safetensors; done; " XOR " --epochs 1 --save s.safetensors; "
        "cmp s.safetensors s0.safetensors && ! cmp -s s0.safetensors s7.safetensors");
    ran(2, "rill train xor.json --data 'synthetic:xor?sed=1' --force");
    said(command_err, "\"?rows=N&seed=S\", got \"?sed=1\"");
}

/* A function that is walked down: an epoch is a step; the history has the path, start included. */
static void test_no_data_and_watched_variables(void **state)
{
    static const char valley[] =
        "{\"format\": \"rill-graph\", \"version\": 1, \"name\": \"valley\", \"variables\": "
        "[{\"name\": \"p\", \"dtype\": \"f64\", \"shape\": [2], \"init\": {\"op\": \"data\", "
        "\"data\": [-2, 1]}}], \"nodes\": [{\"name\": \"q\", \"op\": \"square\", \"inputs\": "
        "[\"p\"]}, {\"name\": \"loss\", \"op\": \"reduce_sum\", \"inputs\": [\"q\"]}], "
        "\"outputs\": [\"loss\"], \"training\": {\"loss\": \"loss\", \"optimizer\": {\"op\": "
        "\"sgd\", \"learning_rate\": 0.25}, \"epochs\": 3}}";
    (void)state;
    write_text("valley.json", valley);
    ran(0, "rm -f *.safetensors; rill train valley.json --history v.csv --watch "
           "opt/learning_rate,p --threads 1");
    assert_string_equal(command_err, "rill train: no data, 1 thread, seed 0\n");
    said(command_out, "epoch 3/3  step 3  loss 0.312500  ");
    ran(0, "cut -d, -f1,2,4- v.csv"); /* p halves with each step */
    printed("epoch,loss,opt/learning_rate,p.0,p.1\n0,nan,0.25,-2,1\n1,5,0.25,-1,0.5\n"
            "2,1.25,0.25,-0.5,0.25\n3,0.3125,0.25,-0.25,0.125\n",
            "");
    ran(0, "rill train valley.json --epochs 2 --checkpoint c.safetensors --history w.csv --watch p "
           "&& rill train valley.json --resume c.safetensors --save r.safetensors --history w.csv "
           "--watch p --plot w.svg && cut -d, -f1,2,5 v.csv >a && cut -d, -f1,2,4 w.csv | cmp - a");
    ran(0, "grep -c 'training: 3 numbers, first 5, last 0.3125' w.svg");
    ran(2, "rill train valley.json --data synthetic:xor --force");
    said(command_err, "the graph has no inputs, so it trains without --data");
    ran(2, "rm -f valley.safetensors; rill train valley.json --report r.html");
    said(command_err, "--report judges rows of data, and the graph has no inputs");
    ran(1, "test -e valley.safetensors || test -e r.html"); /* told before anything is done */
    ran(2, "rill train valley.json --watch p --force");
    said(command_err, "--watch goes into the history: name its file with --history");
    ran(2, "rill train valley.json --watch loss --history a.csv --force");
    said(command_err, "--watch: \"loss\" is no variable");
    ran(2, "rill train valley.json --validation-split 0.5 --force");
    said(command_err, "graph \"valley\" has no inputs, so there is no data to train on");
    ran(2, DIGITS " --watch dense1/weight --history a.csv --save b.safetensors");
    said(command_err, "--watch: up to 256 numbers can be watched, \"dense1/weight\" has 200704");
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static pid_t start_long_training(const char *checkpoint)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) return child;
    int fd = open(".long", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execl(RILL_EXE, "rill", "train", "xor.json", "--data", "synthetic:xor?rows=80", "--epochs",
          "1000000", "--checkpoint", checkpoint, "--threads", "1", (char *)NULL);
    _exit(127);
}

static void test_interrupt_leaves_a_checkpoint(void **state)
{
    (void)state;
    char text[1 << 16];
    int status;
    remove("i.safetensors");
    pid_t child = start_long_training("i.safetensors");
    for (int i = 0; i < 3000 && !is_there("i.safetensors"); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    kill(child, SIGINT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    ran(0, "tail -n 1 .long");
    read_text(".out", text, sizeof text);
    said(text, "rill train: interrupted; i.safetensors holds epoch ");
    said(text, ": go on with --resume i.safetensors\n");
    ran(0, "test $(ls -A | grep -c i.safetensors) = 1"); /* no temporary file is left */
    ran(0, XOR " --epochs 1 --resume i.safetensors --force");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prints_lines),
        cmocka_unit_test(test_default_file_and_force),
        cmocka_unit_test(test_targets_are_checked_before_work),
        cmocka_unit_test(test_resume_gives_the_same_bits),
        cmocka_unit_test(test_resume_edges),
        cmocka_unit_test(test_save_best_keeps_the_best),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_threads_give_the_same_bits),
        cmocka_unit_test(test_optimizer_and_data_seed),
        cmocka_unit_test(test_no_data_and_watched_variables),
        cmocka_unit_test(test_interrupt_leaves_a_checkpoint),
    };
    return RUN_COMMAND_TESTS(tests);
}
