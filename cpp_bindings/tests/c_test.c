#include <dvsr/dvsr.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(dvsr_status status, dvsr_status wanted, const char* words) {
    if (status != wanted || (wanted != DVSR_OK && strstr(dvsr_last_error(), words) == NULL)) {
        printf("got status %d (%s); wanted %d (%s)\n", (int)status, dvsr_last_error(), (int)wanted,
               words);
        ++failures;
    }
}

int main(void) {
    dvsr_session* session = NULL;
    dvsr_image picture = DVSR_IMAGE_INIT;
    dvsr_timings timings = DVSR_TIMINGS_INIT;
    float field[3];

    expect(dvsr_session_open("no/such/bundle", NULL, &session), DVSR_BUNDLE_ERROR, "no bundle at");
    expect(dvsr_session_open("no/such/bundle", NULL, NULL), DVSR_ARGUMENT_ERROR, "session");
    expect(dvsr_deblur(session, &picture, NULL, &picture, NULL), DVSR_ARGUMENT_ERROR, "session");
    expect(dvsr_get_timings(session, &timings), DVSR_ARGUMENT_ERROR, "session");
    expect(dvsr_normals(1, 2, 3, 1, 1, NULL), DVSR_ARGUMENT_ERROR, "field");
    expect(dvsr_normals(1, 2, 3, 0, 1, field), DVSR_ARGUMENT_ERROR, "1x0 px");
    expect(dvsr_normals(1, 2, 3, 1, 1, field), DVSR_OK, "");
    dvsr_session_close(session);
    return failures == 0 ? 0 : 1;
}
