#include "element.hpp"

#include <gst/video/gstvideofilter.h>
#include <gst/video/video.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "dvsr/dvsr.hpp"
#include "ladder.hpp"

GST_DEBUG_CATEGORY_STATIC(dvsr_deblur_debug);
#define GST_CAT_DEFAULT dvsr_deblur_debug

namespace {

/// What the properties hold; read when the element starts.
struct Settings {
    std::string bundle;
    std::string engine = "auto";
    std::string preset;
    int steps = -1;
    int samples = -1;
    guint64 seed = 0;
    guint budget_ms = 0;
    guint memory_mib = 0;
};

struct State {
    std::mutex guard;  // for what the application's thread and the streaming thread both touch
    Settings settings;
    double longest_ms = 0.0;
    // The streaming thread's own.
    std::unique_ptr<dvsr::Session> session;
    std::unique_ptr<Ladder> ladder;
};

struct Element {
    GstVideoFilter parent;
    State* state;
};

struct ElementClass {
    GstVideoFilterClass parent;
};

enum Property { kBundle = 1, kEngine, kPreset, kSteps, kSamples, kSeed, kBudget, kMemory };

Element* element_of(gpointer object) { return static_cast<Element*>(object); }

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
    State& state = *element_of(object)->state;
    const std::lock_guard<std::mutex> lock(state.guard);
    const auto text = [&] {
        const char* given = g_value_get_string(value);
        return std::string(given == nullptr ? "" : given);
    };
    switch (id) {
        case kBundle:
            state.settings.bundle = text();
            break;
        case kEngine:
            state.settings.engine = text();
            break;
        case kPreset:
            state.settings.preset = text();
            break;
        case kSteps:
            state.settings.steps = g_value_get_int(value);
            break;
        case kSamples:
            state.settings.samples = g_value_get_int(value);
            break;
        case kSeed:
            state.settings.seed = g_value_get_uint64(value);
            break;
        case kBudget:
            state.settings.budget_ms = g_value_get_uint(value);
            break;
        case kMemory:
            state.settings.memory_mib = g_value_get_uint(value);
            break;
        default:
            G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
    State& state = *element_of(object)->state;
    const std::lock_guard<std::mutex> lock(state.guard);
    const Settings& settings = state.settings;
    switch (id) {
        case kBundle:
            g_value_set_string(value, settings.bundle.c_str());
            break;
        case kEngine:
            g_value_set_string(value, settings.engine.c_str());
            break;
        case kPreset:
            g_value_set_string(value, settings.preset.c_str());
            break;
        case kSteps:
            g_value_set_int(value, settings.steps);
            break;
        case kSamples:
            g_value_set_int(value, settings.samples);
            break;
        case kSeed:
            g_value_set_uint64(value, settings.seed);
            break;
        case kBudget:
            g_value_set_uint(value, settings.budget_ms);
            break;
        case kMemory:
            g_value_set_uint(value, settings.memory_mib);
            break;
        default:
            G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

dvsr::Options options_of(const Settings& settings) {
    dvsr::Options options;
    options.seed = settings.seed;
    if (settings.steps >= 0) {
        options.steps = settings.steps;
    }
    if (settings.samples >= 0) {
        options.samples = settings.samples;
    }
    if (!settings.preset.empty()) {
        options.preset = settings.preset;
    }
    return options;
}

gboolean start(GstBaseTransform* base) {
    State& state = *element_of(base)->state;
    Settings settings;
    {
        const std::lock_guard<std::mutex> lock(state.guard);
        settings = state.settings;
        state.longest_ms = 0.0;
    }
    std::optional<std::int64_t> memory_mib;
    if (settings.memory_mib > 0) {
        memory_mib = settings.memory_mib;
    }
    try {
        state.session =
            std::make_unique<dvsr::Session>(settings.bundle, settings.engine, memory_mib);
        state.ladder = std::make_unique<Ladder>(options_of(settings), settings.budget_ms);
    } catch (const std::exception& error) {
        GST_ELEMENT_ERROR(base, RESOURCE, OPEN_READ, ("%s", error.what()), (nullptr));
        return FALSE;
    }
    GST_INFO_OBJECT(base, "engine %s", state.session->engine().c_str());
    return TRUE;
}

gboolean stop(GstBaseTransform* base) {
    State& state = *element_of(base)->state;
    state.session.reset();
    state.ladder.reset();
    return TRUE;
}

void swap_red_and_blue(const dvsr::MutableImageView& image) {
    for (std::int64_t row = 0; row < image.height_px; ++row) {
        std::uint8_t* sample = image.data + row * image.row_bytes;
        for (std::int64_t column = 0; column < image.width_px; ++column, sample += 3) {
            std::swap(sample[0], sample[2]);
        }
    }
}

void deblur(State& state, GstVideoFrame* frame) {
    const dvsr::MutableImageView image{
        static_cast<std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(frame, 0)),
        GST_VIDEO_FRAME_HEIGHT(frame), GST_VIDEO_FRAME_WIDTH(frame), 3,
        GST_VIDEO_FRAME_PLANE_STRIDE(frame, 0)};
    const bool is_bgr = GST_VIDEO_FRAME_FORMAT(frame) == GST_VIDEO_FORMAT_BGR;
    if (is_bgr) {
        swap_red_and_blue(image);
    }
    state.session->deblur({image.data, image.height_px, image.width_px, 3, image.row_bytes}, image,
                          state.ladder->choose());
    if (is_bgr) {
        swap_red_and_blue(image);
    }
}

/// Remember a frame's time; true where it is a new longest one by enough to be worth telling.
bool is_new_latency(State& state, double milliseconds) {
    const std::lock_guard<std::mutex> lock(state.guard);
    if (state.settings.budget_ms > 0 || milliseconds <= 1.1 * state.longest_ms) {
        return false;
    }
    state.longest_ms = milliseconds;
    return true;
}

GstFlowReturn transform_frame(GstVideoFilter* filter, GstVideoFrame* frame) {
    using Clock = std::chrono::steady_clock;
    State& state = *element_of(filter)->state;
    const Clock::time_point began = Clock::now();
    try {
        deblur(state, frame);
    } catch (const std::exception& error) {
        GST_ELEMENT_ERROR(filter, STREAM, FAILED, ("%s", error.what()), (nullptr));
        return GST_FLOW_ERROR;
    }
    const double milliseconds =
        std::chrono::duration<double, std::milli>(Clock::now() - began).count();
    state.ladder->took(milliseconds);
    if (is_new_latency(state, milliseconds)) {
        gst_element_post_message(GST_ELEMENT(filter), gst_message_new_latency(GST_OBJECT(filter)));
    }
    return GST_FLOW_OK;
}

GstClockTime own_latency(State& state) {
    const std::lock_guard<std::mutex> lock(state.guard);
    const double milliseconds =
        state.settings.budget_ms > 0 ? state.settings.budget_ms : state.longest_ms;
    return static_cast<GstClockTime>(milliseconds * static_cast<double>(GST_MSECOND));
}

gboolean answer_query(GstBaseTransform* base, GstPadDirection direction, GstQuery* query) {
    auto* parent = static_cast<GstBaseTransformClass*>(
        g_type_class_peek_parent(g_type_class_peek(dvsr_deblur_get_type())));
    if (!parent->query(base, direction, query)) {
        return FALSE;
    }
    if (direction == GST_PAD_SRC && GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
        gboolean live = FALSE;
        GstClockTime least = 0, most = GST_CLOCK_TIME_NONE;
        gst_query_parse_latency(query, &live, &least, &most);
        const GstClockTime own = own_latency(*element_of(base)->state);
        most = GST_CLOCK_TIME_IS_VALID(most) ? most + own : most;
        gst_query_set_latency(query, live, least + own, most);
    }
    return TRUE;
}

void init(GTypeInstance* instance, gpointer) {
    Element* element = element_of(instance);
    element->state = new State;
    gst_base_transform_set_qos_enabled(GST_BASE_TRANSFORM(element), TRUE);
}

void finalize(GObject* object) {
    auto* parent = static_cast<GObjectClass*>(
        g_type_class_peek_parent(g_type_class_peek(dvsr_deblur_get_type())));
    delete element_of(object)->state;
    parent->finalize(object);
}

void install_properties(GObjectClass* object) {
    const auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                                GST_PARAM_MUTABLE_READY);
    const auto add = [&](guint id, GParamSpec* spec) {
        g_object_class_install_property(object, id, spec);
    };
    add(kBundle, g_param_spec_string("bundle", "Bundle",
                                     "Bundle directory or shipped bundle; empty: the default one",
                                     "", flags));
    add(kEngine,
        g_param_spec_string("engine", "Engine", "auto or an engine's name", "auto", flags));
    add(kPreset,
        g_param_spec_string("preset", "Preset",
                            "Sampling preset of the bundle; empty: its default one", "", flags));
    add(kSteps,
        g_param_spec_int("steps", "Steps", "Diffusion steps; 0: predictor alone, -1: the preset's",
                         -1, 500, -1, flags));
    add(kSamples,
        g_param_spec_int("samples", "Samples", "Sampled pictures averaged; -1: the preset's", -1,
                         1024, -1, flags));
    add(kSeed, g_param_spec_uint64("seed", "Seed", "Same seed, same noise in every frame", 0,
                                   G_MAXUINT64, 0, flags));
    add(kBudget, g_param_spec_uint("budget-ms", "Budget",
                                   "Milliseconds a frame may take: where it takes more, one sample "
                                   "or the predictor alone; 0: none",
                                   0, G_MAXUINT, 0, flags));
    add(kMemory, g_param_spec_uint("memory-mib", "Memory",
                                   "Cut frames into tiles to stay within this; 0: what is free", 0,
                                   G_MAXUINT, 0, flags));
}

void add_pads(GstElementClass* element) {
    GstCaps* caps = gst_caps_from_string(GST_VIDEO_CAPS_MAKE("{ RGB, BGR }"));
    for (const auto& [name, direction] : {std::pair{"sink", GST_PAD_SINK}, {"src", GST_PAD_SRC}}) {
        gst_element_class_add_pad_template(
            element, gst_pad_template_new(name, direction, GST_PAD_ALWAYS, caps));
    }
    gst_caps_unref(caps);
}

void init_class(gpointer type, gpointer) {
    GST_DEBUG_CATEGORY_INIT(dvsr_deblur_debug, "dvsrdeblur", 0, "DvSR deblurring");
    auto* object = static_cast<GObjectClass*>(type);
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    install_properties(object);
    auto* element = static_cast<GstElementClass*>(type);
    gst_element_class_set_static_metadata(element, "DvSR deblurring", "Filter/Effect/Video",
                                          "Deblurs video frames with a DvSR bundle",
                                          "The DvSR Edge developers");
    add_pads(element);
    auto* base = static_cast<GstBaseTransformClass*>(type);
    base->start = start;
    base->stop = stop;
    base->query = answer_query;
    static_cast<GstVideoFilterClass*>(type)->transform_frame_ip = transform_frame;
}

}  // namespace

GType dvsr_deblur_get_type() {
    static const GType type =
        g_type_register_static_simple(GST_TYPE_VIDEO_FILTER, "DvsrDeblur", sizeof(ElementClass),
                                      init_class, sizeof(Element), init, GTypeFlags{});
    return type;
}
