/* The training loop: it learns, it weighs by rows, it stops when told, and its bits depend neither
 * on the number of threads nor on a pause between epochs. */
#include "xor_model.h"

#include <math.h>

/* ---- learning ------------------------------------------------------------------------------- */

static void learns_xor(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 16, 0.1);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_dataset *data = xor_data("synthetic:xor", "train");
    rill_dataset *test = xor_data("synthetic:xor", "test");
    rill_session *s = new_session(g, 1, 5);
    double before, after, accuracy;
    must(rill_evaluate(s, test, 0, &before, NULL, err));
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.epochs = 20;
    must(rill_fit(s, data, &o, err));
    must(rill_evaluate(s, test, 0, &after, &accuracy, err));
    assert_true(after < 0.2 && after < before / 3);
    assert_true(accuracy >= 0.98);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_dataset_destroy(test);
    rill_graph_destroy(g);
}

/* ---- the same bits -------------------------------------------------------------------------- */

static rill_session *trained(const rill_graph *g, const rill_dataset *data, int threads)
{
    rill_session *s = new_session(g, threads, 9);
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.epochs = 3;
    must(rill_fit(s, data, &o, err));
    return s;
}

static void threads_do_not_change_bits(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 64, 0.3);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_dataset *data = xor_data("synthetic:xor?rows=300", "train");
    rill_session *one = trained(g, data, 1);
    static const int threads[] = {1, 2, 8};
    for (size_t i = 0; i < RILL_LEN(threads); i++) {
        rill_session *other = trained(g, data, threads[i]);
        assert_same_variables(one, other);
        rill_session_destroy(other);
    }
    rill_session_destroy(one);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* ---- steps, rows, progress ------------------------------------------------------------------ */

typedef struct heard {
    int64_t steps, ends, last_step_of_epoch, stop_at;
    double loss, validation_loss, validation_accuracy;
    bool has_validation;
    int64_t first_epoch;
} heard;

static bool hear(void *user, const rill_progress *p)
{
    heard *h = user;
    if (h->first_epoch == 0) h->first_epoch = p->epoch;
    assert_int_equal(p->n_metrics, 1);
    assert_string_equal(p->metric_names[0], "accuracy");
    assert_true(p->metrics[0] >= 0 && p->metrics[0] <= 1);
    h->last_step_of_epoch = p->step;
    h->loss = p->loss;
    if (p->epoch_done) {
        h->ends++;
        h->has_validation = p->has_validation;
        h->validation_loss = p->validation_loss;
        if (p->has_validation) h->validation_accuracy = p->validation_metrics[0];
        return true;
    }
    h->steps++;
    return h->stop_at == 0 || h->steps < h->stop_at;
}

/* seed P4, R3, R9: 400 rows, of which the last 400 - floor(400 * 0.8) = 80 validate; batches of 50:
 * six, and one of 20. */
static void counts_steps_and_validates(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_dataset *data = xor_data("synthetic:xor", "train");
    rill_session *s = new_session(g, 1, 0);
    heard h = {0};
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.batch_size = 50;
    o.epochs = 2;
    o.validation_split = 0.2;
    o.progress = hear;
    o.progress_user = &h;
    must(rill_fit(s, data, &o, err));
    assert_int_equal(h.steps, 14);
    assert_int_equal(h.ends, 2);
    assert_int_equal(h.last_step_of_epoch, 7);
    assert_int_equal(rill_session_step(s), 14);
    assert_true(h.has_validation);

    /* The validation figures are those of the last 80 rows. */
    const rill_tensor *x, *y;
    rill_dataset_column(data, 0, &x);
    rill_dataset_column(data, 1, &y);
    rill_tensor *last_x, *last_y;
    must(rill_tensor_from(NULL, RILL_F32, RILL_SHAPE(80, 2), (const float *)x->data + 640, 640,
                          &last_x, err));
    must(rill_tensor_from(NULL, RILL_I32, RILL_SHAPE(80), (const int32_t *)y->data + 320, 320,
                          &last_y, err));
    rill_dataset *held;
    must(rill_dataset_create(NULL, &held, err));
    must(rill_dataset_add(held, "x", last_x, err));
    must(rill_dataset_add(held, "y", last_y, err));
    double loss, accuracy;
    must(rill_evaluate(s, held, 50, &loss, &accuracy, err));
    assert_true(loss == h.validation_loss && accuracy == h.validation_accuracy);

    rill_dataset_destroy(held);
    rill_tensor_destroy(last_x);
    rill_tensor_destroy(last_y);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* Means are weighted by rows: batches of 30 + 30 + 30 + 10 give what one of 100 gives. */
static void figures_are_weighted_by_rows(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    must(rill_graph_prepare_evaluation(g, err));
    rill_dataset *data = xor_data("synthetic:xor", "test");
    rill_session *s = new_session(g, 1, 0);
    double whole[2], parts[2];
    must(rill_evaluate(s, data, 100, &whole[0], &whole[1], err));
    must(rill_evaluate(s, data, 30, &parts[0], &parts[1], err));
    assert_true(fabs(whole[0] - parts[0]) < 1e-6 && fabs(whole[1] - parts[1]) < 1e-6);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

static void stops_after_the_step_when_told(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_dataset *data = xor_data("synthetic:xor", "train");
    rill_session *s = new_session(g, 1, 0);
    heard h = {.stop_at = 3};
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.progress = hear;
    o.progress_user = &h;
    refuses(rill_fit(s, data, &o, err), RILL_ERR_CANCELLED,
            "fit: cancelled after step 3 of epoch 1");
    assert_int_equal(rill_session_step(s), 3);
    h = (heard){0};
    must(rill_fit(s, data, &o, err)); /* the session is usable */
    assert_int_equal(h.ends, 10);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* ---- memory --------------------------------------------------------------------------------- */

typedef struct counter {
    int64_t allocations;
    int64_t at_step_2;
} counter;

static void *counted_alloc(void *user, size_t size, size_t align)
{
    ((counter *)user)->allocations++;
    void *p = NULL;
    return posix_memalign(&p, align < sizeof p ? sizeof p : align, size) == 0 ? p : NULL;
}

static void counted_release(void *user, void *p, size_t size)
{
    (void)user;
    (void)size;
    free(p);
}

static bool watch(void *user, const rill_progress *p)
{
    counter *c = user;
    if (p->epoch == 1 && p->step == 2) c->at_step_2 = c->allocations;
    return true;
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    counter c = {0};
    rill_allocator allocator = RILL_ALLOCATOR_INIT;
    allocator.user = &c;
    allocator.alloc = counted_alloc;
    allocator.release = counted_release;
    rill_context_options options = RILL_CONTEXT_OPTIONS_INIT;
    options.allocator = &allocator;
    rill_context *ctx;
    must(rill_context_create(&options, &ctx, err));
    rill_graph *g = xor_graph(ctx, 8, 0.2);
    must(rill_graph_prepare_training(g, NULL, err));
    rill_dataset *data;
    must(rill_dataset_open(ctx, "synthetic:xor?rows=100", "train", 0, &data, err));
    rill_session *s = new_session(g, 1, 0);
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.epochs = 3;
    o.validation_split = 0.1;
    o.progress = watch;
    o.progress_user = &c;
    must(rill_fit(s, data, &o, err));
    assert_true(c.at_step_2 > 0);
    assert_int_equal(c.allocations, c.at_step_2);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
    rill_context_destroy(ctx);
}

/* ---- predictions, statistics ---------------------------------------------------------------- */

/* seed V6 */
static void predicts_all_rows(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    must(rill_graph_prepare_evaluation(g, err));
    rill_dataset *data = xor_data("synthetic:xor", "test");
    rill_session *s = new_session(g, 1, 0);
    rill_tensor *whole, *parts;
    must(rill_predict(s, data, 100, &whole, err));
    must(rill_predict(s, data, 30, &parts, err));
    rill_shape want = RILL_SHAPE(100, 1);
    assert_true(rill_shape_equal(&parts->type.shape, &want));
    for (int64_t i = 0; i < 100; i++)
        assert_true(fabs(rill_tensor_get(whole, i) - rill_tensor_get(parts, i)) < 1e-6);
    rill_tensor_destroy(whole);
    rill_tensor_destroy(parts);
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

static void running_statistics_move(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    must(rill_graph_prepare_training(g, NULL, err));
    must(rill_update_statistics(g, err)); /* again: nothing is left to do */
    rill_dataset *data = xor_data("synthetic:xor", "train");
    rill_session *s = new_session(g, 1, 0);
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.epochs = 1;
    must(rill_fit(s, data, &o, err));
    const rill_tensor *mean = rill_session_get(s, rill_graph_find(g, "norm/mean"));
    const rill_tensor *variance = rill_session_get(s, rill_graph_find(g, "norm/variance"));
    for (int64_t i = 0; i < 4; i++) {
        assert_true(rill_tensor_get(mean, i) != 0);
        assert_true(rill_tensor_get(variance, i) > 0 && rill_tensor_get(variance, i) != 1);
    }
    rill_session_destroy(s);
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void refuses_what_is_not_ready(void **state)
{
    (void)state;
    rill_graph *g = xor_graph(NULL, 4, 0);
    rill_dataset *data = xor_data("synthetic:xor", "train");
    rill_session *s = new_session(g, 1, 0);
    refuses(rill_fit(s, data, NULL, err), RILL_ERR_INVALID,
            "graph \"test\" is not prepared: call rill_graph_prepare_training or "
            "rill_graph_prepare_evaluation before the session is created");
    rill_session_destroy(s);
    must(rill_graph_prepare_evaluation(g, err));
    s = new_session(g, 1, 0);
    refuses(rill_fit(s, data, NULL, err), RILL_ERR_INVALID,
            "fit: graph \"test\" has no updates: call rill_graph_prepare_training before the "
            "session is created");
    rill_session_destroy(s);
    must(rill_graph_prepare_training(g, NULL, err));
    s = new_session(g, 1, 0);
    rill_fit_options o = RILL_FIT_OPTIONS_INIT;
    o.validation_split = 1;
    refuses(rill_fit(s, data, &o, err), RILL_ERR_INVALID,
            "fit: validation_split: expected a number in [0, 1), got 1");
    o.validation_split = 0.999;
    refuses(rill_fit(s, data, &o, err), RILL_ERR_INVALID,
            "fit: the validation split leaves none of 400 rows to train on");
    o.validation_split = 0.2;
    o.validation = data;
    refuses(rill_fit(s, data, &o, err), RILL_ERR_INVALID,
            "fit: give a validation data set or a validation split, not both");
    o = (rill_fit_options)RILL_FIT_OPTIONS_INIT;
    o.batch_size = -1;
    refuses(rill_fit(s, data, &o, err), RILL_ERR_INVALID, "batch size: expected 1 or more, got -1");
    rill_session_destroy(s);
    refuses(rill_graph_prepare_training(g, NULL, err), RILL_ERR_INVALID,
            "optimizer: graph \"test\" has one already: there is a node \"opt/step\"");
    rill_dataset_destroy(data);
    rill_graph_destroy(g);
}

static void names_what_to_add_for_a_loss(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(rill_symbol(g, "batch"), 2));
    refuses(rill_graph_prepare_training(g, NULL, err), RILL_ERR_INVALID,
            "graph \"test\" has no loss: add \"training\": {\"loss\": \"NAME\"} to its JSON, or "
            "call rill_graph_set_training");
    rill_value cost = rill_reduce_mean(rill_named(g, "cost"), x, RILL_ALL_AXES, false);
    assert_int_equal(rill_output(g, cost), RILL_OK);
    refuses(rill_graph_prepare_training(g, NULL, err), RILL_ERR_INVALID,
            "graph \"test\" has no loss: add \"training\": {\"loss\": \"cost\"} to its JSON, or "
            "call rill_graph_set_training");
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_xor),
        cmocka_unit_test(threads_do_not_change_bits),
        cmocka_unit_test(counts_steps_and_validates),
        cmocka_unit_test(figures_are_weighted_by_rows),
        cmocka_unit_test(stops_after_the_step_when_told),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(predicts_all_rows),
        cmocka_unit_test(running_statistics_move),
        cmocka_unit_test(refuses_what_is_not_ready),
        cmocka_unit_test(names_what_to_add_for_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
