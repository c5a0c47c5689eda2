#include <doctest/doctest.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include <memory>
#include <string>

#include "dvsr/session.hpp"
#include "element.hpp"
#include "small_bundle.hpp"

namespace {

constexpr int kHeight = 17, kWidth = 31;  // rows that GStreamer pads

struct HarnessCloser {
    void operator()(GstHarness* harness) const { gst_harness_teardown(harness); }
};
using Harness = std::unique_ptr<GstHarness, HarnessCloser>;

GstElement* make_element(const std::string& bundle) {
    static const bool ready = [] {
        gst_init(nullptr, nullptr);
        return gst_element_register(nullptr, "dvsrdeblur", GST_RANK_NONE, dvsr_deblur_get_type());
    }();
    REQUIRE(ready);
    GstElement* element = gst_element_factory_make("dvsrdeblur", nullptr);
    REQUIRE(element != nullptr);
    g_object_set(element, "bundle", bundle.c_str(), "engine", "fake", nullptr);
    return element;
}

/// `element`, which the harness takes over, with its caps settled.
Harness harness_of(GstElement* element, const char* format = "RGB") {
    Harness harness(gst_harness_new_with_element(element, "sink", "src"));
    gst_object_unref(element);
    const std::string caps =
        std::string("video/x-raw,format=") + format + ",width=31,height=17," + "framerate=10/1";
    gst_harness_set_src_caps_str(harness.get(), caps.c_str());
    return harness;
}

std::vector<std::uint8_t> gradient() {
    std::vector<std::uint8_t> samples;
    for (int at = 0; at < 3 * kHeight * kWidth; ++at) {
        samples.push_back(static_cast<std::uint8_t>(at * 37 % 256));
    }
    return samples;
}

std::vector<std::uint8_t> swapped(std::vector<std::uint8_t> samples) {
    for (std::size_t at = 0; at < samples.size(); at += 3) {
        std::swap(samples[at], samples[at + 2]);
    }
    return samples;
}

constexpr gsize kStride = (3 * kWidth + 3) / 4 * 4;

GstBuffer* frame_of(const std::vector<std::uint8_t>& samples, GstClockTime time) {
    GstBuffer* buffer = gst_buffer_new_allocate(nullptr, kStride * kHeight, nullptr);
    for (gsize row = 0; row < kHeight; ++row) {
        gst_buffer_fill(buffer, row * kStride, samples.data() + 3 * kWidth * row, 3 * kWidth);
    }
    GST_BUFFER_PTS(buffer) = time;
    GST_BUFFER_DURATION(buffer) = GST_SECOND / 10;
    return buffer;
}

std::vector<std::uint8_t> through(GstHarness* harness, const std::vector<std::uint8_t>& samples) {
    GstBuffer* buffer = gst_harness_push_and_pull(harness, frame_of(samples, 0));
    REQUIRE(buffer != nullptr);
    std::vector<std::uint8_t> seen(samples.size());
    for (gsize row = 0; row < kHeight; ++row) {
        gst_buffer_extract(buffer, row * kStride, seen.data() + 3 * kWidth * row, 3 * kWidth);
    }
    gst_buffer_unref(buffer);
    return seen;
}

std::vector<std::uint8_t> wanted_picture(const SmallBundle& files, std::uint64_t seed) {
    const std::vector<std::uint8_t> samples = gradient();
    dvsr::Options options;
    options.seed = seed;
    return dvsr::Session(files.path(), "fake")
        .deblur({samples.data(), kHeight, kWidth}, options)
        .samples;
}

}  // namespace

TEST_CASE("a frame becomes the picture that a session makes of it") {
    const SmallBundle files;
    GstElement* element = make_element(files.path());
    g_object_set(element, "seed", guint64{5}, nullptr);
    const Harness harness = harness_of(element);
    CHECK(through(harness.get(), gradient()) == wanted_picture(files, 5));
}

TEST_CASE("a BGR frame becomes the same picture in its own order") {
    const SmallBundle files;
    const Harness harness = harness_of(make_element(files.path()), "BGR");
    CHECK(through(harness.get(), swapped(gradient())) == swapped(wanted_picture(files, 0)));
}

TEST_CASE("a latency query is answered with the budget") {
    const SmallBundle files;
    GstElement* element = make_element(files.path());
    g_object_set(element, "budget-ms", 40U, nullptr);
    const Harness harness = harness_of(element);
    CHECK(gst_harness_query_latency(harness.get()) == 40 * GST_MSECOND);
}

TEST_CASE("without a budget the latency is the longest time that a frame took") {
    const SmallBundle files;
    const Harness harness = harness_of(make_element(files.path()));
    CHECK(gst_harness_query_latency(harness.get()) == 0);
    through(harness.get(), gradient());
    CHECK(gst_harness_query_latency(harness.get()) > 0);
}

TEST_CASE("frames that a QoS event calls late are dropped and later ones are not") {
    const SmallBundle files;
    const Harness harness = harness_of(make_element(files.path()));
    through(harness.get(), gradient());
    gst_harness_push_upstream_event(harness.get(),
                                    gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 2.0, GST_SECOND, 0));
    CHECK(gst_harness_push(harness.get(), frame_of(gradient(), GST_SECOND / 10)) == GST_FLOW_OK);
    CHECK(gst_harness_buffers_received(harness.get()) == 1);
    CHECK(gst_harness_push(harness.get(), frame_of(gradient(), 60 * GST_SECOND)) == GST_FLOW_OK);
    CHECK(gst_harness_buffers_received(harness.get()) == 2);
}

TEST_CASE("a missing bundle ends the start with the library's words") {
    GstElement* element = make_element("no/such/bundle");
    GstBus* bus = gst_bus_new();
    gst_element_set_bus(element, bus);
    CHECK(gst_element_set_state(element, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
    GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    REQUIRE(message != nullptr);
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    CHECK(std::string(error->message).find("no bundle at no/such/bundle") != std::string::npos);
    g_error_free(error);
    gst_message_unref(message);
    gst_element_set_state(element, GST_STATE_NULL);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(bus);
    gst_object_unref(element);
}
