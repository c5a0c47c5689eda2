#include "element.hpp"

#define PACKAGE "dvsr"

static gboolean register_elements(GstPlugin* plugin) {
    return gst_element_register(plugin, "dvsrdeblur", GST_RANK_NONE, dvsr_deblur_get_type());
}

// "Apache 2.0" is a licence that GStreamer knows by this name.
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, dvsr, "Deblurs video with DvSR bundles",
                  register_elements, DVSR_VERSION, "Apache 2.0", PACKAGE, "dvsr-edge")
