/* xml.h: whether a text is one well-formed XML element, and what the numbers in its paths are.
 * Knows what rill writes: elements, attributes in double quotes, text, the five entities. */
#ifndef RILL_TESTS_XML_H
#define RILL_TESTS_XML_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline bool xml_text(const char **at, const char *stop)
{
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    while (**at && !strchr(stop, **at)) {
        if ((unsigned char)**at < 0x20 && **at != '\n') return false;
        size_t skip = 1;
        if (**at == '&') {
            skip = 0;
            for (size_t i = 0; i < 5 && !skip; i++)
                if (strncmp(*at, entities[i], strlen(entities[i])) == 0) skip = strlen(entities[i]);
            if (!skip) return false;
        }
        *at += skip;
    }
    return **at != 0;
}

/* Steps over one element with all that is in it. */
static inline bool xml_element(const char **at)
{
    const char *p = *at, *name = p + 1;
    if (*p != '<') return false;
    size_t n = strcspn(name, " />\n");
    for (p = name + n; *p && *p != '>' && strncmp(p, "/>", 2) != 0;) {
        if (*p == ' ' || *p == '\n') {
            p++;
            continue;
        }
        size_t key = strcspn(p, "=> \n");
        if (key == 0 || strncmp(p + key, "=\"", 2) != 0) return false;
        p += key + 2;
        if (!xml_text(&p, "\"<")) return false;
        if (*p++ != '"') return false;
    }
    if (!*p) return false;
    if (*p == '/') {
        *at = p + 2;
        return true;
    }
    for (p++;;) {
        if (!xml_text(&p, "<")) return false;
        if (p[1] == '/') break;
        if (!xml_element(&p)) return false;
    }
    if (strncmp(p + 2, name, n) != 0 || p[2 + n] != '>') return false;
    *at = p + n + 3;
    return true;
}

static inline bool xml_document(const char *text)
{
    if (!xml_element(&text)) return false;
    return text[strspn(text, "\n ")] == 0;
}

#endif
