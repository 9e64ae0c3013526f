/* The machine's limits, as one JSON line.
 *
 *   bench_limits THREADS    as `rill profile` measures them
 *   bench_limits burst      what one core's arithmetic reaches just now, in a hundredth of a
 * second; bench/compare runs it around every measurement, since clocks drift */
#include "bench.h"
#include "peak.h"

#include <string.h>

int main(int argc, char **argv)
{
    rill_machine_limits m;
    rill_error err;
    if (argc != 2) {
        fprintf(stderr, "usage: bench_limits THREADS|burst\n");
        return 2;
    }
    if (strcmp(argv[1], "burst") == 0) {
        double best = 0;
        for (int i = 0; i < 50; i++) {
            const double rate = peak_burst();
            if (rate > best) best = rate;
        }
        printf("{\"workload\": \"burst\", \"gflops\": %.1f}\n", best);
        return 0;
    }
    must(rill_machine_measure(NULL, atoi(argv[1]), &m, &err), "machine", &err);
    printf("{\"workload\": \"limits\", \"threads\": %d, \"level\": \"%s\", \"gflops\": %.1f, "
           "\"gbps\": %.2f}\n",
           m.threads, m.level, m.flops_f32 * 1e-9, m.memory * 1e-9);
    return 0;
}
