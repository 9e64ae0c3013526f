/* Progress of rill train: a bar on a terminal while an epoch runs, a line when it is done. */
#include "cli_train.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_LINE = 500, MOST_COLUMNS = 400 };

double train_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int columns(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col < 20) return 80;
    return w.ws_col < MOST_COLUMNS ? w.ws_col : MOST_COLUMNS;
}

static const char *duration(char buf[32], double seconds)
{
    long long s = seconds < 1e9 ? (long long)(seconds + 0.5) : 999999999;
    if (s >= 3600)
        snprintf(buf, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, 32, "%lld:%02lld", s / 60, s % 60);
    return buf;
}

/* Appends to a line of LONGEST_LINE bytes and cuts what is too long. */
static size_t append(char *line, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static size_t append(char *line, size_t at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + at, LONGEST_LINE - at, fmt, ap);
    va_end(ap);
    return n < 0 ? at : at + (size_t)n < LONGEST_LINE ? at + (size_t)n : LONGEST_LINE - 1;
}

/* The line with a bar of this many characters; returns its length. */
static size_t make_line(const trainer *t, const rill_progress *p, int width, char *line)
{
    char left[32];
    const rill_training *block = rill_graph_training(rill_session_graph(p->session));
    double done = (double)((p->epoch - t->first_epoch - 1) * p->steps + p->step);
    double all = (double)((p->epochs - t->first_epoch) * p->steps);
    size_t at = append(line, 0, "epoch %lld/%lld ", (long long)p->epoch, (long long)p->epochs);
    if (width) {
        int filled = (int)((double)width * (double)p->step / (double)p->steps);
        line[at++] = '[';
        for (int i = 0; i < width; i++) line[at++] = i < filled ? '=' : i == filled ? '>' : ' ';
        at = append(line, at, "] ");
    }
    duration(left, (train_now() - t->start) * (all - done) / done);
    at = append(line, at, "%lld/%lld  ETA %s  loss %.4f", (long long)p->step, (long long)p->steps,
                left, p->loss);
    for (size_t i = 0; i < p->n_metrics; i++) {
        char name[300];
        at = append(line, at, "  %s %.4f", cli_metric_name(block, i, name), p->metrics[i]);
    }
    return append(line, at, "  %.0f/s", p->samples_per_second);
}

void train_draw_bar(const trainer *t, const rill_progress *p)
{
    static double drawn;
    static const int widths[] = {24, 12, 0};
    char line[LONGEST_LINE];
    double at = train_now();
    if (at - drawn < 0.1 && (p->step > 1 || p->epoch > t->first_epoch + 1) && p->step < p->steps)
        return;
    drawn = at;
    size_t room = (size_t)columns() - 1;
    for (size_t i = 0; i < 3 && (i == 0 || strlen(line) > room); i++)
        make_line(t, p, widths[i], line);
    if (strlen(line) > room) line[room] = 0;
    cli_status_line(line);
}

void train_print_epoch(const rill_progress *p, const rill_training *block)
{
    char name[300];
    cli_status_line(NULL);
    printf("epoch %lld/%lld  step %lld  loss %.6f", (long long)p->epoch, (long long)p->epochs,
           (long long)(p->epoch * p->steps), p->loss);
    for (size_t i = 0; i < p->n_metrics; i++)
        printf("  %s %.6f", cli_metric_name(block, i, name), p->metrics[i]);
    if (p->has_validation) {
        printf("  val_loss %.6f", p->validation_loss);
        for (size_t i = 0; i < p->n_metrics; i++)
            printf("  val_%s %.6f", cli_metric_name(block, i, name), p->validation_metrics[i]);
    }
    printf("  %.0f samples/s\n", p->samples_per_second);
    fflush(stdout);
}
