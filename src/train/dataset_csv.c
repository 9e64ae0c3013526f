/* dataset_csv.c: a CSV file as a data set: one f64 column for each of the file's, under its
 * header's name. */
#include "rill/io.h"
#include "train/train.h"

rill_status rill_dataset_read_csv(rill_dataset *d, const char *path, rill_error *err)
{
    rill_table *table;
    RILL_TRY(rill_csv_load(d->ctx, path, &table, err));
    const rill_tensor *data = rill_table_data(table);
    int64_t rows = data->type.shape.dims[0], columns = data->type.shape.dims[1];
    rill_status status = RILL_OK;
    for (int64_t c = 0; c < columns && status == RILL_OK; c++) {
        rill_tensor *column;
        status = rill_tensor_create(d->ctx, RILL_F64, RILL_SHAPE(rows), &column, err);
        if (status != RILL_OK) break;
        const double *from = (const double *)data->data + c;
        double *to = column->data;
        for (int64_t r = 0; r < rows; r++) to[r] = from[r * columns];
        status = rill_dataset_take(d, rill_table_name(table, (size_t)c), column, err);
    }
    rill_table_destroy(table);
    if (status == RILL_ERR_INVALID) rill_error_prefix(err, "data \"%s\"", path);
    return status;
}
