/* Text in SVG: how wide it gets. */
#include "draw/svg.h"

/* Advance widths of ASCII from 0x20 in Helvetica, thousandths of the size (Adobe's Core 14
 * metrics); Arial, Liberation Sans and Nimbus Sans have the same. */
static const short advance[95] = {
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333,  278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667,  611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278,  556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500,  500, 334, 260, 334, 584};

#define SPARE 1.06 /* other fonts are wider */
#define MONO_ADVANCE 0.61

double rill_text_breadth(const char *s, double size, bool mono)
{
    double units = 0, characters = 0;
    for (size_t left = strlen(s); left;) {
        const unsigned char c = (unsigned char)*s;
        const size_t n = rill_utf8_length(s, left);
        units += c >= 0x20 && c < 0x7F ? advance[c - 0x20] : n >= 3 && c >= 0xE3 ? 1000 : 650;
        characters += n >= 3 && c >= 0xE3 ? 2 : 1;
        s += n ? n : 1;
        left -= n ? n : 1;
    }
    return mono ? characters * size * MONO_ADVANCE : units * size / 1000 * SPARE;
}
