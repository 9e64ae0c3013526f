/* Checkpoints and parameter files: going on gives the bits of one run; what does not fit is refused
 * with its name, and then nothing has changed. */
#include "xor_model.h"

#include <unistd.h>

static char folder[64], path[100];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/rill-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void fit_epochs(rill_session *s, const rill_dataset *data, int64_t first, int64_t epochs)
{
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.first_epoch = first;
    o.epochs = epochs;
    must(rill_fit(s, data, &o, err));
}

static rill_graph *prepared(void)
{
    rill_graph *g = xor_graph(NULL, 8, 0.3);
    must(rill_graph_prepare_training(g, NULL, err));
    return g;
}

/* 5 epochs, a file, another session (and other threads), 5 epochs: the bits of 10. */
static void resuming_gives_the_bits_of_one_run(void **state)
{
    (void)state;
    rill_graph *g = prepared();
    rill_dataset *data = xor_data("synthetic:xor?rows=150", "train");
    rill_session *whole = new_session(g, 1, 21), *first = new_session(g, 1, 21);
    fit_epochs(whole, data, 0, 10);
    fit_epochs(first, data, 0, 5);
    must(rill_checkpoint_save(first, path, 5, err));
    rill_session_destroy(first);
    rill_session *second = new_session(g, 2, 21);
    int64_t epoch = 0;
    must(rill_checkpoint_load(second, path, &epoch, err));
    assert_int_equal(epoch, 5);
    assert_int_equal(rill_session_step(second), 25);
    fit_epochs(second, data, epoch, 10);
    assert_same_variables(whole, second);
    rill_session_destroy(second);
    rill_session_destroy(whole);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* Parameters leave the optimiser's state out and go into a graph without one. */
static void parameters_come_back(void **state)
{
    (void)state;
    rill_graph *g = prepared(), *plain = xor_graph(NULL, 8, 0.3);
    rill_dataset *data = xor_data("synthetic:xor?rows=100", "train");
    rill_session *s = new_session(g, 1, 2);
    fit_epochs(s, data, 0, 1);
    must(rill_params_save(s, path, err));
    rill_bundle *b;
    must(rill_bundle_load(NULL, path, &b, err));
    assert_int_equal(rill_bundle_count(b), 7);
    assert_null(rill_bundle_find(b, "opt/m/w1"));
    rill_bundle_destroy(b);

    must(rill_graph_prepare_evaluation(plain, err));
    rill_session *t = new_session(plain, 1, 3);
    must(rill_params_load(t, path, err));
    double loss[2];
    must(rill_evaluate(s, data, 0, &loss[0], NULL, err));
    must(rill_evaluate(t, data, 0, &loss[1], NULL, err));
    assert_true(loss[0] == loss[1]);

    must(rill_checkpoint_save(s, path, 1, err)); /* a checkpoint has the parameters too */
    must(rill_params_load(t, path, err));
    rill_session_destroy(t);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(plain);
    rill_graph_destroy(g);
}

static void refuse_load(rill_session *s, bool checkpoint, const char *rest)
{
    char message[400];
    snprintf(message, sizeof message, "\"%s\"%s", path, rest);
    int64_t epoch = -7;
    refuses(checkpoint ? rill_checkpoint_load(s, path, &epoch, err)
                       : rill_params_load(s, path, err),
            RILL_ERR_INVALID, message);
    assert_int_equal(epoch, -7);
}

/* Saves the parameters of `s` but for `skip`, with `extra` of the given type added. */
static void save_changed(const rill_session *s, const char *skip, const char *extra,
                         rill_dtype dtype, rill_shape shape)
{
    const rill_graph *g = rill_session_graph(s);
    rill_bundle *b;
    must(rill_bundle_create(NULL, &b, err));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const rill_node_s *node = &g->nodes[i];
        if (node->kind != RILL_NODE_VARIABLE || strcmp(node->name, skip) == 0) continue;
        must(rill_bundle_add(b, node->name, rill_session_get(s, rill_node_value(node, 0)), err));
    }
    rill_tensor *t;
    must(rill_tensor_create(NULL, dtype, shape, &t, err));
    if (extra) must(rill_bundle_add(b, extra, t, err));
    must(rill_bundle_save(b, path, err));
    rill_tensor_destroy(t);
    rill_bundle_destroy(b);
}

static void refuses_files_that_do_not_fit(void **state)
{
    (void)state;
    rill_graph *g = prepared();
    rill_session *s = new_session(g, 1, 4), *same = new_session(g, 1, 4);
    rill_session *other_seed = new_session(g, 1, 5);
    must(rill_checkpoint_save(s, path, 3, err));
    refuse_load(other_seed, true,
                " was trained with seed 4, this session has seed 5: going on would not give the "
                "bits of one run");
    must(rill_params_save(s, path, err));
    refuse_load(s, true, " is no checkpoint: its metadata has no \"rill.step\"");
    save_changed(s, "w1", "w3", RILL_F32, RILL_SHAPE(2, 8));
    refuse_load(s, false, ": no tensor for variable \"w1\"; did you mean \"w2\"?");
    save_changed(s, "w1", "w1", RILL_F32, RILL_SHAPE(8, 2));
    refuse_load(s, false, ": tensor \"w1\" is f32[8,2], but the variable is f32[2,8]");
    save_changed(s, "w1", "w1", RILL_F64, RILL_SHAPE(2, 8));
    refuse_load(s, false, ": tensor \"w1\" is f64[2,8], but the variable is f32[2,8]");
    save_changed(s, "", "more", RILL_F32, RILL_SHAPE(1));
    refuse_load(s, false, ": tensor \"more\" is no variable of graph \"test\"");
    assert_same_variables(s, same);
    rill_session_destroy(s);
    rill_session_destroy(same);
    rill_session_destroy(other_seed);
    rill_graph_destroy(g);
}

static void refuses_metadata_that_is_no_number(void **state)
{
    (void)state;
    rill_graph *g = prepared();
    rill_session *s = new_session(g, 1, 4);
    static const char *const bad[] = {"", "-1", "1.5", "18446744073709551616"};
    for (size_t i = 0; i < RILL_LEN(bad); i++) {
        rill_bundle *b;
        must(rill_bundle_create(NULL, &b, err));
        must(rill_bundle_set_meta(b, "rill.step", bad[i], err));
        must(rill_bundle_save(b, path, err));
        rill_bundle_destroy(b);
        char rest[100];
        snprintf(rest, sizeof rest, ": metadata \"rill.step\": expected a whole number, got \"%s\"",
                 bad[i]);
        refuse_load(s, true, rest);
    }
    rill_session_destroy(s);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resuming_gives_the_bits_of_one_run),
        cmocka_unit_test(parameters_come_back),
        cmocka_unit_test(refuses_files_that_do_not_fit),
        cmocka_unit_test(refuses_metadata_that_is_no_number),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
