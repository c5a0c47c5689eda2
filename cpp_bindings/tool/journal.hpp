#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan.hpp"
#include "recipe.hpp"

/// How the pictures of a folder were made, kept beside them in the file of
/// `runtime/batch/journal.py`, so that either tool goes on with a batch of the other.

/// The jobs still to do, and how many were found done.
struct Remaining {
    std::vector<Job> jobs;
    std::size_t done = 0;
};

/// Compare `folder` with what is to be written there. Done is a job whose outputs are all there,
/// whole, made with `recipe`, and no older than the picture. With `overwrite` nothing counts as
/// done, and outputs made in another way are deleted now, so that a batch that is interrupted
/// leaves no mixture. Throws dvsr::Error (option) where a mixture would come about, and (image)
/// where the folder cannot be changed.
Remaining begin_batch(const std::filesystem::path& folder, const std::vector<Job>& jobs,
                      const Recipe& recipe, bool overwrite);
