#pragma once

#include <gst/gst.h>

/// The type of the element `dvsrdeblur`: deblurs video/x-raw RGB or BGR in place with a bundle.
///
/// Late frames are dropped by the base class, as QoS events from downstream say. The latency it
/// answers is `budget-ms`, or without one the longest time that a frame has taken so far.
GType dvsr_deblur_get_type();
