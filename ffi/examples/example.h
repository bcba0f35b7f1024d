/* What the examples share: options from the command line, and giving up with the reason. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <inttypes.h>
#include <ringway.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says why and ends. `handle` is 0 where there is none. */
static inline void give_up(ringway_engine *engine, uint64_t handle, const char *what, int64_t code)
{
    ringway_error error;
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    if (engine && ringway_last_error(engine, handle, &error) == 0 && error.code == code)
        fprintf(stderr, "%s: %s\n", what, error.message);
    else
        fprintf(stderr, "%s: %s\n", what, ringway_strerror((int)code));
    exit(1);
}

static inline void check(ringway_engine *engine, uint64_t handle, const char *what, int64_t code)
{
    if (code < 0)
        give_up(engine, handle, what, code);
}

static inline ringway_engine *start(uint32_t loop_mode)
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
    if (ringway_engine_start(&config, &engine, &error) != 0) {
        fprintf(stderr, "cannot start: %s\n", error.message);
        exit(1);
    }
    return engine;
}

/* The keys that the `ringway` command uses; RINGWAY_EXAMPLE_KEY names another file. */
static inline ringway_keys *user_keys(void)
{
    const char *file = getenv("RINGWAY_EXAMPLE_KEY");
    ringway_keys *keys = NULL;
    ringway_error error;
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    if ((file ? ringway_keys_load(file, 1, &keys, &error) : ringway_keys_of_user(&keys, &error)) != 0) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return keys;
}

static inline ringway_session connect_to(ringway_engine *engine, const char *address)
{
    ringway_keys *keys = user_keys();
    ringway_connect_options options;
    ringway_session session = 0;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.keys = keys;
    check(engine, 0, "connect", ringway_connect(engine, address, &options, &session));
    ringway_keys_free(keys);
    return session;
}

/* Listens, and prints the address, which a script reads. */
static inline ringway_listener listen_on(ringway_engine *engine, const char *address)
{
    ringway_keys *keys = user_keys();
    ringway_listen_options options;
    ringway_listener listener = 0;
    char text[256];
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.keys = keys;
    check(engine, 0, "listen", ringway_listen(engine, address, &options, &listener));
    ringway_keys_free(keys);
    ringway_listener_address(engine, listener, text, sizeof text);
    printf("listening on %s\n", text);
    fflush(stdout);
    return listener;
}

/* Waits for the next event. */
static inline ringway_event next(ringway_engine *engine)
{
    ringway_event event;
    int told;
    do {
        told = ringway_loop_wait(engine, &event, 1, -1);
        check(engine, 0, "wait", told);
    } while (told == 0);
    return event;
}

#endif
