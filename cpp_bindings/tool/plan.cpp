#include "plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "dvsr/error.hpp"
#include "photograph.hpp"

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

/// As Python shows paths: without empty parts and dots.
fs::path plain(const fs::path& path) {
    fs::path parts;
    for (const fs::path& part : path) {
        if (!part.empty() && part != ".") {
            parts /= part;
        }
    }
    return parts.empty() ? "." : parts;
}

bool is_in(const fs::path& path, const fs::path& folder) {
    std::error_code unresolved;
    const fs::path inside = fs::weakly_canonical(path, unresolved);
    const fs::path outside = fs::weakly_canonical(folder, unresolved);
    const auto ends = std::mismatch(outside.begin(), outside.end(), inside.begin(), inside.end());
    return !unresolved && ends.first == outside.end();
}

/// The folder that `output` means, or empty where it means the file of the one picture.
fs::path output_folder(const std::vector<fs::path>& inputs, const fs::path& output) {
    if (fs::is_directory(output) || !output.has_filename()) {
        return plain(output);
    }
    const bool one_file = inputs.size() == 1 && !fs::is_directory(inputs.front());
    if (one_file && output.has_extension()) {
        return {};
    }
    if (is_picture_name(output) || fs::is_regular_file(output)) {
        refuse("the output " + output.string() +
               " is the name of a file, which one picture can become, but not several; give a "
               "folder");
    }
    return plain(output);
}

/// The pictures in `folder` and below it, without hidden ones and those of an earlier run.
std::vector<Found> walk(const fs::path& folder, const fs::path& prefix, const fs::path& output) {
    if (is_in(folder, output)) {
        refuse("the output " + output.string() + " is or holds the folder " + folder.string() +
               "; give a folder of its own, so that results are not taken for pictures");
    }
    std::vector<Found> found;
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto entry = fs::recursive_directory_iterator(folder, options);
         entry != fs::recursive_directory_iterator(); ++entry) {
        const fs::path& path = entry->path();
        if (path.filename().string().front() == '.') {
            entry.disable_recursion_pending();
        } else if (is_picture_name(path) && entry->is_regular_file() && !is_in(path, output)) {
            found.push_back({path, prefix / path.lexically_relative(folder)});
        }
    }
    if (found.empty()) {
        refuse("no pictures in " + folder.string() + "; wanted are " + picture_suffixes());
    }
    std::sort(found.begin(), found.end(),
              [](const Found& one, const Found& other) { return one.picture < other.picture; });
    return found;
}

std::vector<Found> find_all(const std::vector<fs::path>& inputs, const fs::path& output) {
    const auto folders = std::count_if(inputs.begin(), inputs.end(),
                                       [](const auto& path) { return fs::is_directory(path); });
    std::vector<Found> found;
    for (const fs::path& input : inputs) {
        const fs::path path = plain(input);
        if (fs::is_directory(path)) {
            // Several folders may well hold the same names: each keeps its own.
            const fs::path name = plain(fs::absolute(path)).filename();
            const std::vector<Found> more = walk(path, folders > 1 ? name : fs::path(), output);
            found.insert(found.end(), more.begin(), more.end());
        } else if (fs::exists(path)) {
            found.push_back({path, path.filename()});
        } else {
            refuse("no file or folder " + input.string() + "; check the name");
        }
    }
    return found;
}

fs::path with_suffix(fs::path path, const char* suffix) { return path.replace_extension(suffix); }

/// The jobs, each picture once.
std::vector<Job> make_jobs(const std::vector<Found>& found, const fs::path& folder,
                           const fs::path& output, const Views& views) {
    std::vector<Job> jobs;
    std::set<fs::path> known;
    for (const Found& each : found) {
        if (!known.insert(each.picture).second) {
            continue;
        }
        const fs::path target =
            folder.empty() ? plain(output) : with_suffix(folder / each.below, ".png");
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

/// All files that a job writes.
std::vector<fs::path> outputs(const Job& job) {
    std::vector<fs::path> paths;
    for (const fs::path& path : {job.target, job.comparison, job.std}) {
        if (!path.empty()) {
            paths.push_back(path);
        }
    }
    return paths;
}

/// Throws where two outputs, or an output and a picture, would be one file.
void check_distinct(const std::vector<Job>& jobs) {
    std::map<fs::path, std::vector<std::string>> sources;
    std::set<fs::path> pictures;
    for (const Job& job : jobs) {
        pictures.insert(resolved(job.picture));
        for (const fs::path& path : outputs(job)) {
            sources[path].push_back(job.picture.string());
        }
    }
    for (const auto& [target, names] : sources) {
        if (names.size() > 1) {
            std::string all;
            for (const std::string& name : names) {
                all += (all.empty() ? "" : " and ") + name;
            }
            refuse(all + " would both become " + target.string() +
                   "; give them different names or folders");
        }
        if (pictures.count(resolved(target)) != 0) {
            refuse(target.string() + " is one of the pictures; choose another output");
        }
    }
}

}  // namespace

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

void create_folder(const fs::path& folder) {
    std::error_code failure;
    fs::create_directories(folder, failure);
    if (failure) {
        throw dvsr::Error(dvsr::ErrorKind::image, "cannot create the folder " + folder.string() +
                                                      ": " + failure.message() +
                                                      "; choose another output");
    }
}
