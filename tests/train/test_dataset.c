/* Data sets: what rill makes itself (goldens by hash, any machine), files, how columns feed inputs,
 * and the batches that are gathered. */
#include "training.h"

#include <math.h>
#include <unistd.h>

static rill_dataset *open_set(const char *spec, const char *split, uint64_t seed)
{
    rill_dataset *d;
    must(rill_dataset_open(NULL, spec, split, seed, &d, err));
    return d;
}

static const rill_tensor *column(const rill_dataset *d, const char *name)
{
    const rill_tensor *t;
    for (size_t i = 0; i < rill_dataset_n_columns(d); i++)
        if (strcmp(rill_dataset_column(d, i, &t), name) == 0) return t;
    fail_msg("no column \"%s\"", name);
    return NULL;
}

static uint64_t hash(const rill_tensor *t)
{
    return rill_fnv1a(t->data, t->bytes);
}

/* ---- what rill makes ------------------------------------------------------------------------ */

static void synthetic_sets_are_fixed(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *split;
        uint64_t x, y;
    } rows[] = {
        {"synthetic:digits?rows=100", "train", 0x8cf18a67a93a509e, 0xb6d94f28cfcf44f5},
        {"synthetic:digits?rows=100", "test", 0x491119d543288401, 0x597bd87c7b68e1e5},
        {"synthetic:spirals?rows=100", "train", 0x966cc1d53872a934, 0xeb3df0d747f5c345},
        {"synthetic:spirals?rows=100", "test", 0xb4bc28bf3b8d9e2c, 0xeb3df0d747f5c345},
        {"synthetic:xor?rows=100", "train", 0x64c7aa93bd97cde3, 0x08a960d164dbc655},
        {"synthetic:xor?rows=100", "test", 0xcc0ad324680a5a95, 0x08a960d164dbc655},
        {"synthetic:regression?rows=100", "train", 0xa521018c8a9e5e5f, 0x19b10fcccdb29650},
        {"synthetic:regression?rows=100", "test", 0x236ad2e3be5d1bc4, 0x75f289b02ee5683c},
    };
    for (size_t i = 0; i < RILL_LEN(rows); i++) {
        rill_dataset *d = open_set(rows[i].spec, rows[i].split, 7);
        assert_int_equal(hash(column(d, "x")), rows[i].x);
        assert_int_equal(hash(column(d, "y")), rows[i].y);
        rill_dataset_destroy(d);
    }
}

static void digits_have_a_shape_and_balance(void **state)
{
    (void)state;
    rill_dataset *d = open_set("synthetic:digits", "test", 0);
    assert_int_equal(rill_dataset_rows(d), 2000);
    const rill_tensor *x = column(d, "x"), *y = column(d, "y");
    assert_int_equal(x->type.dtype, RILL_U8);
    rill_shape want = RILL_SHAPE(2000, 28, 28);
    assert_true(rill_shape_equal(&x->type.shape, &want));
    assert_int_equal(y->type.dtype, RILL_I32);
    int counts[10] = {0};
    for (int64_t i = 0; i < 2000; i++) counts[(int)rill_tensor_get(y, i)]++;
    for (int k = 0; k < 10; k++) assert_int_equal(counts[k], 200);
    for (int64_t i = 0; i < 2000; i++) { /* ink in each, none at the rim */
        const uint8_t *image = (const uint8_t *)x->data + i * 784;
        int ink = 0, rim = 0;
        for (int k = 0; k < 784; k++) {
            ink += image[k] > 100;
            rim += image[k] > 0 && (k < 28 || k >= 756);
        }
        assert_in_range(ink, 15, 300);
        assert_int_equal(rim, 0);
    }
    rill_dataset_destroy(d);
}

/* More rows go on where fewer end; seed and split change all of them. */
static void rows_depend_on_their_number_alone(void **state)
{
    (void)state;
    rill_dataset *few = open_set("synthetic:digits?rows=50", "train", 3);
    rill_dataset *many = open_set("synthetic:digits?rows=200", "train", 3);
    rill_dataset *other = open_set("synthetic:digits?rows=50", "train", 4);
    assert_memory_equal(column(few, "x")->data, column(many, "x")->data, 50 * 784);
    assert_memory_equal(column(few, "y")->data, column(many, "y")->data, 50 * 4);
    assert_int_not_equal(hash(column(few, "x")), hash(column(other, "x")));
    rill_dataset_destroy(few);
    rill_dataset_destroy(many);
    rill_dataset_destroy(other);
}

static void refuses_specs(void **state)
{
    (void)state;
    rill_dataset *d;
    refuses(rill_dataset_open(NULL, "synthetic:digit", "train", 0, &d, err), RILL_ERR_NOT_FOUND,
            "data \"synthetic:digit\": no such set; there are digits, spirals, xor, regression and "
            "surrealism; "
            "did you mean \"digits\"?");
    refuses(rill_dataset_open(NULL, "synthetic:xor?rows=0", "train", 0, &d, err), RILL_ERR_INVALID,
            "data \"synthetic:xor?rows=0\": expected \"?rows=N\" with N from 1 to 100000000, "
            "\"?seed=S\", or \"?rows=N&seed=S\", got "
            "\"?rows=0\"");
    refuses(rill_dataset_open(NULL, "synthetic:xor?row=5", "train", 0, &d, err), RILL_ERR_INVALID,
            "data \"synthetic:xor?row=5\": expected \"?rows=N\" with N from 1 to 100000000, "
            "\"?seed=S\", or \"?rows=N&seed=S\", got "
            "\"?row=5\"");
    refuses(rill_dataset_open(NULL, "synthetic:xor", "val", 0, &d, err), RILL_ERR_INVALID,
            "data \"synthetic:xor\": expected the split \"train\" or \"test\", got \"val\"");
    refuses(rill_dataset_open(NULL, "/no/such/place", "train", 0, &d, err), RILL_ERR_NOT_FOUND,
            "data \"/no/such/place\": no such folder or file; expected an IDX folder, a .csv file, "
            "or synthetic:NAME");
    refuses(rill_dataset_open(NULL, "/dev/null", "train", 0, &d, err), RILL_ERR_INVALID,
            "data \"/dev/null\": expected an IDX folder, a .csv file, or synthetic:NAME");
    refuses(rill_dataset_open(NULL, "/", "train", 0, &d, err), RILL_ERR_NOT_FOUND,
            "data \"/\": no file \"train-images-idx3-ubyte\" or \"train-images-idx3-ubyte.gz\" in "
            "this folder");
}

/* ---- files ---------------------------------------------------------------------------------- */

/* A new folder under /tmp; the caller removes what it puts there. */
static void make_folder(char *path)
{
    strcpy(path, "/tmp/rill-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static void write_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static void remove_file(const char *folder, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

/* seed T6: the layout of MNIST */
static void reads_an_idx_folder(void **state)
{
    (void)state;
    static const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0,  0,  2,
                                     0, 0, 0, 3, /* 2 x 2 x 3 */
                                     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
    static const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 5, 9};
    static const uint8_t wrong[] = {0, 0, 8, 1, 0, 0, 0, 3, 5, 9, 1};
    char folder[64];
    make_folder(folder);
    write_file(folder, "t10k-images-idx3-ubyte", images, sizeof images);
    write_file(folder, "t10k-labels-idx1-ubyte", labels, sizeof labels);
    rill_dataset *d = open_set(folder, "test", 0);
    assert_int_equal(rill_dataset_rows(d), 2);
    assert_int_equal((int)rill_tensor_get(column(d, "x"), 11), 255);
    assert_int_equal((int)rill_tensor_get(column(d, "y"), 1), 9);
    rill_dataset_destroy(d);

    write_file(folder, "t10k-labels-idx1-ubyte", wrong, sizeof wrong);
    char message[300];
    snprintf(message, sizeof message,
             "data \"%s\": column \"y\": expected 2 rows as in \"x\", got 3", folder);
    refuses(rill_dataset_open(NULL, folder, "test", 0, &d, err), RILL_ERR_INVALID, message);
    remove_file(folder, "t10k-images-idx3-ubyte");
    remove_file(folder, "t10k-labels-idx1-ubyte");
    rmdir(folder);
}

/* seed P20 */
static void reads_a_csv_file(void **state)
{
    (void)state;
    static const char text[] = "a,b,class\n1,2,0\n3,4.5,2\n-1,0,1\n";
    char folder[64], path[100];
    make_folder(folder);
    write_file(folder, "t.csv", text, sizeof text - 1);
    snprintf(path, sizeof path, "%s/t.csv", folder);
    rill_dataset *d = open_set(path, "train", 0);
    assert_int_equal(rill_dataset_rows(d), 3);
    assert_int_equal(rill_dataset_n_columns(d), 3);
    assert_true(rill_tensor_get(column(d, "b"), 1) == 4.5);
    assert_true(rill_tensor_get(column(d, "class"), 2) == 1);
    rill_dataset_destroy(d);
    remove_file(folder, "t.csv");
    rmdir(folder);
}

/* ---- what feeds an input -------------------------------------------------------------------- */

/* A graph with inputs x and t of the given types, which its block names. */
typedef struct fed {
    rill_graph *g;
    rill_value in[2];
    rill_training training;
} fed;

static void make_fed(fed *f, rill_dtype x_dtype, rill_shape x_shape, rill_dtype t_dtype,
                     rill_shape t_shape)
{
    f->g = new_graph(NULL);
    x_shape.dims[0] = t_shape.dims[0] = rill_symbol(f->g, "batch");
    f->in[0] = rill_input(f->g, "x", x_dtype, x_shape);
    f->in[1] = rill_input(f->g, "t", t_dtype, t_shape);
    f->training = (rill_training)RILL_TRAINING_INIT;
    f->training.inputs = &f->in[0];
    f->training.targets = &f->in[1];
    f->training.n_inputs = f->training.n_targets = 1;
}

/* The one batch of all rows. */
static rill_batches one_batch(const fed *f, const rill_dataset *d, bool with_targets)
{
    rill_batches b;
    int64_t n = rill_dataset_rows(d);
    must(rill_batches_open(&b, f->g, &f->training, d, 0, n, n, with_targets, false, err));
    rill_batches_gather(&b, 0);
    return b;
}

static rill_dataset *two_columns(rill_tensor *x, const char *y_name, rill_tensor *y)
{
    rill_dataset *d;
    must(rill_dataset_create(NULL, &d, err));
    must(rill_dataset_take(d, "x", x, err));
    if (y) must(rill_dataset_take(d, y_name, y, err));
    return d;
}

/* seed P1, P2, P3, R8 */
static void images_are_scaled_and_labels_made_one_hot(void **state)
{
    (void)state;
    double pixels[8] = {0, 51, 102, 255, 1, 2, 3, 4};
    fed f;
    make_fed(&f, RILL_F32, RILL_SHAPE(0, 4), RILL_F32, RILL_SHAPE(0, 3));
    rill_dataset *d = two_columns(tensor_of(RILL_U8, RILL_SHAPE(2, 2, 2), pixels), "y",
                                  tensor_of(RILL_U8, RILL_SHAPE(2), (const double[]){2, 0}));
    rill_batches b = one_batch(&f, d, true);
    const float *x = b.feeds[0].tensor->data, *t = b.feeds[1].tensor->data;
    assert_true(x[1] == 51.0f / 255.0f && x[3] == 1.0f && x[4] == 1.0f / 255.0f);
    static const float one_hot[6] = {0, 0, 1, 1, 0, 0};
    assert_memory_equal(t, one_hot, sizeof one_hot);
    rill_batches_close(&b);
    rill_dataset_destroy(d);
    rill_graph_destroy(f.g);
}

static void labels_go_to_integers_and_single_floats(void **state)
{
    (void)state;
    const double x[2] = {0.5, -1}, y[2] = {1, 0};
    rill_dtype dtypes[2] = {RILL_I64, RILL_F32};
    for (int k = 0; k < 2; k++) {
        fed f;
        make_fed(&f, RILL_F64, RILL_SHAPE(0, 1), dtypes[k], RILL_SHAPE(0, 1));
        rill_dataset *d = two_columns(tensor_of(RILL_F32, RILL_SHAPE(2), x), "y",
                                      tensor_of(RILL_I32, RILL_SHAPE(2), y));
        rill_batches b = one_batch(&f, d, true);
        assert_int_equal(b.feeds[1].tensor->type.dtype, dtypes[k]);
        for (int i = 0; i < 2; i++) {
            assert_true(rill_tensor_get(b.feeds[0].tensor, i) == x[i]);
            assert_true(rill_tensor_get(b.feeds[1].tensor, i) == y[i]);
        }
        rill_batches_close(&b);
        rill_dataset_destroy(d);
        rill_graph_destroy(f.g);
    }
}

static rill_dataset *table(const char *const *names, int n)
{
    rill_dataset *d;
    must(rill_dataset_create(NULL, &d, err));
    for (int i = 0; i < n; i++) {
        double v[2] = {10 * i, 10 * i + 1};
        must(rill_dataset_take(d, names[i], tensor_of(RILL_F64, RILL_SHAPE(2), v), err));
    }
    return d;
}

/* By name; else the last column is the target and the others the input, side by side. */
static void columns_of_a_table_find_their_inputs(void **state)
{
    (void)state;
    static const char *const plain[3] = {"a", "b", "c"}, *const named[3] = {"t", "b", "c"};
    for (int k = 0; k < 2; k++) {
        fed f;
        make_fed(&f, RILL_F32, RILL_SHAPE(0, 2), RILL_F32, RILL_SHAPE(0, 1));
        rill_dataset *d = table(k ? named : plain, 3);
        rill_batches b = one_batch(&f, d, true);
        static const double want_x[2][4] = {{0, 10, 1, 11}, {10, 20, 11, 21}};
        static const double want_t[2][2] = {{20, 21}, {0, 1}};
        for (int i = 0; i < 4; i++)
            assert_true(rill_tensor_get(b.feeds[0].tensor, i) == want_x[k][i]);
        for (int i = 0; i < 2; i++)
            assert_true(rill_tensor_get(b.feeds[1].tensor, i) == want_t[k][i]);
        rill_batches_close(&b);
        rill_dataset_destroy(d);
        rill_graph_destroy(f.g);
    }
}

/* Predicting takes files with and without the target. */
static void targets_may_be_missing_to_predict(void **state)
{
    (void)state;
    static const char *const names[3] = {"a", "b", "c"};
    for (int n = 2; n <= 3; n++) {
        fed f;
        make_fed(&f, RILL_F32, RILL_SHAPE(0, 2), RILL_F32, RILL_SHAPE(0, 1));
        rill_dataset *d = table(names, n);
        rill_batches b = one_batch(&f, d, false);
        assert_int_equal(b.plans.n, 1);
        assert_true(rill_tensor_get(b.feeds[0].tensor, 1) == 10);
        rill_batches_close(&b);
        rill_dataset_destroy(d);
        rill_graph_destroy(f.g);
    }
}

static void refuse_feed(rill_shape x_shape, rill_dtype t_dtype, rill_shape t_shape, rill_dataset *d,
                        const char *message)
{
    fed f;
    make_fed(&f, RILL_F32, x_shape, t_dtype, t_shape);
    rill_batches b;
    refuses(rill_batches_open(&b, f.g, &f.training, d, 0, 2, 2, true, false, err), RILL_ERR_INVALID,
            message);
    rill_dataset_destroy(d);
    rill_graph_destroy(f.g);
}

static void refuses_columns_that_do_not_fit(void **state)
{
    (void)state;
    static const char *const names[3] = {"a", "b", "c"};
    const double x[4] = {0, 1, 2, 3}, y[2] = {0.5, 7};
    refuse_feed(RILL_SHAPE(0, 5), RILL_F32, RILL_SHAPE(0, 1), table(names, 3),
                "data: input \"x\" takes f32[5] in each row, 5 elements; the data has 2 (f64[], "
                "...)");
    refuse_feed(RILL_SHAPE(0, 2), RILL_I32, RILL_SHAPE(0),
                two_columns(tensor_of(RILL_F32, RILL_SHAPE(2, 2), x), "y",
                            tensor_of(RILL_F32, RILL_SHAPE(2), y)),
                "data: row 0: input \"t\" takes whole numbers from -2147483648 to 2147483647, got "
                "0.5");
    refuse_feed(RILL_SHAPE(0, 2), RILL_F32, RILL_SHAPE(0, 3),
                two_columns(tensor_of(RILL_F32, RILL_SHAPE(2, 2), x), "y",
                            tensor_of(RILL_I32, RILL_SHAPE(2), (const double[]){1, 7})),
                "data: row 1: input \"t\" takes whole numbers from 0 to 2, got 7");
    refuse_feed(RILL_SHAPE(0, 2), RILL_F32, RILL_SHAPE(0),
                two_columns(tensor_of(RILL_F32, RILL_SHAPE(2, 2), x), NULL, NULL),
                "data: no column for input \"t\"; the columns are \"x\"");
}

static void columns_are_checked(void **state)
{
    (void)state;
    rill_dataset *d;
    must(rill_dataset_create(NULL, &d, err));
    rill_tensor *two = tensor_of(RILL_F32, RILL_SHAPE(2), (const double[]){1, 2});
    rill_tensor *one = tensor_of(RILL_F32, RILL_SHAPE(1), (const double[]){1});
    rill_tensor *scalar = tensor_of(RILL_F32, RILL_SCALAR, (const double[]){1});
    must(rill_dataset_add(d, "a", two, err));
    refuses(rill_dataset_add(d, "a", two, err), RILL_ERR_INVALID, "column \"a\" is there already");
    refuses(rill_dataset_add(d, "b", one, err), RILL_ERR_INVALID,
            "column \"b\": expected 2 rows as in \"a\", got 1");
    refuses(rill_dataset_add(d, "b", scalar, err), RILL_ERR_INVALID,
            "column \"b\": expected a tensor of rank 1 or more, whose first dimension counts the "
            "rows, got a scalar");
    rill_dataset_destroy(d);
    rill_tensor_destroy(two);
    rill_tensor_destroy(one);
    rill_tensor_destroy(scalar);
}

/* ---- batches -------------------------------------------------------------------------------- */

/* seed R9: the last batch is smaller; each row comes once; epochs differ, and repeat by number. */
static void batches_cover_each_row_once(void **state)
{
    (void)state;
    enum { ROWS = 103, BATCH = 20 };
    double v[ROWS];
    for (int i = 0; i < ROWS; i++) v[i] = i;
    fed f;
    make_fed(&f, RILL_F32, RILL_SHAPE(0), RILL_F32, RILL_SHAPE(0));
    rill_dataset *d = two_columns(tensor_of(RILL_F32, RILL_SHAPE(ROWS), v), "y",
                                  tensor_of(RILL_F32, RILL_SHAPE(ROWS), v));
    rill_batches b;
    must(rill_batches_open(&b, f.g, &f.training, d, 0, ROWS, BATCH, true, true, err));
    assert_int_equal(b.n_batches, 6);
    float order[3][ROWS];
    static const int64_t epochs[3] = {1, 2, 1};
    for (int e = 0; e < 3; e++) {
        int seen[ROWS] = {0};
        rill_batches_shuffle(&b, 11, epochs[e]);
        for (int64_t k = 0; k < b.n_batches; k++) {
            rill_batches_gather(&b, k);
            assert_int_equal(b.rows, k < 5 ? BATCH : 3);
            assert_int_equal(b.feeds[0].tensor->type.shape.dims[0], b.rows);
            for (int64_t i = 0; i < b.rows; i++) {
                float x = ((const float *)b.feeds[0].tensor->data)[i];
                assert_true(x == ((const float *)b.feeds[1].tensor->data)[i]);
                order[e][k * BATCH + i] = x;
                seen[(int)x]++;
            }
        }
        for (int i = 0; i < ROWS; i++) assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(order[0], order[1], sizeof order[0]);
    assert_memory_equal(order[0], order[2], sizeof order[0]);
    rill_batches_close(&b);
    rill_dataset_destroy(d);
    rill_graph_destroy(f.g);
}

static void a_fixed_batch_takes_its_size_only(void **state)
{
    (void)state;
    rill_graph *g = new_graph(NULL);
    rill_value x = rill_input(g, "x", RILL_F32, RILL_SHAPE(2, 1));
    rill_training t = RILL_TRAINING_INIT;
    t.inputs = &x;
    t.n_inputs = 1;
    const double v[4] = {1, 2, 3, 4};
    rill_dataset *d = two_columns(tensor_of(RILL_F32, RILL_SHAPE(4), v), NULL, NULL);
    rill_batches b;
    must(rill_batches_open(&b, g, &t, d, 0, 4, 2, false, false, err));
    rill_batches_close(&b);
    refuses(rill_batches_open(&b, g, &t, d, 0, 3, 2, false, false, err), RILL_ERR_INVALID,
            "data: input \"x\" takes exactly 2 rows, but 3 rows in batches of 2 have others; give "
            "its first dimension a name, such as \"batch\"");
    rill_dataset_destroy(d);
    rill_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_sets_are_fixed),
        cmocka_unit_test(digits_have_a_shape_and_balance),
        cmocka_unit_test(rows_depend_on_their_number_alone),
        cmocka_unit_test(refuses_specs),
        cmocka_unit_test(reads_an_idx_folder),
        cmocka_unit_test(reads_a_csv_file),
        cmocka_unit_test(images_are_scaled_and_labels_made_one_hot),
        cmocka_unit_test(labels_go_to_integers_and_single_floats),
        cmocka_unit_test(columns_of_a_table_find_their_inputs),
        cmocka_unit_test(targets_may_be_missing_to_predict),
        cmocka_unit_test(refuses_columns_that_do_not_fit),
        cmocka_unit_test(columns_are_checked),
        cmocka_unit_test(batches_cover_each_row_once),
        cmocka_unit_test(a_fixed_batch_takes_its_size_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
