/* synthetic.h: data sets that rill makes itself. Row i of a set is a function of (set, split, seed,
 * i) alone, so more rows extend a set and never change it (but for surrealism, whose rows are made
 * orthogonal to each other). Only + - * / and sqrt are used: the
 * bytes are the same on every machine. */
#ifndef RILL_SRC_TRAIN_SYNTHETIC_H
#define RILL_SRC_TRAIN_SYNTHETIC_H

#include "core/core.h"

#define RILL_DIGIT_SIDE 28

/* What a set looks like; its columns are "x" and "y". */
typedef struct rill_synthetic {
    const char *name;
    int64_t train_rows, test_rows; /* when no number is asked for */
    int64_t least_rows;
    rill_dtype x_dtype, y_dtype;
    rill_shape x_sample; /* of one row */
    /* Writes rows 0..n-1 of both columns. */
    void (*fill)(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y);
} rill_synthetic;

/* The set of that name, or NULL; entries 0.. until NULL list them all. */
const rill_synthetic *rill_synthetic_at(size_t i);

/* 8-bit images of handwritten-like digits and their classes (synthetic_digits.c). */
void rill_synthetic_digits(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y);

/* Five regressors in f64, and the intercept and coefficients that least squares give back
 * (synthetic_surrealism.c). */
void rill_synthetic_surrealism(uint64_t seed, uint64_t stream, int64_t n, void *x, void *y);
extern const double rill_surrealism_coefficients[6];

/* Uniform in [low, high). */
double rill_draw_between(rill_random *r, double low, double high);
/* About normal: the sum of twelve uniform draws, less 6; never beyond 6 stddev. */
double rill_draw_normal(rill_random *r, double stddev);

/* ---- the strokes that digits are drawn with (synthetic_strokes.c) --------------------------- */

typedef enum rill_pen {
    RILL_PEN_CURVE,  /* the line passes smoothly */
    RILL_PEN_CORNER, /* and may turn sharply here */
    RILL_PEN_LIFT    /* the stroke ends here */
} rill_pen;

/* A point that the pen passes, on a sheet of 100 x 100 with y growing downwards. */
typedef struct rill_stroke_point {
    uint8_t x, y;
    uint8_t pen; /* rill_pen */
} rill_stroke_point;

#define RILL_MAX_STROKE_POINTS 18
/* One way to write a digit. */
typedef struct rill_stroke_style {
    uint8_t digit;
    uint8_t n_points;
    rill_stroke_point points[RILL_MAX_STROKE_POINTS];
} rill_stroke_style;

/* All styles, ordered by digit; *first and *n are those of one digit. */
const rill_stroke_style *rill_stroke_styles(int digit, size_t *n);

#endif
