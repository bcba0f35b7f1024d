/* What the C tests share: checks that say where they failed, and one loop for all of them. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <ringway.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);               \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

/* A call that must answer `expected`. */
#define EXPECT(expected, call)                                                                    \
    do {                                                                                          \
        int64_t got_ = (call);                                                                    \
        if (got_ != (int64_t)(expected)) {                                                        \
            fprintf(stderr, "%s:%d: %s: %" PRId64 " (%s), not %s\n", __FILE__, __LINE__, #call,   \
                    got_, ringway_error_name((int)got_), #expected);                              \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

#define OK(call) EXPECT(RINGWAY_OK, call)

static inline ringway_engine *start_engine(uint32_t loop_mode)
{
    ringway_config config;
    ringway_error error;
    ringway_engine *engine = NULL;
    memset(&config, 0, sizeof config);
    memset(&error, 0, sizeof error);
    config.struct_size = sizeof config;
    error.struct_size = sizeof error;
    config.loop_mode = loop_mode;
    config.shards = 1;
    config.name = loop_mode == RINGWAY_LOOP_CALLER ? "caller" : "threads";
    if (ringway_engine_start(&config, &engine, &error) != 0) {
        fprintf(stderr, "cannot start: %s\n", error.message);
        abort();
    }
    return engine;
}

static inline ringway_listener start_listener(ringway_engine *engine, const char *address)
{
    ringway_listen_options options;
    ringway_listener listener = 0;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    OK(ringway_listen(engine, address, &options, &listener));
    return listener;
}

static inline ringway_session start_session(ringway_engine *engine, const char *address)
{
    ringway_connect_options options;
    ringway_session session = 0;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.insecure = RINGWAY_INSECURE_LOCAL;
    OK(ringway_connect(engine, address, &options, &session));
    return session;
}

/* Polls both engines until one of them tells an event; which one is in `*who`. */
static inline int next_event(ringway_engine *engines[], int count, ringway_event *event, int *who)
{
    long rounds;
    for (rounds = 0; rounds < 20000; rounds++) {
        int i;
        for (i = 0; i < count; i++) {
            int told = ringway_loop_wait(engines[i], event, 1, 1000000);
            if (told < 0) {
                fprintf(stderr, "poll: %s\n", ringway_strerror(told));
                abort();
            }
            if (told == 1) {
                *who = i;
                return 1;
            }
        }
    }
    return 0;
}

#endif
