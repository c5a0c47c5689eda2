#include "journal.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "dvsr/error.hpp"
#include "formats.hpp"
#include "journal_file.hpp"

namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

[[noreturn]] void refuse(const std::string& message) {
    throw dvsr::Error(dvsr::ErrorKind::option, message);
}

/// All in `folder` that is named like a picture, relative to it.
Names pictures_in(const fs::path& folder) {
    Names names;
    const auto options = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
        if (is_picture_name(entry.path())) {
            names.insert(entry.path().lexically_relative(folder).string());
        }
    }
    return names;
}

/// The pictures in `folder` that `recipe` did not make.
Names others_in(const fs::path& folder, const std::optional<Journal>& found, const Recipe& recipe,
                bool overwrite) {
    if (found && found->recipe == recipe) {
        return found->others;
    }
    Names others = pictures_in(folder);
    if (found && !others.empty() && !overwrite) {
        refuse(folder.string() + " was made with other settings (" +
               differences(found->recipe, recipe) +
               "); give another folder, the same settings, or --overwrite");
    }
    return others;
}

/// Those of `others` that `jobs` would write.
Names in_the_way(const fs::path& folder, const std::vector<Job>& jobs, const Names& others) {
    Names names;
    for (const Job& job : jobs) {
        for (const fs::path& output : outputs(job)) {
            const std::string name = output.lexically_relative(folder).string();
            std::error_code unknown;
            if (others.count(name) != 0 && fs::exists(output, unknown)) {
                names.insert(name);
            }
        }
    }
    return names;
}

void delete_all(const fs::path& folder, const Names& names) {
    for (const std::string& name : names) {
        const fs::path path = plain(folder / name);
        std::error_code failure;
        fs::remove(path, failure);
        if (failure) {
            throw dvsr::Error(dvsr::ErrorKind::image,
                              "cannot delete " + path.string() + ": " + failure.message());
        }
    }
}

bool is_done(const Job& job) {
    std::error_code unknown;
    const auto changed = fs::last_write_time(job.picture, unknown);
    const std::vector<fs::path> written = outputs(job);
    return !unknown && std::all_of(written.begin(), written.end(), [&](const fs::path& output) {
        const auto made = fs::last_write_time(output, unknown);
        return !unknown && made >= changed && is_whole_png(output);
    });
}

}  // namespace

Remaining begin_batch(const fs::path& folder, const std::vector<Job>& jobs, const Recipe& recipe,
                      bool overwrite) {
    const std::optional<Journal> found = read_journal(folder);
    Names others = others_in(folder, found, recipe, overwrite);
    const Names obstacles = in_the_way(folder, jobs, others);
    if (!obstacles.empty() && !overwrite) {
        refuse(folder.string() + " holds " + std::to_string(obstacles.size()) +
               " of the pictures to be written already, such as " + *obstacles.begin() +
               ", and no record of how they were made; give another folder, or --overwrite");
    }
    delete_all(folder, obstacles);
    for (const std::string& name : obstacles) {
        others.erase(name);
    }
    const Journal journal{Journal::kFormat, std::string("dvsr-edge ") + dvsr::version(), recipe,
                          others};
    if (!found || !(journal == *found)) {
        write_journal(folder, journal);
    }
    Remaining remaining;
    std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(remaining.jobs),
                 [&](const Job& job) { return overwrite || !is_done(job); });
    remaining.done = jobs.size() - remaining.jobs.size();
    return remaining;
}
