#include "plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "dvsr/error.hpp"
#include "folders.hpp"
#include "formats.hpp"
#include "patterns.hpp"

namespace {

namespace fs = std::filesystem;

/// A picture, and where it lies below the input that named it.
struct Found {
    fs::path picture;
    fs::path below;
};

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::option, message);
}

bool is_file(const fs::path& path) {
    std::error_code unknown;
    return fs::is_regular_file(path, unknown);
}

bool is_there(const fs::path& path) {
    std::error_code unknown;
    return fs::exists(path, unknown);
}

/// A file that exists is meant as it is, brackets and all.
bool is_pattern(const fs::path& input) { return has_magic(input.string()) && !is_there(input); }

bool is_in(const fs::path& path, const fs::path& folder) {
    std::error_code unresolved;
    const fs::path inside = fs::weakly_canonical(path, unresolved);
    const fs::path outside = fs::weakly_canonical(folder, unresolved);
    const auto ends = std::mismatch(outside.begin(), outside.end(), inside.begin(), inside.end());
    return !unresolved && ends.first == outside.end();
}

/// The folder that `output` means, or empty where it means the file of the one picture.
fs::path output_folder(const std::vector<fs::path>& inputs, const fs::path& output) {
    if (is_folder(output) || !output.has_filename()) {
        return plain(output);
    }
    const bool one_file =
        inputs.size() == 1 && !is_folder(inputs.front()) && !is_pattern(inputs.front());
    if (one_file && output.has_extension()) {
        return {};
    }
    if (is_picture_name(output) || is_file(output)) {
        refuse("the output " + output.string() +
               " is the name of a file, which one picture can become, but not several; give a "
               "folder");
    }
    return plain(output);
}

/// Those of `paths` that look like pictures, in order, without what an earlier run put into
/// `output`, which may be empty.
std::vector<fs::path> only_pictures(const std::vector<fs::path>& paths, const fs::path& output) {
    std::vector<fs::path> pictures;
    std::copy_if(paths.begin(), paths.end(), std::back_inserter(pictures),
                 [&](const fs::path& path) {
                     return is_picture_name(path) && is_file(path) &&
                            (output.empty() || !is_in(path, output));
                 });
    std::sort(pictures.begin(), pictures.end());
    return pictures;
}

/// What lies in `folder` and below it, without what is hidden.
std::vector<fs::path> visible_in(const fs::path& folder) {
    std::vector<fs::path> paths;
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto entry = fs::recursive_directory_iterator(folder, options);
         entry != fs::recursive_directory_iterator(); ++entry) {
        if (entry->path().filename().string().front() == '.') {
            entry.disable_recursion_pending();
        } else {
            paths.push_back(plain(entry->path()));
        }
    }
    return paths;
}

/// The pictures in `folder` and below it.
std::vector<Found> walk(const fs::path& folder, const fs::path& prefix, const fs::path& output) {
    if (!output.empty() && is_in(folder, output)) {
        refuse("the output " + output.string() + " is or holds the folder " + folder.string() +
               "; give a folder of its own, so that results are not taken for pictures");
    }
    std::vector<Found> found;
    for (const fs::path& path : only_pictures(visible_in(folder), output)) {
        found.push_back({path, prefix / path.lexically_relative(folder)});
    }
    if (found.empty()) {
        refuse("no pictures in " + folder.string() + "; wanted are " + picture_suffixes());
    }
    return found;
}

/// The pictures that match, below the folder where the pattern begins to vary.
std::vector<Found> match(const fs::path& pattern, const fs::path& output) {
    const fs::path fixed = plain(fixed_part(plain(pattern)));
    std::vector<fs::path> paths = matches(pattern);
    std::transform(paths.begin(), paths.end(), paths.begin(), plain);
    std::vector<Found> found;
    for (const fs::path& path : only_pictures(paths, output)) {
        found.push_back({path, path.lexically_relative(fixed)});
    }
    if (found.empty()) {
        refuse("no pictures match " + pattern.string() + "; wanted are " + picture_suffixes());
    }
    return found;
}

/// Each picture once, in the place where it was first found and below what named it last.
std::vector<Found> without_repeats(const std::vector<Found>& found) {
    std::vector<Found> once;
    std::map<fs::path, std::size_t> places;
    for (const Found& each : found) {
        const auto [place, is_new] = places.emplace(each.picture, once.size());
        if (is_new) {
            once.push_back(each);
        } else {
            once[place->second] = each;
        }
    }
    return once;
}

std::vector<Found> find_all(const std::vector<fs::path>& inputs, const fs::path& output) {
    const auto folders = std::count_if(inputs.begin(), inputs.end(), is_folder);
    std::vector<Found> found;
    for (const fs::path& input : inputs) {
        const fs::path path = plain(input);
        std::vector<Found> more;
        if (is_pattern(input)) {
            more = match(input, output);
        } else if (is_folder(path)) {
            // Several folders may well hold the same names: each keeps its own.
            const fs::path name = plain(fs::absolute(path)).filename();
            more = walk(path, folders > 1 ? name : fs::path(), output);
        } else if (is_there(path)) {
            more = {{path, path.filename()}};
        } else {
            refuse("no file or folder " + input.string() + "; check the name");
        }
        found.insert(found.end(), more.begin(), more.end());
    }
    return without_repeats(found);
}

fs::path with_suffix(fs::path path, const char* suffix) { return path.replace_extension(suffix); }

std::vector<Job> make_jobs(const std::vector<Found>& found, const fs::path& folder,
                           const fs::path& output, const Views& views) {
    std::vector<Job> jobs;
    for (const Found& each : found) {
        const fs::path target =
            plain(folder.empty() ? output : with_suffix(folder / each.below, ".png"));
        jobs.push_back({each.picture, target,
                        views.comparison ? with_suffix(target, ".compare.png") : fs::path(),
                        views.std ? with_suffix(target, ".std.png") : fs::path()});
    }
    return jobs;
}

fs::path resolved(const fs::path& path) {
    std::error_code unresolved;
    return fs::weakly_canonical(path, unresolved);
}

/// The jobs that write `path`, for people.
std::string writers_of(const fs::path& path, const std::vector<Job>& jobs) {
    std::string names;
    for (const Job& job : jobs) {
        const std::vector<fs::path> written = outputs(job);
        if (std::find(written.begin(), written.end(), path) != written.end()) {
            names += (names.empty() ? "" : " and ") + job.picture.string();
        }
    }
    return names;
}

/// Throws where two outputs, or an output and a picture, would be one file.
void check_distinct(const std::vector<Job>& jobs) {
    std::set<fs::path> pictures;
    std::map<fs::path, int> times;
    std::vector<fs::path> written;
    for (const Job& job : jobs) {
        pictures.insert(resolved(job.picture));
        for (const fs::path& path : outputs(job)) {
            ++times[path];
            written.push_back(path);
        }
    }
    for (const fs::path& path : written) {
        if (times[path] > 1) {
            refuse(writers_of(path, jobs) + " would both become " + path.string() +
                   "; give them different names or folders");
        }
    }
    for (const fs::path& path : written) {
        if (pictures.count(resolved(path)) != 0) {
            refuse(path.string() + " is one of the pictures; choose another output");
        }
    }
}

}  // namespace

fs::path plain(const fs::path& path) {
    fs::path parts;
    for (const fs::path& part : path) {
        if (!part.empty() && part != ".") {
            parts /= part;
        }
    }
    return parts.empty() ? "." : parts;
}

std::vector<fs::path> outputs(const Job& job) {
    std::vector<fs::path> paths;
    for (const fs::path& path : {job.target, job.comparison, job.std}) {
        if (!path.empty()) {
            paths.push_back(path);
        }
    }
    return paths;
}

std::vector<fs::path> find_pictures(const std::vector<fs::path>& inputs) {
    std::vector<fs::path> pictures;
    for (const Found& each : find_all(inputs, {})) {
        pictures.push_back(each.picture);
    }
    return pictures;
}

Batch plan_batch(const std::vector<fs::path>& inputs, const fs::path& output, const Views& views) {
    const fs::path folder = output_folder(inputs, output);
    const Batch batch{make_jobs(find_all(inputs, folder), folder, output, views), folder};
    check_distinct(batch.jobs);
    if (folder.empty()) {
        check_output(batch.jobs.front().target);
    } else {
        create_folder(folder);
        if (::access(folder.c_str(), W_OK) != 0) {
            throw dvsr::Error(
                dvsr::ErrorKind::image,
                "no permission to write into " + folder.string() + "; choose another output");
        }
    }
    return batch;
}
