#pragma once

/// Marks what a shared library `dvsr` shows; everything else stays hidden.
#if defined(DVSR_STATIC)
#define DVSR_API
#else
#define DVSR_API __attribute__((visibility("default")))
#endif
