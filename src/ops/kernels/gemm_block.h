/* gemm_block.h: a block of a product in registers, for one dtype; included once for each, with
 * TYPE, NAME and the vector operations defined. */

enum { NAME(LANES) = VECTOR_BYTES / sizeof(TYPE) };

/* A slab of the depth: `runs` runs of `depth` steps of A from a on; B's rows are ldb apart
 * throughout. A's elements are a[i lda + p], or with trans_a a[p lda + i]. From the end of a run to
 * the next, A jumps by `jump` elements, and by `long_jump` after every `inner` runs. */
typedef struct NAME(slab) {
    int64_t depth, runs, inner, jump, long_jump;
    const TYPE *a, *b;
    TYPE *c;
    int64_t lda, ldb, ldc;
    bool load;                 /* start from C instead of zero */
    const rill_finish *finish; /* at the end; NULL: nothing */
    int64_t at, column;        /* for the finish: where c is in the result */
} NAME(slab);

/* ---- the end of a block ---------------------------------------------------------------------- */

/* Element j of row i of the operand of a stage: of its column, or of the same place. */
INLINE const TYPE *NAME(operand)(const rill_finish_stage *stage, const NAME(slab) * s, int i, int j)
{
    const TYPE *x = stage->operand;
    return stage->by_column ? x + s->column + j : x + s->at + i * s->ldc + j;
}

#define EACH(value)                                          \
    UNROLL                                                   \
    for (int i = 0; i < rows; i++) {                         \
        UNROLL                                               \
        for (int v = 0; v < vectors; v++) acc[i][v] = value; \
    }                                                        \
    break
#define OPERAND LOAD(NAME(operand)(stage, s, i, v * NAME(LANES)))

/* Each stage is the op of its name, bit for bit. */
INLINE void NAME(stage)(const int rows, const int vectors, const rill_finish_stage *stage,
                        const NAME(slab) * s, VEC acc[MAX_ROWS][WIDE])
{
    const VEC low = SPLAT((TYPE)stage->low), high = SPLAT((TYPE)stage->high);
    switch (stage->kind) {
    case RILL_STAGE_ADD:
        EACH(ADD(acc[i][v], OPERAND));
    case RILL_STAGE_SUB:
        EACH(SUB(acc[i][v], OPERAND));
    case RILL_STAGE_MUL:
        EACH(MUL(acc[i][v], OPERAND));
    case RILL_STAGE_RELU:
        EACH(RELU(acc[i][v]));
    case RILL_STAGE_CLIP: /* of two equal operands, or if one is NaN, these give the second */
        EACH(MIN(high, MAX(low, acc[i][v])));
    }
}
#undef EACH
#undef OPERAND

/* The same for n columns of rows that lie in memory, ld apart. */
static void NAME(finish_rows)(const NAME(slab) * s, int64_t rows, int64_t n, TYPE *c, int64_t ld)
{
    for (int k = 0; s->finish && k < s->finish->n; k++) {
        const rill_finish_stage *stage = &s->finish->stages[k];
        const TYPE low = (TYPE)stage->low, high = (TYPE)stage->high;
        for (int i = 0; i < rows; i++) {
            const TYPE *x = NAME(operand)(stage, s, i, 0);
            TYPE *y = c + i * ld;
            switch (stage->kind) {
            case RILL_STAGE_ADD:
                for (int64_t j = 0; j < n; j++) y[j] += x[j];
                break;
            case RILL_STAGE_SUB:
                for (int64_t j = 0; j < n; j++) y[j] -= x[j];
                break;
            case RILL_STAGE_MUL:
                for (int64_t j = 0; j < n; j++) y[j] *= x[j];
                break;
            case RILL_STAGE_RELU:
                for (int64_t j = 0; j < n; j++) y[j] = y[j] <= 0 ? 0 : y[j];
                break;
            case RILL_STAGE_CLIP:
                for (int64_t j = 0; j < n; j++) {
                    const TYPE v = y[j] < low ? low : y[j];
                    y[j] = v > high ? high : v;
                }
                break;
            }
        }
    }
}

/* ---- the block in registers ------------------------------------------------------------------ */

/* `rows` and `vectors` are constants at every call. Rows are addressed from five pointers, three
 * rows each, so that they fit the integer registers. */
INLINE void NAME(block)(const int rows, const int vectors, const bool trans_a, const NAME(slab) * s)
{
    VEC acc[MAX_ROWS][WIDE];
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++) {
            acc[i][v] = s->load ? LOAD(s->c + i * s->ldc + v * NAME(LANES)) : SPLAT(0);
        }
    }
    const int64_t lda = s->lda, ldb = s->ldb;
    const TYPE *b = s->b, *q[5];
    UNROLL
    for (int i = 0; i < 5; i++) q[i] = s->a + (trans_a || 3 * i >= rows ? 0 : 3 * i * lda);
    if (!trans_a && rows > 3) {
        __asm__("" : "+r"(q[0]), "+r"(q[1]), "+r"(q[2]), "+r"(q[3]), "+r"(q[4]));
    }
    for (int64_t run = s->runs, inner = s->inner; run > 0; run--) {
        for (int64_t p = 0; p < s->depth; p++) {
            VEC bv[WIDE];
            UNROLL
            for (int v = 0; v < vectors; v++) {
                bv[v] = LOAD(b + v * NAME(LANES));
                __builtin_prefetch(b + AHEAD * ldb + v * NAME(LANES));
                __builtin_prefetch(b + FAR_AHEAD * ldb + v * NAME(LANES), 0, 2);
            }
            UNROLL
            for (int i = 0; i < rows; i++) {
                const VEC av = SPLAT(trans_a ? q[0][i] : q[i / 3][i % 3 * lda]);
                UNROLL
                for (int v = 0; v < vectors; v++) acc[i][v] = FMA(av, bv[v], acc[i][v]);
            }
            b += ldb;
            UNROLL
            for (int i = 0; i < 5; i++) q[i] += trans_a ? lda : 1;
        }
        const int64_t jump = --inner > 0 ? s->jump : s->long_jump;
        if (inner == 0) inner = s->inner;
        UNROLL
        for (int i = 0; i < 5; i++) q[i] += jump;
    }
    if (!trans_a && s->finish) {
        for (int k = 0; k < s->finish->n; k++) {
            NAME(stage)(rows, vectors, &s->finish->stages[k], s, acc);
        }
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++) STORE(s->c + i * s->ldc + v * NAME(LANES), acc[i][v]);
    }
}

#define CASE(rows)                              \
    case rows:                                  \
        NAME(block)(rows, VECTORS, TRANS_A, s); \
        break;
#ifdef __AVX512F__
#define CASES_OF_LEVEL CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#else
#define CASES_OF_LEVEL
#endif
#define DEFINE_BLOCKS(name)                                                                 \
    static void NAME(name)(int64_t rows, const NAME(slab) * s)                              \
    {                                                                                       \
        switch (rows) {                                                                     \
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASES_OF_LEVEL default : break; \
        }                                                                                   \
    }
#define DEFINE_FEW(name)                                       \
    static void NAME(name)(int64_t rows, const NAME(slab) * s) \
    {                                                          \
        switch (rows) {                                        \
            CASE(1) CASE(2) CASE(3) default : break;           \
        }                                                      \
    }

#define TRANS_A false
#define VECTORS 1
DEFINE_BLOCKS(narrow)
#undef VECTORS
#define VECTORS 2
DEFINE_BLOCKS(full)
#undef VECTORS
#define VECTORS WIDE
DEFINE_FEW(wide)
#undef VECTORS
#undef TRANS_A
#define TRANS_A true
#define VECTORS 1
DEFINE_BLOCKS(narrow_t)
#undef VECTORS
#define VECTORS 2
DEFINE_BLOCKS(full_t)
#undef VECTORS
#define VECTORS WIDE
DEFINE_FEW(wide_t)
#undef VECTORS
#undef TRANS_A
#undef CASE
#undef CASES_OF_LEVEL
#undef DEFINE_BLOCKS
#undef DEFINE_FEW
