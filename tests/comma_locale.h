/* comma_locale.h: switches the test to a locale with a decimal comma, on any machine with glibc. */
#ifndef COMMA_LOCALE_H
#define COMMA_LOCALE_H

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An installed one, else one of our own: the 54 bytes are the numeric part of glibc's compiled
 * de_DE. Undo with setlocale(LC_ALL, "C"). False if there is no such locale to be had. */
static inline bool comma_locale(void)
{
    static const char *const installed[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    static const unsigned char numeric[54] = {
        0x14, 0x11, 0x03, 0x20, 0x06, 0, 0,    0, 0x20, 0, 0,    0, 0x22, 0,   0,   0,   0x24, 0,
        0,    0,    0x28, 0,    0,    0, 0x2c, 0, 0,    0, 0x30, 0, 0,    0,   ',', 0,   '.',  0,
        3,    3,    0,    0,    ',',  0, 0,    0, '.',  0, 0,    0, 'U',  'T', 'F', '-', '8',  0};
    for (size_t i = 0; i < sizeof installed / sizeof installed[0]; i++) {
        if (setlocale(LC_ALL, installed[i]) != NULL && *localeconv()->decimal_point == ',')
            return true;
    }
    setlocale(LC_ALL, "C");
    char folder[] = "/tmp/rill-locale-XXXXXX", comma[64], path[80];
    if (mkdtemp(folder) == NULL) return false;
    snprintf(comma, sizeof comma, "%s/comma", folder);
    snprintf(path, sizeof path, "%s/LC_NUMERIC", comma);
    mkdir(comma, 0700);
    FILE *f = fopen(path, "wb");
    if (f != NULL) {
        fwrite(numeric, 1, sizeof numeric, f);
        fclose(f);
        setenv("LOCPATH", folder, 1);
        setlocale(LC_NUMERIC, "comma");
        unsetenv("LOCPATH");
    }
    unlink(path);
    rmdir(comma);
    rmdir(folder);
    return *localeconv()->decimal_point == ',';
}

#endif
