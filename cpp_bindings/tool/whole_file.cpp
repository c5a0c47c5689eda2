#include "whole_file.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "dvsr/error.hpp"

namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& what, const std::string& advice) {
    const std::string reason = std::strerror(errno);
    throw dvsr::Error(dvsr::ErrorKind::image,
                      what + ": " + reason + (advice.empty() ? "" : "; ") + advice);
}

/// An open file that is closed at the end.
class Descriptor {
public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ >= 0) {
            ::close(number_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int number() const { return number_; }

private:
    int number_;
};

bool write_all(int file, const std::vector<std::uint8_t>& data) {
    std::size_t done = 0;
    while (done < data.size()) {
        const ssize_t written = ::write(file, data.data() + done, data.size() - done);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        done += written > 0 ? static_cast<std::size_t>(written) : 0;
    }
    return ::fsync(file) == 0;
}

/// A temporary file is private; a picture gets the usual permissions.
bool open_to_others(int file) {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    return ::fchmod(file, 0666 & ~mask) == 0;
}

}  // namespace

std::vector<std::uint8_t> read_whole(const fs::path& path, const std::string& advice) {
    const auto fail = [&] { refuse("cannot read " + path.string(), advice); };
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (file.number() < 0 || ::fstat(file.number(), &status) != 0) {
        fail();
    }
    std::vector<std::uint8_t> data(static_cast<std::size_t>(status.st_size));
    std::size_t done = 0;
    while (done < data.size()) {
        const ssize_t got = ::read(file.number(), data.data() + done, data.size() - done);
        if (got < 0) {
            fail();
        }
        if (got == 0) {
            break;
        }
        done += static_cast<std::size_t>(got);
    }
    data.resize(done);
    return data;
}

void write_whole(const fs::path& path, const std::vector<std::uint8_t>& data) {
    const auto fail = [&] { refuse("cannot write " + path.string(), "choose another output"); };
    std::string beside =
        (path.parent_path() / ("." + path.filename().string() + ".XXXXXX")).string();
    const Descriptor file(::mkstemp(beside.data()));
    if (file.number() < 0) {
        fail();
    }
    const bool done = write_all(file.number(), data) && open_to_others(file.number()) &&
                      ::rename(beside.c_str(), path.c_str()) == 0;
    if (!done) {
        const int reason = errno;
        ::unlink(beside.c_str());
        errno = reason;
        fail();
    }
}
