/* Pictures: numbers to colours, tiles, and PNG files that libpng reads back to the same points. */
#include "core/core.h"
#include "rill/chart.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static rill_tensor *tensor(rill_dtype dtype, rill_shape shape, const double *values)
{
    rill_tensor *t;
    assert_int_equal(rill_tensor_create(NULL, dtype, shape, &t, NULL), RILL_OK);
    for (int64_t i = 0; i < t->count; i++) rill_tensor_put(t, i, values[i]);
    return t;
}

/* The image of a tensor, written as PNG and read back. */
static rill_tensor *image_of(const rill_tensor *t, const char *layout, int zoom)
{
    rill_tensor *image, *bytes;
    rill_error err;
    if (rill_tensor_tiles(NULL, t, layout, zoom, &image, &err) != RILL_OK)
        fail_msg("%s", err.message);
    assert_int_equal(rill_image_png(NULL, image, &bytes, &err), RILL_OK);
    png_image p = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&p, bytes->data, bytes->bytes));
    assert_int_equal(p.height, image->type.shape.dims[0]);
    assert_int_equal(p.width, image->type.shape.dims[1]);
    p.format = PNG_FORMAT_RGB;
    uint8_t *read = malloc(PNG_IMAGE_SIZE(p));
    assert_non_null(read);
    assert_true(png_image_finish_read(&p, NULL, read, 0, NULL));
    assert_memory_equal(read, image->data, image->bytes);
    free(read);
    rill_tensor_destroy(bytes);
    return image;
}

static void is_colour(const rill_tensor *image, int64_t y, int64_t x, int r, int g, int b)
{
    const uint8_t *p = (const uint8_t *)image->data + 3 * (y * image->type.shape.dims[1] + x);
    if (p[0] != r || p[1] != g || p[2] != b)
        fail_msg("%d %d: expected %d %d %d, got %d %d %d", (int)y, (int)x, r, g, b, p[0], p[1],
                 p[2]);
}

static void numbers_become_colours(void **state)
{
    (void)state;
    double v[] = {0, 1, 2, NAN}, signed_[] = {-2, 0, 2, 1};
    rill_tensor *t = tensor(RILL_F32, RILL_SHAPE(2, 2), v), *image = image_of(t, "HW", 1);
    is_colour(image, 0, 0, 0, 0, 0);
    is_colour(image, 0, 1, 128, 128, 128);
    is_colour(image, 1, 0, 255, 255, 255);
    is_colour(image, 1, 1, 128, 128, 128);
    rill_tensor_destroy(image);
    rill_tensor_destroy(t);
    t = tensor(RILL_F64, RILL_SHAPE(2, 2), signed_);
    image = image_of(t, "HW", 3);
    assert_int_equal(image->type.shape.dims[0], 6);
    is_colour(image, 0, 2, 0, 114, 178);
    is_colour(image, 2, 3, 255, 255, 255);
    is_colour(image, 3, 0, 213, 94, 0);
    rill_tensor_destroy(image);
    rill_tensor_destroy(t);
}

static void tiles_stand_side_by_side(void **state)
{
    (void)state;
    double v[] = {1, 2, 3, 4, 5, 6, 7, 8}, colours[] = {255, 0, 0, 0, 255, 0};
    /* [H=1, W=2, I=2, O=2]: the picture of (i, o) is 1, 5 and so on */
    rill_tensor *t = tensor(RILL_F32, RILL_SHAPE(1, 2, 2, 2), v), *image = image_of(t, "HWIO", 1);
    assert_int_equal(image->type.shape.dims[2], 3);
    int64_t width = image->type.shape.dims[1];
    assert_true(width >= 4);
    is_colour(image, 1, 1, 32, 32, 32);    /* 1/8 */
    is_colour(image, 1, 2, 159, 159, 159); /* 5/8 */
    is_colour(image, 0, 0, 128, 128, 128); /* the rim */
    rill_tensor_destroy(image);
    rill_tensor_destroy(t);
    t = tensor(RILL_U8, RILL_SHAPE(1, 2, 3), colours);
    image = image_of(t, "HWC", 1);
    is_colour(image, 0, 0, 255, 0, 0);
    is_colour(image, 0, 1, 0, 255, 0);
    rill_tensor_destroy(image);
    rill_tensor_destroy(t);
}

static void bad_pictures_are_refused(void **state)
{
    (void)state;
    static const char *const layouts[] = {"", "H", "HH", "HN", "NN", "HWC", "CW"};
    double v[] = {1, 2, 3, 4};
    rill_error err;
    rill_tensor *t = tensor(RILL_F32, RILL_SHAPE(2, 2), v), *out;
    for (size_t i = 0; i < RILL_LEN(layouts); i++)
        assert_int_equal(rill_tensor_tiles(NULL, t, layouts[i], 1, &out, &err), RILL_ERR_INVALID);
    assert_int_equal(rill_tensor_tiles(NULL, t, "HW", 0, &out, &err), RILL_ERR_INVALID);
    assert_string_equal(err.message, "zoom: expected 1 to 64, got 0");
    assert_int_equal(rill_image_png(NULL, t, &out, &err), RILL_ERR_INVALID);
    rill_tensor_destroy(t);
    t = tensor(RILL_F32, RILL_SHAPE(0, 2), v);
    assert_int_equal(rill_tensor_tiles(NULL, t, "HW", 1, &out, &err), RILL_ERR_INVALID);
    rill_tensor_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_become_colours),
        cmocka_unit_test(tiles_stand_side_by_side),
        cmocka_unit_test(bad_pictures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
