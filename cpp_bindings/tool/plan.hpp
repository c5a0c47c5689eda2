#pragma once

#include <filesystem>
#include <vector>

/// `path` as Python shows paths: without empty parts and dots.
std::filesystem::path plain(const std::filesystem::path& path);

/// The views wanted beside each picture.
struct Views {
    bool comparison = false;
    bool std = false;
};

/// A picture, the file that its deblurred form goes to, and those of the views; empty: not wanted.
struct Job {
    std::filesystem::path picture;
    std::filesystem::path target;
    std::filesystem::path comparison;
    std::filesystem::path std;
};

/// All files that `job` writes.
std::vector<std::filesystem::path> outputs(const Job& job);

/// What is read and written, all settled before any work.
struct Batch {
    std::vector<Job> jobs;
    std::filesystem::path folder;  ///< empty where a single picture becomes one file
};

/// Settle it by the rules and in the words of `runtime/batch/plan.py`: `inputs` are pictures,
/// folders, which are read with all they hold, and patterns; `output` is a folder, which is
/// created, or a file where one picture is named. Throws dvsr::Error (option).
Batch plan_batch(const std::vector<std::filesystem::path>& inputs,
                 const std::filesystem::path& output, const Views& views);

/// The pictures that `inputs` name, as in `plan_batch`. Throws dvsr::Error (option).
std::vector<std::filesystem::path> find_pictures(const std::vector<std::filesystem::path>& inputs);
