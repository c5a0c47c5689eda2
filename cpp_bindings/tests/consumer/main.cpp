#include <cstdio>
#include <dvsr/dvsr.hpp>

/// Another project's use of the installed library: it links, runs, and its errors can be caught.
int main() {
    try {
        const dvsr::Session session("no/such/bundle");
    } catch (const dvsr::Error& error) {
        std::printf("dvsr %s: %s\n", dvsr::version(), error.what());
        return error.kind() == dvsr::ErrorKind::bundle ? 0 : 1;
    }
    return 1;
}
