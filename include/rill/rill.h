/* rill/rill.h: all of rill's public interface. */
#ifndef RILL_RILL_H
#define RILL_RILL_H

#include "rill/autodiff.h"
#include "rill/chart.h"
#include "rill/check.h"
#include "rill/core.h"
#include "rill/draw.h"
#include "rill/exec.h"
#include "rill/explorer.h"
#include "rill/graph.h"
#include "rill/io.h"
#include "rill/op.h"
#include "rill/ops.h"
#include "rill/passes.h"
#include "rill/profile.h"
#include "rill/train.h"

#endif
