/* number.c: floating-point numbers to and from decimal text, exactly.
 *
 * Formatting is the free-format algorithm of Burger and Dybvig (PLDI 1996): the shortest digits
 * that read back to the same value, the nearest such digits to it, ties to even. Reading is
 * correctly rounded (to nearest, ties to even): a product or quotient of two exact doubles where
 * that is possible (Clinger, PLDI 1990), else 128-bit integers, else big integers of fixed size.
 * Both are integer arithmetic on the stack: no locale, no allocation, one table of 23 entries.
 *
 * A value is mantissa * 2^exponent; `binary` describes f32 or f64.
 */
#include "core/core.h"

#include <float.h>
#include <math.h>

/* ---- big integers ---------------------------------------------------------------------------- */

/* Little-endian 32-bit words. The largest number here is 801 digits against 10^1131, shifted to 64
 * bits more than that: under 3,900 bits. */
enum { BIG_WORDS = 128 };
typedef struct big {
    int n; /* words in use; the top one is not 0 */
    uint32_t word[BIG_WORDS];
} big;

static void big_set(big *b, uint64_t v)
{
    b->n = 0;
    for (; v != 0; v >>= 32) b->word[b->n++] = (uint32_t)v;
}

static int bits_of(uint64_t v)
{
    return v == 0 ? 0 : 64 - __builtin_clzll(v);
}

static int big_bits(const big *b)
{
    return b->n == 0 ? 0 : 32 * (b->n - 1) + bits_of(b->word[b->n - 1]);
}

/* b <- b * factor + carry */
static void big_mul_add(big *b, uint32_t factor, uint32_t carry)
{
    uint64_t c = carry;
    for (int i = 0; i < b->n; i++) {
        c += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)c;
        c >>= 32;
    }
    if (c != 0) b->word[b->n++] = (uint32_t)c;
}

static void big_shift(big *b, int bits)
{
    if (b->n == 0 || bits <= 0) return;
    int words = bits / 32;
    int rest = bits % 32;
    uint32_t top = rest ? b->word[b->n - 1] >> (32 - rest) : 0;
    for (int i = b->n - 1; i >= 0; i--) {
        uint32_t low = rest && i > 0 ? b->word[i - 1] >> (32 - rest) : 0;
        b->word[i + words] = b->word[i] << rest | low;
    }
    memset(b->word, 0, (size_t)words * sizeof(uint32_t));
    b->n += words;
    if (top != 0) b->word[b->n++] = top;
}

static void big_mul_pow10(big *b, int power)
{
    big_shift(b, power);
    for (; power >= 13; power -= 13) big_mul_add(b, 1220703125, 0); /* 5^13 */
    for (; power > 0; power--) big_mul_add(b, 5, 0);
}

/* The sign of a - b. */
static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--) {
        if (a->word[i] != b->word[i]) return a->word[i] < b->word[i] ? -1 : 1;
    }
    return 0;
}

/* a <- a - factor * b, which must not be negative */
static void big_sub_mul(big *a, const big *b, uint32_t factor)
{
    uint64_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        uint64_t take = borrow + (i < b->n ? (uint64_t)b->word[i] * factor : 0);
        uint32_t low = (uint32_t)take;
        borrow = (take >> 32) + (a->word[i] < low);
        a->word[i] -= low;
    }
    while (a->n > 0 && a->word[a->n - 1] == 0) a->n--;
}

static void big_add(big *a, const big *b)
{
    uint64_t carry = 0;
    int n = a->n > b->n ? a->n : b->n;
    for (int i = 0; i < n; i++) {
        carry += (i < a->n ? (uint64_t)a->word[i] : 0) + (i < b->n ? (uint64_t)b->word[i] : 0);
        a->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    a->n = n;
    if (carry != 0) a->word[a->n++] = (uint32_t)carry;
}

/* ---- the two formats ------------------------------------------------------------------------- */

typedef struct binary {
    int mantissa_bits; /* with the hidden one */
    int min_exponent;  /* of the last mantissa bit: subnormals */
    int limit;         /* values are below 2^limit */
} binary;
static const binary BINARY32 = {24, -149, 128};
static const binary BINARY64 = {53, -1074, 1024};

/* |v| = mantissa * 2^exponent with the exponent of the last bit in the given format. */
static uint64_t decompose(double v, bool f32, int *exponent)
{
    if (f32) {
        float f = (float)v;
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        int biased = (int)(bits >> 23 & 0xff);
        *exponent = (biased > 0 ? biased : 1) - 150;
        return (bits & 0x7fffff) | (uint64_t)(biased > 0) << 23;
    }
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    int biased = (int)(bits >> 52 & 0x7ff);
    *exponent = (biased > 0 ? biased : 1) - 1075;
    return (bits & 0xfffffffffffffu) | (uint64_t)(biased > 0) << 52;
}

/* ---- formatting ------------------------------------------------------------------------------ */

/* The value is r/s; every number strictly between (r - low)/s and (r + high)/s reads back to it,
 * the ends too if `even`. */
typedef struct interval {
    big r, s, low, high;
    bool even;
} interval;

static void interval_init(interval *v, uint64_t mantissa, int exponent, const binary *format)
{
    /* The gap below a power of two is half the gap above it. */
    bool uneven =
        mantissa == (uint64_t)1 << (format->mantissa_bits - 1) && exponent > format->min_exponent;
    int up = exponent > 0 ? exponent : 0;
    int down = exponent < 0 ? -exponent : 0;
    v->even = (mantissa & 1) == 0;
    big_set(&v->r, mantissa);
    big_shift(&v->r, up + 1 + uneven);
    big_set(&v->s, 1);
    big_shift(&v->s, down + 1 + uneven);
    big_set(&v->low, 1);
    big_shift(&v->low, up);
    big_set(&v->high, 1);
    big_shift(&v->high, up + uneven);
}

/* Whether r + high reaches `s`: rounding up is allowed. */
static bool reaches(const interval *v)
{
    big sum = v->r;
    big_add(&sum, &v->high);
    int order = big_compare(&sum, &v->s);
    return v->even ? order >= 0 : order > 0;
}

/* Scales so that the first digit is the integer part of 10 r/s; gives the decimal point's place:
 * value = 0.DIGITS * 10^point. */
static int interval_scale(interval *v, uint64_t mantissa, int exponent)
{
    /* Never too high and at most one too low, as the logarithm is off by less than 1. */
    int point = (int)ceil((exponent + bits_of(mantissa) - 1) * 0.30102999566398120 - 1e-10);
    if (point >= 0) {
        big_mul_pow10(&v->s, point);
    } else {
        big_mul_pow10(&v->r, -point);
        big_mul_pow10(&v->low, -point);
        big_mul_pow10(&v->high, -point);
    }
    if (reaches(v)) {
        point++;
        big_mul_add(&v->s, 10, 0);
    }
    /* A top word of 2^27..2^28 - 1 in s makes the digit estimate below at most one too low. */
    int shift = (60 - big_bits(&v->s) % 32) % 32;
    big_shift(&v->s, shift);
    big_shift(&v->r, shift);
    big_shift(&v->low, shift);
    big_shift(&v->high, shift);
    return point;
}

/* floor(r/s), at most 9; r becomes the remainder. */
static uint32_t next_digit(big *r, const big *s)
{
    if (r->n < s->n) return 0;
    uint32_t digit = r->word[s->n - 1] / (s->word[s->n - 1] + 1);
    if (digit > 0) big_sub_mul(r, s, digit);
    if (big_compare(r, s) >= 0) {
        big_sub_mul(r, s, 1);
        digit++;
    }
    return digit;
}

/* The shortest digits of mantissa * 2^exponent into digits[17]; returns how many. */
static int shortest_digits(uint64_t mantissa, int exponent, const binary *format, char *digits,
                           int *point)
{
    interval v;
    interval_init(&v, mantissa, exponent, format);
    *point = interval_scale(&v, mantissa, exponent);
    for (int n = 0;; n++) {
        big_mul_add(&v.r, 10, 0);
        big_mul_add(&v.low, 10, 0);
        big_mul_add(&v.high, 10, 0);
        uint32_t digit = next_digit(&v.r, &v.s);
        int order = big_compare(&v.r, &v.low);
        bool may_stop = v.even ? order <= 0 : order < 0;
        bool may_raise = reaches(&v);
        if (may_stop && may_raise) { /* both read back: the nearer one, ties to even */
            big_mul_add(&v.r, 2, 0);
            order = big_compare(&v.r, &v.s);
            digit += order > 0 || (order == 0 && (digit & 1) == 1);
        } else if (may_raise) {
            digit++;
        }
        digits[n] = (char)('0' + digit);
        if (may_stop || may_raise) return n + 1;
    }
}

/* Digits of an integer in 1 .. 2^53 - 1 without trailing zeros; within that range no shorter
 * decimal reads back. */
static int integer_digits(uint64_t v, char *digits, int *point)
{
    char reversed[20];
    int zeros = 0, n = 0;
    for (; v % 10 == 0; v /= 10) zeros++;
    do reversed[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    for (int i = 0; i < n; i++) digits[i] = reversed[n - 1 - i];
    *point = n + zeros;
    return n;
}

/* 0.DIGITS * 10^point as 12.5, 0.00125 or 1.25e-7. */
static char *lay_out(char *out, const char *digits, int n, int point)
{
    if (point > 16 || point < -3) {
        int exponent = point - 1;
        *out++ = digits[0];
        if (n > 1) *out++ = '.';
        for (int i = 1; i < n; i++) *out++ = digits[i];
        *out++ = 'e';
        if (exponent < 0) *out++ = '-';
        exponent = exponent < 0 ? -exponent : exponent;
        if (exponent >= 100) *out++ = (char)('0' + exponent / 100);
        if (exponent >= 10) *out++ = (char)('0' + exponent / 10 % 10);
        *out++ = (char)('0' + exponent % 10);
        return out;
    }
    if (point <= 0) *out++ = '0';
    for (int i = 0; i < point; i++) *out++ = i < n ? digits[i] : '0';
    if (n <= point) return out;
    *out++ = '.';
    for (int i = point; i < 0; i++) *out++ = '0';
    for (int i = point > 0 ? point : 0; i < n; i++) *out++ = digits[i];
    return out;
}

size_t rill_format_float(char *buf, double v, bool f32)
{
    if (f32) v = (float)v;
    char *out = buf;
    if (isnan(v)) {
        memcpy(buf, "nan", 4);
        return 3;
    }
    if (signbit(v)) *out++ = '-';
    double size = fabs(v);
    if (isinf(v)) {
        memcpy(out, "inf", 3);
        out += 3;
    } else if (size == 0) {
        *out++ = '0';
    } else {
        char digits[20] = "";
        int point = 0, n;
        if (size < (f32 ? 0x1p24 : 0x1p53) && size == (double)(uint64_t)size) {
            n = integer_digits((uint64_t)size, digits, &point);
        } else {
            int exponent;
            uint64_t mantissa = decompose(v, f32, &exponent);
            n = shortest_digits(mantissa, exponent, f32 ? &BINARY32 : &BINARY64, digits, &point);
        }
        out = lay_out(out, digits, n, point);
    }
    *out = '\0';
    return (size_t)(out - buf);
}

/* ---- reading --------------------------------------------------------------------------------- */

enum {
    WORD_DIGITS = 19, /* as many as fit 64 bits */
    /* The midpoint of two doubles has at most 767 significant digits; more than that can only say
     * whether the rest is zero. */
    MAX_DIGITS = 800
};

/* |value| = the digits, read as an integer, * 10^power. */
typedef struct decimal {
    const char *digits, *end; /* from the first digit that is not 0; may contain the point */
    size_t n;                 /* digits from there on */
    uint64_t leading;         /* the first WORD_DIGITS of them */
    int64_t power;
    bool negative;
} decimal;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [eE][+-]?digits up to `end`; the exponent saturates where it no longer matters. */
static bool scan_exponent(const char *s, const char *end, int64_t *out)
{
    s++;
    bool negative = s < end && *s == '-';
    if (s < end && (*s == '-' || *s == '+')) s++;
    if (s == end) return false;
    int64_t e = 0;
    for (; s < end; s++) {
        if (!is_digit(*s)) return false;
        if (e < INT64_C(100000000000000000)) e = 10 * e + (*s - '0');
    }
    *out = negative ? -e : e;
    return true;
}

static bool scan(const char *s, size_t size, decimal *d)
{
    const char *end = s + size;
    *d = (decimal){.negative = size > 0 && *s == '-'};
    if (s < end && (*s == '-' || *s == '+')) s++;
    bool point = false, any = false;
    for (; s < end && (is_digit(*s) || (*s == '.' && !point)); s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        any = true;
        if (point) d->power--;
        if (d->n == 0 && *s == '0') continue;
        if (d->n == 0) d->digits = s;
        if (d->n < WORD_DIGITS) d->leading = 10 * d->leading + (uint64_t)(*s - '0');
        d->n++;
    }
    d->end = s;
    if (!any) return false;
    if (s == end) return true;
    int64_t exponent;
    if ((*s != 'e' && *s != 'E') || !scan_exponent(s, end, &exponent)) return false;
    d->power += exponent;
    return true;
}

/* (mantissa + something in (0, 1) if `more`) * 2^exponent in the format; the mantissa is not 0. */
static double round_to(uint64_t mantissa, int exponent, bool more, const binary *format)
{
    int drop = bits_of(mantissa) - format->mantissa_bits;
    if (exponent + drop < format->min_exponent) drop = format->min_exponent - exponent;
    if (drop > 64) return 0;
    if (drop > 0) {
        uint64_t kept = drop == 64 ? 0 : mantissa >> drop;
        uint64_t half = (uint64_t)1 << (drop - 1);
        uint64_t rest = mantissa & (half | (half - 1));
        bool up = rest > half || (rest == half && (more || (kept & 1) == 1));
        mantissa = kept + up;
        exponent += drop;
    }
    if (exponent + bits_of(mantissa) > format->limit) return INFINITY;
    return ldexp((double)mantissa, exponent);
}

/* The powers of ten that are doubles. */
static const double POW10[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* The digits and the power of ten are both exact doubles: one rounding. Then an f32 differs from
 * the rounded double only if that sits on a midpoint of two floats. */
static bool read_small(const decimal *d, bool f32, double *out)
{
    if (FLT_EVAL_METHOD != 0 || d->n > 15 || d->power < -22 || d->power > 22) return false;
    double v = (double)d->leading;
    v = d->power < 0 ? v / POW10[-d->power] : v * POW10[d->power];
    if (f32) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        if ((bits & 0x1fffffff) == 0x10000000 || v < FLT_MIN || v > FLT_MAX) return false;
        v = (float)v;
    }
    *out = v;
    return true;
}

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;

/* Up to 19 digits and powers of five that fit a word: the product, or the quotient and whether it
 * has a remainder, are exact. */
static bool read_medium(const decimal *d, const binary *format, double *out)
{
    if (d->n > WORD_DIGITS || d->power < -27 || d->power > 27) return false;
    int power = (int)d->power;
    uint64_t five = 1;
    for (int i = power < 0 ? -power : power; i > 0; i--) five *= 5;
    if (power >= 0) {
        wide product = (wide)d->leading * five;
        uint64_t high = (uint64_t)(product >> 64);
        int shift = bits_of(high);
        bool more = shift > 0 && (product & (((wide)1 << shift) - 1)) != 0;
        *out = round_to((uint64_t)(product >> shift), power + shift, more, format);
    } else {
        int a = 64 - bits_of(d->leading);
        int b = 64 - bits_of(five);
        wide n = (wide)(d->leading << a) << 63;
        uint64_t divisor = five << b;
        *out = round_to((uint64_t)(n / divisor), power - a - 63 + b, n % divisor != 0, format);
    }
    return true;
}
#else
static bool read_medium(const decimal *d, const binary *format, double *out)
{
    (void)d, (void)format, (void)out;
    return false;
}
#endif

/* At most MAX_DIGITS digits, and a 1 for what is cut off behind them. */
static void big_digits(const decimal *d, big *out, int64_t *power)
{
    big_set(out, 0);
    *power = d->power;
    size_t taken = 0;
    uint32_t chunk = 0, scale = 1;
    bool more = false;
    for (const char *s = d->digits; s < d->end; s++) {
        if (*s == '.') continue;
        if (taken == MAX_DIGITS) {
            (*power)++;
            more |= *s != '0';
            continue;
        }
        taken++;
        chunk = 10 * chunk + (uint32_t)(*s - '0');
        scale *= 10;
        if (scale == 1000000000) {
            if (out->n == 0)
                big_set(out, chunk);
            else
                big_mul_add(out, scale, chunk);
            chunk = 0;
            scale = 1;
        }
    }
    if (out->n == 0)
        big_set(out, chunk);
    else
        big_mul_add(out, scale, chunk);
    if (more) {
        big_mul_add(out, 10, 1);
        (*power)--;
    }
}

static double read_big(const decimal *d, const binary *format)
{
    int64_t magnitude = (int64_t)d->n + d->power; /* value < 10^magnitude */
    if (magnitude > 310) return INFINITY;
    if (magnitude < -325) return 0;
    big n, divisor;
    int64_t power;
    big_digits(d, &n, &power);
    big_set(&divisor, 1);
    if (power >= 0)
        big_mul_pow10(&n, (int)power);
    else
        big_mul_pow10(&divisor, (int)-power);
    int shift = big_bits(&divisor) - big_bits(&n);
    big_shift(&n, shift);
    big_shift(&divisor, -shift);
    /* Now n / divisor is in (1/2, 2): 64 bits of it, one by one. */
    uint64_t quotient = 0;
    for (int i = 0; i < 64; i++) {
        bool one = big_compare(&n, &divisor) >= 0;
        if (one) big_sub_mul(&n, &divisor, 1);
        quotient = quotient << 1 | one;
        big_shift(&n, 1);
    }
    return round_to(quotient, -63 - shift, n.n > 0, format);
}

static bool parse(const char *s, size_t size, bool f32, double *out)
{
    const binary *format = f32 ? &BINARY32 : &BINARY64;
    decimal d;
    if (!scan(s, size, &d)) return false;
    double v = 0;
    if (d.n > 0 && !read_small(&d, f32, &v) && !read_medium(&d, format, &v)) {
        v = read_big(&d, format);
    }
    *out = d.negative ? -v : v;
    return true;
}

bool rill_parse_float(const char *s, size_t n, double *out)
{
    return parse(s, n, false, out);
}

bool rill_parse_f32(const char *s, size_t n, float *out)
{
    double v;
    if (!parse(s, n, true, &v)) return false;
    *out = (float)v;
    return true;
}
