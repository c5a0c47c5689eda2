#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "dvsr/dvsr.hpp"

namespace nb = nanobind;

namespace {

using Picture = nb::ndarray<nb::numpy, std::uint8_t, nb::shape<-1, -1, 3>>;
using Spread = nb::ndarray<nb::numpy, float, nb::shape<-1, -1, 3>>;
using Field = nb::ndarray<nb::numpy, float, nb::shape<3, -1, -1>>;
using Blurred = nb::ndarray<nb::ro, nb::device::cpu>;

/// A numpy array that owns `values`.
template <typename Array, typename Value>
Array owned(std::vector<Value> values, std::initializer_list<std::size_t> shape) {
    auto* kept = new std::vector<Value>(std::move(values));
    const nb::capsule owner(kept,
                            [](void* p) noexcept { delete static_cast<std::vector<Value>*>(p); });
    return Array(kept->data(), shape, owner);
}

std::string shape_text(const Blurred& image) {
    std::string text;
    for (std::size_t axis = 0; axis < image.ndim(); ++axis) {
        text += (text.empty() ? "" : ", ") + std::to_string(image.shape(axis));
    }
    return "(" + text + (image.ndim() == 1 ? ",)" : ")");
}

std::string dtype_text(const Blurred& image) {
    const auto code = static_cast<nb::dlpack::dtype_code>(image.dtype().code);
    const char* kind = code == nb::dlpack::dtype_code::Float  ? "float"
                       : code == nb::dlpack::dtype_code::UInt ? "uint"
                       : code == nb::dlpack::dtype_code::Int  ? "int"
                                                              : "other type of bits ";
    return kind + std::to_string(image.dtype().bits);
}

/// The samples side by side. An array is refused rather than converted: floats in [0, 1] would
/// become black.
std::vector<std::uint8_t> packed(const Blurred& image) {
    if (image.dtype() != nb::dtype<std::uint8_t>() || image.ndim() != 3) {
        throw dvsr::Error(dvsr::ErrorKind::image,
                          "got " + dtype_text(image) + " " + shape_text(image) +
                              "; wanted is uint8 RGB of shape (H, W, 3). Convert it first.");
    }
    const auto* data = static_cast<const std::uint8_t*>(image.data());
    std::vector<std::uint8_t> samples;
    samples.reserve(image.size());
    for (std::size_t row = 0; row < image.shape(0); ++row) {
        for (std::size_t column = 0; column < image.shape(1); ++column) {
            for (std::size_t channel = 0; channel < image.shape(2); ++channel) {
                samples.push_back(data[static_cast<std::int64_t>(row) * image.stride(0) +
                                       static_cast<std::int64_t>(column) * image.stride(1) +
                                       static_cast<std::int64_t>(channel) * image.stride(2)]);
            }
        }
    }
    return samples;
}

nb::object deblur(const dvsr::Session& session, const Blurred& image,
                  std::optional<std::int64_t> steps, std::optional<std::int64_t> samples,
                  std::uint64_t seed, std::optional<std::string> preset,
                  std::optional<bool> self_ensemble, std::optional<double> strength,
                  bool return_std) {
    const std::vector<std::uint8_t> blurred = packed(image);
    const dvsr::ImageView view{blurred.data(), static_cast<std::int64_t>(image.shape(0)),
                               static_cast<std::int64_t>(image.shape(1)),
                               static_cast<std::int64_t>(image.shape(2))};
    const dvsr::Options options{steps, samples, seed, std::move(preset), self_ensemble, strength};
    std::vector<std::uint8_t> sharp(blurred.size());
    std::vector<float> spread(return_std ? blurred.size() : 0);
    {
        const nb::gil_scoped_release others_run;
        session.deblur(view, {sharp.data(), view.height_px, view.width_px}, options,
                       return_std ? spread.data() : nullptr);
    }
    const std::initializer_list<std::size_t> shape{image.shape(0), image.shape(1), 3};
    nb::object picture = nb::cast(owned<Picture>(std::move(sharp), shape));
    if (!return_std) {
        return picture;
    }
    return nb::make_tuple(picture, owned<Spread>(std::move(spread), shape));
}

Field normals(std::uint64_t seed, std::uint32_t sample, std::uint32_t step, std::uint32_t height_px,
              std::uint32_t width_px) {
    std::vector<float> field(std::size_t{3} * height_px * width_px);
    {
        const nb::gil_scoped_release others_run;
        dvsr::normals(seed, sample, step, height_px, width_px, field.data());
    }
    return owned<Field>(std::move(field), {3, height_px, width_px});
}

nb::dict timings(const dvsr::Session& session) {
    const dvsr::Timings times = session.timings();
    nb::dict stages;
    stages["predictor"] = times.predictor_ms;
    stages["noise"] = times.noise_ms;
    stages["steps"] = times.steps_ms;
    stages["total"] = times.total_ms;
    return stages;
}

}  // namespace

#define DVSR_PICTURE "numpy.typing.NDArray[numpy.uint8]"
#define DVSR_SPREAD "numpy.typing.NDArray[numpy.float32]"
#define DVSR_DEBLUR_SIGNATURE(choice, result)                                                  \
    "def deblur(self, image: " DVSR_PICTURE                                                    \
    ", *, steps: int | None = None, samples: int | None = None, seed: int = 0, preset: str | " \
    "None = None, self_ensemble: bool | None = None, strength: float | None = None, "          \
    "return_std: typing.Literal" choice ") -> " result

NB_MODULE(_dvsr, module) {
    module.doc() = "The C++ library dvsr: deblur pictures with a DvSR bundle.";
    nb::exception<dvsr::Error>(module, "DvsrError");
    nb::class_<dvsr::Session>(
        module, "Session", "An opened bundle on an engine; deblur() is safe from several threads.")
        .def(nb::init<const std::filesystem::path&, const std::string&,
                      std::optional<std::int64_t>>(),
             nb::arg("bundle") = "", nb::kw_only(), nb::arg("engine") = "auto",
             nb::arg("memory_mib") = nb::none(),
             "Open a bundle directory, a shipped bundle's name, or '' for the default one.")
        // Twice the same, for two signatures: what is returned depends on return_std.
        .def("deblur", &deblur, nb::arg("image"), nb::kw_only(), nb::arg("steps") = nb::none(),
             nb::arg("samples") = nb::none(), nb::arg("seed") = 0, nb::arg("preset") = nb::none(),
             nb::arg("self_ensemble") = nb::none(), nb::arg("strength") = nb::none(),
             nb::arg("return_std") = false,
             nb::sig(DVSR_DEBLUR_SIGNATURE("[False] = False", DVSR_PICTURE)),
             "Deblur uint8 RGB (H, W, 3) of any size; returns uint8 RGB (H, W, 3).")
        .def("deblur", &deblur, nb::arg("image"), nb::kw_only(), nb::arg("steps") = nb::none(),
             nb::arg("samples") = nb::none(), nb::arg("seed") = 0, nb::arg("preset") = nb::none(),
             nb::arg("self_ensemble") = nb::none(), nb::arg("strength") = nb::none(),
             nb::arg("return_std"),
             nb::sig(DVSR_DEBLUR_SIGNATURE("[True]", "tuple[" DVSR_PICTURE ", " DVSR_SPREAD "]")),
             "Also the standard deviation of the samples, float32 (H, W, 3) in grey levels.")
        .def_prop_ro("engine", &dvsr::Session::engine, "What runs the graphs.")
        .def_prop_ro("presets", &dvsr::Session::presets, "The bundle's presets, sorted.")
        .def_prop_ro("timings", &timings, nb::sig("def timings(self) -> dict[str, float]"),
                     "Milliseconds by stage of the call that ended last.");
    module.def("engines", &dvsr::engines, "The engines built in, without 'auto'.");
    module.def("normals", &normals, nb::arg("seed"), nb::arg("sample"), nb::arg("step"),
               nb::arg("height_px"), nb::arg("width_px"),
               "The noise of one sample and step, float32 (3, height_px, width_px).");
}
