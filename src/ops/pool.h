/* pool.h: what the kernels of the pooling ops share. */
#ifndef RILL_SRC_OPS_POOL_H
#define RILL_SRC_OPS_POOL_H

#include "ops/kernels/pool.h"
#include "ops/ops.h"

typedef struct rill_pool_plan {
    rill_pool pool;
    int64_t rows;          /* output rows of a unit, */
    int64_t images, bands; /* gradient: of whole images, or of some of the bands of one */
} rill_pool_plan;
_Static_assert(sizeof(rill_pool_plan) <= sizeof(((rill_call *)0)->plan), "the plan fits the call");

static inline const rill_pool_plan *rill_pool_plan_in(const rill_call *call)
{
    return (const rill_pool_plan *)(const void *)call->plan.bytes;
}

/* The geometry of a call in which that input has the shape of x. */
rill_pool rill_pool_of(const rill_call *call, uint32_t input);

/* The kernels of channels-first images; `like`: x is input 1. */
bool rill_pool_planes_accepts(const rill_call *call);
rill_status rill_pool_planes_prepare(rill_call *call, rill_error *err);
rill_status rill_pool_planes_prepare_like(rill_call *call, rill_error *err);
rill_status rill_pool_planes_run(const rill_task *task);

/* The plain kernels; `like`: x is input 1. */
rill_status rill_pool_reference_prepare(rill_call *call, rill_error *err);
rill_status rill_pool_reference_prepare_like(rill_call *call, rill_error *err);
rill_status rill_pool_reference_max(const rill_task *task);
rill_status rill_pool_reference_pick(const rill_task *task);
rill_status rill_pool_reference_max_gradient(const rill_task *task);
rill_status rill_pool_reference_avg(const rill_task *task);
rill_status rill_pool_reference_avg_gradient(const rill_task *task);

#endif
