#include "folders.hpp"

#include <system_error>

#include "dvsr/error.hpp"

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
    std::error_code unknown;
    return fs::is_directory(path, unknown);
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
