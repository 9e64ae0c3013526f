/* rill/explorer.h: a graph and what its runs computed, as one HTML page (docs/explorer.md).
 *
 * The page needs no network and no other file. It has the graph with its gradient and update, the
 * values that runs of a session really had, the rewrites of the compiler with their reasons, which
 * thread ran which step when, and which bytes of the arena each result occupied.
 */
#ifndef RILL_EXPLORER_H
#define RILL_EXPLORER_H

#include "rill/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_explorer_options {
    size_t struct_size;
    /* Records training steps over these rows, in the order in which rill_fit takes them; the graph
     * must be prepared (rill_graph_prepare_training). NULL: one run without updates of all that
     * `feeds` suffice for, with is_training false. */
    const rill_dataset *data;
    int64_t batch_size; /* 0: the training block's */
    int64_t steps;      /* that are recorded; 5 */
    int64_t every;      /* one of so many steps is recorded, from the first on; 1 */
    const rill_feed *feeds;
    size_t n_feeds;
    size_t whole;      /* tensors of up to so many elements are kept whole; 256. Of larger ones,
                          statistics and a picture */
    const char *about; /* how the page was made, such as a command line; NULL: nothing */
} rill_explorer_options;
#define RILL_EXPLORER_OPTIONS_INIT                                       \
    {                                                                    \
        sizeof(rill_explorer_options), NULL, 0, 5, 1, NULL, 0, 256, NULL \
    }

/* The page as UTF-8; free it with rill_string_free. With data, the session has trained
 * (steps - 1) every + 1 steps then, and one to three more whose time was measured. Recorded runs
 * compute the graph as drawn (level 0, one thread); the timed ones are those of the session's own
 * level and threads. But for times the page depends on graph, session and options alone. */
RILL_API RILL_NODISCARD rill_status rill_explorer_html(rill_session *s,
                                                       const rill_explorer_options *options,
                                                       char **out, rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
