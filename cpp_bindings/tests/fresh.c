/* The first picture of a fresh process: dvsr_fresh BUNDLE PRESET SIDE_PX. No test; measure.py runs
 * it beside `python -m runtime.bench.fresh`. */
#include <dvsr/dvsr.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
    dvsr_session* session = NULL;
    dvsr_session_options opening = DVSR_SESSION_OPTIONS_INIT;
    dvsr_options options = DVSR_OPTIONS_INIT;
    dvsr_image picture = DVSR_IMAGE_INIT;
    const long side = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (side < 1 || side > 1 << 14) {
        fprintf(stderr, "usage: dvsr_fresh BUNDLE PRESET SIDE_PX\n");
        return 2;
    }
    picture.data = malloc((size_t)(3 * side * side));
    if (picture.data == NULL) {
        return 1;
    }
    for (long at = 0; at < 3 * side * side; ++at) {
        picture.data[at] = (uint8_t)(at * 2654435761U >> 24);
    }
    picture.height_px = picture.width_px = side;
    options.preset = argv[2];
    opening.engine = "onnx-cpu";
    const int failed = dvsr_session_open_with(argv[1], &opening, &session) != DVSR_OK ||
                       dvsr_deblur(session, &picture, &options, &picture, NULL) != DVSR_OK;
    if (failed) {
        fprintf(stderr, "dvsr_fresh: %s\n", dvsr_last_error());
    }
    dvsr_session_close(session);
    free(picture.data);
    return failed;
}
