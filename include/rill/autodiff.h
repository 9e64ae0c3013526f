/* rill/autodiff.h: reverse-mode differentiation as graph building. */
#ifndef RILL_AUTODIFF_H
#define RILL_AUTODIFF_H

#include "rill/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One event of the walk from the ys back to the xs. Nodes inside a composite that is differentiated
 * through its expansion stand behind the caller's nodes, and follow the composite's own events. */
typedef struct rill_gradient_flow {
    size_t node; /* where the walk is */
    bool sum;    /* true: all contributions to output `port` of the node, added. false: what the
                    node contributes to the value at its input `port` */
    uint32_t port;
    rill_value value;     /* that output or input */
    rill_value cotangent; /* its cotangent, or the part of it that comes from here */
} rill_gradient_flow;

typedef struct rill_gradients_options {
    size_t struct_size;
    /* One for each y, of its type, or NULL for ones; an invalid entry means ones. */
    const rill_value *cotangents;
    /* Is told of each event, as it is built: who contributes what to which gradient (NULL). */
    void (*flow)(void *user, const rill_gradient_flow *event);
    void *flow_user;
} rill_gradients_options;
#define RILL_GRADIENTS_OPTIONS_INIT                      \
    {                                                    \
        sizeof(rill_gradients_options), NULL, NULL, NULL \
    }

/* Appends to g the gradient of sum_k <cotangent_k, y_k> with respect to each x, and sets grads[i],
 * which has the type of xs[i]. Where no y depends on xs[i], grads[i] is the invalid value: zero
 * without a tensor of zeros. Contributions to one value are added in the order of the forward nodes
 * that use it. New nodes are named grad/FORWARD_NODE/OP and know whose gradient they are. The
 * result is a graph like any other: differentiate it again for second derivatives.
 *
 * Fails before anything is built, listing all of them, if a path from xs to ys leads through ops
 * without a gradient; or if a y or x is no float. */
RILL_API RILL_NODISCARD rill_status rill_gradients(rill_graph *g, const rill_value *ys, size_t n_ys,
                                                   const rill_value *xs, size_t n_xs,
                                                   rill_value *grads,
                                                   const rill_gradients_options *options,
                                                   rill_error *err);

#ifdef __cplusplus
}
#endif
#endif
