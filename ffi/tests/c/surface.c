/* What the other programs do not touch, in both loop modes: keys, priorities, lossy streams, take,
 * drain, statistics of every kind, what remains of a session, faults, capabilities. */
#define RINGWAY_EXPERIMENTAL
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static ringway_engine *engines[2];
static ringway_session accepted_session, session;
static ringway_stream accepted_stream;
static char text[1 << 16];

/* Polls both sides until one tells `kind`. New sessions and streams are noted on the way. */
#define wait_for(kind) wait_for_at(kind, __LINE__)
static ringway_event wait_for_at(uint32_t kind, int line)
{
    ringway_event event;
    int who;
    for (;;) {
        if (!next_event(engines, 2, &event, &who)) {
            fprintf(stderr, "line %d: event %u does not come\n", line, kind);
            abort();
        }
        if (event.kind == RINGWAY_EVENT_SESSION_ACCEPTED)
            accepted_session = event.related;
        if (event.kind == RINGWAY_EVENT_STREAM_ACCEPTED)
            accepted_stream = event.related;
        if (event.kind == kind)
            return event;
    }
}

/* The number behind "name": in a JSON text. */
static uint64_t number_in(const char *json, const char *name)
{
    char key[96];
    const char *at;
    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(json, key);
    if (!at) {
        fprintf(stderr, "no %s in %s\n", name, json);
        abort();
    }
    return strtoull(at + strlen(key), NULL, 10);
}

static void about(void)
{
    ringway_chunk unused;
    (void)unused;
    CHECK(strcmp(ringway_version(), "0.0.0") != 0);
    CHECK(ringway_version_number() > 0 && strstr(ringway_build_info(), ringway_version()));
    CHECK(strcmp(ringway_error_name(RINGWAY_E_GAP), "RINGWAY_E_GAP") == 0);
    CHECK(strlen(ringway_strerror(RINGWAY_E_AGAIN)) > 5 && strlen(ringway_strerror(-9999)) > 5);
    CHECK(ringway_error_class(RINGWAY_E_AGAIN) == RINGWAY_CLASS_AGAIN);
    CHECK(ringway_error_class(7) == RINGWAY_CLASS_OK);
    CHECK(ringway_error_class(-9999) == RINGWAY_CLASS_INTERNAL);
    CHECK(ringway_probe_json(text, sizeof text) > 100 && strstr(text, "\"io_uring\":true"));
    EXPECT(1, ringway_capability("splice"));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_capability("teleport"));
    EXPECT(RINGWAY_E_NULL, ringway_capability(NULL));
    /* texts are cut, always end, and tell their whole length */
    memset(text, 'x', 16);
    CHECK(ringway_probe_json(text, 8) > 100 && text[7] == 0 && text[8] == 'x');
    EXPECT(RINGWAY_E_NULL, ringway_probe_json(NULL, 8));
    CHECK(ringway_probe_json(NULL, 0) > 100);
}

static void keys(const char *folder)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    ringway_keys *made = NULL, *loaded = NULL, *again = NULL;
    ringway_error error;
    struct stat about_file;
    char file[256], id[64];
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    snprintf(file, sizeof file, "%s/key", folder);
    OK(ringway_keys_generate("node-a", &made, &error));
    EXPECT(6, ringway_keys_id(made, id, sizeof id));
    CHECK(strcmp(id, "node-a") == 0);
    OK(ringway_keys_save(made, file, &error));
    CHECK(stat(file, &about_file) == 0 && (about_file.st_mode & 0777) == 0600);
    /* an existing file is not replaced */
    EXPECT(RINGWAY_E_KEY_FILE, ringway_keys_save(made, file, &error));
    CHECK(error.system_errno == EEXIST && error.message[0]);
    OK(ringway_keys_load(file, 0, &loaded, &error));
    EXPECT(6, ringway_keys_id(loaded, id, sizeof id));
    CHECK(chmod(file, 0644) == 0);
    EXPECT(RINGWAY_E_KEY_FILE, ringway_keys_load(file, 0, &again, &error));
    CHECK(again == NULL);
    snprintf(file, sizeof file, "%s/fresh", folder);
    EXPECT(RINGWAY_E_KEY_FILE, ringway_keys_load(file, 0, &again, NULL));
    OK(ringway_keys_load(file, 1, &again, NULL));
    OK(ringway_keys_free(again));
    OK(ringway_keys_from_hex("node-b", hex, &again, &error));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_keys_from_hex("", hex, &again, &error));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_keys_from_hex("x", "zz", &again, &error));
    /* the user's own, below a home of ours */
    CHECK(setenv("HOME", folder, 1) == 0 && unsetenv("XDG_CONFIG_HOME") == 0);
    {
        ringway_keys *own = NULL;
        OK(ringway_keys_of_user(&own, &error));
        OK(ringway_keys_free(own));
    }
    /* several in one set, and what their holders may take */
    {
        ringway_keys *both = NULL, *limited = NULL;
        ringway_key_limits limits;
        memset(&limits, 0, sizeof limits);
        limits.struct_size = sizeof limits;
        limits.sessions = 1;
        OK(ringway_keys_join(made, again, &both, &error));
        EXPECT(6, ringway_keys_id(both, id, sizeof id));
        CHECK(strcmp(id, "node-a") == 0);
        OK(ringway_keys_limit(both, "node-b", &limits, &limited, &error));
        OK(ringway_keys_free(limited));
        OK(ringway_keys_limit(both, "node-b", NULL, &limited, NULL));
        OK(ringway_keys_free(limited));
        EXPECT(RINGWAY_E_ARGUMENT, ringway_keys_limit(both, "node-c", &limits, &again, &error));
        CHECK(strstr(error.message, "node-c") != NULL);
        OK(ringway_keys_free(both));
    }
    OK(ringway_keys_free(made));
    OK(ringway_keys_free(loaded));
    OK(ringway_keys_free(again));
}

static ringway_engine *start_small(uint32_t mode)
{
    ringway_config config;
    ringway_engine *engine = NULL;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.loop_mode = mode;
    config.shards = 1;
    config.name = "surface";
    config.retained_bytes_max = 256 << 10;
    config.stream_window_bytes = 128 << 10;
    config.helper_threads = RINGWAY_NONE;
    config.bulk_connections = RINGWAY_NONE;
    OK(ringway_engine_start(&config, &engine, NULL));
    return engine;
}

/* One more session with these keys, which are freed; how it went. */
static int32_t dial_with(const char *address, ringway_keys *keys, ringway_session *session)
{
    ringway_connect_options connecting;
    ringway_event event;
    memset(&connecting, 0, sizeof connecting);
    connecting.struct_size = sizeof connecting;
    connecting.keys = keys;
    OK(ringway_connect(engines[1], address, &connecting, session));
    OK(ringway_keys_free(keys));
    event = wait_for(RINGWAY_EVENT_SESSION_CONNECTED);
    CHECK(event.handle == *session);
    return event.code;
}

/* The same, and it is let go. */
static int32_t outcome_with(const char *address, ringway_keys *keys)
{
    ringway_session tried;
    int32_t code = dial_with(address, keys, &tried);
    OK(ringway_session_free(engines[1], tried));
    return code;
}

/* A secret is changed: dialers that know the new one and the one before come through all the time;
 * and a key that may have one session gets no second one. */
static void rotation_and_limits(void)
{
    ringway_listen_options listening;
    ringway_listener listener;
    ringway_keys *old = NULL, *fresh = NULL, *both = NULL, *one = NULL;
    ringway_key_limits limits;
    ringway_session kept;
    char address[128];
    OK(ringway_keys_generate("turning", &old, NULL));
    OK(ringway_keys_generate("turning", &fresh, NULL));
    memset(&listening, 0, sizeof listening);
    listening.struct_size = sizeof listening;
    listening.keys = old;
    OK(ringway_listen(engines[0], "127.0.0.1:0", &listening, &listener));
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    OK(ringway_keys_join(fresh, old, &both, NULL));
    EXPECT(0, outcome_with(address, both));
    OK(ringway_keys_join(fresh, old, &both, NULL));
    memset(&limits, 0, sizeof limits);
    limits.struct_size = sizeof limits;
    limits.sessions = 1;
    OK(ringway_keys_limit(fresh, "turning", &limits, &one, NULL));
    OK(ringway_listener_replace_keys(engines[0], listener, one));
    OK(ringway_keys_free(one));
    EXPECT(RINGWAY_E_AUTHENTICATION, outcome_with(address, old));
    EXPECT(0, dial_with(address, both, &kept));
    CHECK(outcome_with(address, fresh) == RINGWAY_E_REFUSED);
    OK(ringway_session_free(engines[1], kept));
    OK(ringway_listener_close(engines[0], listener));
    listener = start_listener(engines[0], "127.0.0.1:0");
    OK(ringway_keys_generate("turning", &old, NULL));
    EXPECT(RINGWAY_E_STATE, ringway_listener_replace_keys(engines[0], listener, old));
    OK(ringway_keys_free(old));
    OK(ringway_listener_close(engines[0], listener));
}

/* A listener with a key, and a session that proves it. */
static void connect_keyed(void)
{
    ringway_listen_options listening;
    ringway_connect_options connecting;
    ringway_listener listener;
    ringway_keys *made = NULL;
    char address[128], id[64];
    OK(ringway_keys_generate("both", &made, NULL));
    memset(&listening, 0, sizeof listening);
    listening.struct_size = sizeof listening;
    listening.keys = made;
    OK(ringway_listen(engines[0], "127.0.0.1:0", &listening, &listener));
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    memset(&connecting, 0, sizeof connecting);
    connecting.struct_size = sizeof connecting;
    connecting.keys = made;
    OK(ringway_connect(engines[1], address, &connecting, &session));
    CHECK(wait_for(RINGWAY_EVENT_SESSION_CONNECTED).code == 0);
    while (!accepted_session)
        wait_for(RINGWAY_EVENT_SESSION_ACCEPTED);
    EXPECT(4, ringway_session_peer_key_id(engines[0], accepted_session, id, sizeof id));
    CHECK(strcmp(id, "both") == 0);
    EXPECT(7, ringway_session_peer_name(engines[1], session, id, sizeof id));
    CHECK(strcmp(id, "surface") == 0);
    OK(ringway_keys_free(made));
    /* another key is refused, and says so */
    OK(ringway_keys_generate("both", &made, NULL));
    connecting.keys = made;
    {
        ringway_session refused;
        ringway_event event;
        OK(ringway_connect(engines[1], address, &connecting, &refused));
        event = wait_for(RINGWAY_EVENT_SESSION_CONNECTED);
        CHECK(event.handle == refused && event.code == RINGWAY_E_AUTHENTICATION);
        OK(ringway_session_free(engines[1], refused));
    }
    OK(ringway_keys_free(made));
}

static void take_and_user_data(void)
{
    ringway_stream stream;
    ringway_buffer *buffer = NULL;
    ringway_chunk chunk;
    ringway_stream_options options;
    ringway_offsets offsets;
    uint64_t number = 99, ids[2];
    ringway_session found = 0;
    int64_t offset;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.priority = 8;
    options.user_data = 5;
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, &options, &stream));
    OK(ringway_user_data(engines[1], stream, &number));
    CHECK(number == 5);
    OK(ringway_set_user_data(engines[1], stream, 6));
    OK(ringway_user_data(engines[1], stream, &number));
    CHECK(number == 6);
    OK(ringway_stream_session(engines[1], stream, &found));
    CHECK(found == session);
    OK(ringway_stream_set_priority(engines[1], stream, 1));
    EXPECT(9, ringway_stream_send(engines[1], stream, "take this", 9, RINGWAY_SEND_RECORD));
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    while ((offset = ringway_stream_take(engines[0], accepted_stream, &buffer, &chunk)) ==
           RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    EXPECT(0, offset);
    CHECK(chunk.length == 9 && chunk.flags == RINGWAY_CHUNK_RECORD);
    CHECK(ringway_buffer_length(buffer) == 9 &&
          memcmp(ringway_buffer_data(buffer), "take this", 9) == 0);
    OK(ringway_stream_id(engines[1], stream, &ids[0]));
    OK(ringway_stream_id(engines[0], accepted_stream, &ids[1]));
    CHECK(ids[0] == ids[1]);
    /* what was taken is sent on, after its stream is gone */
    EXPECT(4, ringway_stream_send_buffer(engines[0], accepted_stream, buffer, 5, 4, 0));
    EXPECT(RINGWAY_E_ARGUMENT,
           ringway_stream_send_buffer(engines[0], accepted_stream, buffer, 6, 4, 0));
    OK(ringway_buffer_release(buffer));
    while ((offset = ringway_stream_receive(engines[1], stream, &chunk)) == RINGWAY_E_AGAIN)
        CHECK(wait_for(RINGWAY_EVENT_STREAM_READABLE).user_data == 6);
    CHECK(chunk.length == 4 && memcmp(chunk.data, "this", 4) == 0);
    OK(ringway_stream_notify(engines[1], stream, RINGWAY_GOAL_CONSUMED, 9, 44));
    {
        ringway_event event = wait_for(RINGWAY_EVENT_STREAM_CONSUMED);
        CHECK(event.code == 0 && event.token == 44 && event.offset == 9);
    }
    memset(&offsets, 0, sizeof offsets);
    offsets.struct_size = sizeof offsets;
    OK(ringway_stream_offsets(engines[1], stream, &offsets));
    CHECK(offsets.sent == 9 && offsets.acked == 9 && offsets.consumed == 9);
    CHECK(ringway_stream_statistics_json(engines[1], stream, text, sizeof text) > 0);
    CHECK(number_in(text, "accepted_bytes") == 9 && number_in(text, "records_accepted") == 1);
    CHECK(ringway_session_statistics_json(engines[1], session, text, sizeof text) > 0);
    CHECK(number_in(text, "body_bytes_sent") >= 9 && number_in(text, "connected") == 1);
    CHECK(strstr(text, "\"resume_gaps_ns\":{"));
    OK(ringway_stream_reset(engines[1], stream, 1234, "enough"));
    while ((offset = ringway_stream_receive(engines[0], accepted_stream, &chunk)) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    EXPECT(RINGWAY_E_RESET, offset);
    {
        ringway_error error;
        memset(&error, 0, sizeof error);
        error.struct_size = sizeof error;
        OK(ringway_last_error(engines[0], accepted_stream, &error));
        CHECK(error.code == RINGWAY_E_RESET && error.status_code == 1234);
        CHECK(strstr(error.message, "enough"));
    }
    OK(ringway_stream_free(engines[0], accepted_stream));
    OK(ringway_stream_free(engines[1], stream));
}

static void counters(void)
{
    uint64_t value = 0;
    CHECK(ringway_statistics_json(engines[1], text, sizeof text) > 0);
    CHECK(number_in(text, "body_bytes_sent") >= 9);
    OK(ringway_statistic(engines[1], "body_bytes_sent", &value));
    CHECK(value >= 9);
    value = 71;
    EXPECT(RINGWAY_E_ARGUMENT, ringway_statistic(engines[1], "no such", &value));
    CHECK(value == 71);
    OK(ringway_statistic(engines[1], "path_bytes.copy", &value));
    CHECK(ringway_metrics(engines[1], text, sizeof text) > 0);
    CHECK(strstr(text, "# TYPE ringway_body_bytes_sent_total counter\n"));
    CHECK(ringway_reductions_json(engines[1], text, sizeof text) >= 2 && text[0] == '[');
}

/* A lossy stream gives up its oldest records, and the receiver is told where. */
static void lossy(void)
{
    static unsigned char record[16 << 10];
    ringway_stream_options options;
    ringway_stream stream;
    ringway_chunk chunk;
    uint64_t received = 0, lost = 0;
    int i, gaps = 0;
    const int records = 400;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.when_full = RINGWAY_WHEN_FULL_DROP_OLDEST;
    options.queue_bytes_max = 64 << 20;
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, &options, &stream));
    for (i = 0; i < records; i++) {
        record[0] = (unsigned char)i;
        EXPECT((i + 1) * sizeof record, ringway_stream_send(engines[1], stream, record,
                                                            sizeof record, RINGWAY_SEND_RECORD));
    }
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    OK(ringway_stream_notify(engines[1], stream, RINGWAY_GOAL_FINISH_ACKED, 0, 3));
    EXPECT(records * sizeof record, ringway_stream_finish(engines[1], stream, 0, NULL));
    for (;;) {
        int64_t offset = ringway_stream_receive(engines[0], accepted_stream, &chunk);
        if (offset == RINGWAY_E_AGAIN) {
            wait_for(RINGWAY_EVENT_STREAM_READABLE);
        } else if (offset == RINGWAY_E_GAP) {
            ringway_error error;
            memset(&error, 0, sizeof error);
            error.struct_size = sizeof error;
            OK(ringway_last_error(engines[0], accepted_stream, &error));
            CHECK(error.offset == received + lost && error.allowed > 0);
            lost += error.allowed;
            gaps++;
        } else if (offset == RINGWAY_E_EOF) {
            break;
        } else {
            CHECK(offset == (int64_t)(received + lost));
            received += chunk.length;
            OK(ringway_stream_consume(engines[0], accepted_stream, chunk.length));
        }
    }
    CHECK(received + lost == records * sizeof record && received > 0 && (gaps > 0) == (lost > 0));
    CHECK(lost % sizeof record == 0);
    OK(ringway_stream_free(engines[0], accepted_stream));
    OK(ringway_stream_free(engines[1], stream));
}

/* What was told to be readable goes into a file too: in parts, the rest is received as usual. */
static void file_after_readable(const char *folder)
{
    ringway_stream stream;
    ringway_chunk chunk;
    ringway_event event;
    char file[256], back[16];
    int descriptor;
    size_t length;
    snprintf(file, sizeof file, "%s/readable", folder);
    descriptor = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(descriptor >= 0);
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, NULL, &stream));
    EXPECT(0, ringway_stream_send(engines[1], stream, "", 0, RINGWAY_SEND_RECORD));
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    while (ringway_stream_receive(engines[0], accepted_stream, &chunk) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    CHECK(chunk.length == 0 && chunk.flags == RINGWAY_CHUNK_RECORD);
    OK(ringway_stream_consume(engines[0], accepted_stream, 0));
    EXPECT(RINGWAY_E_AGAIN, ringway_stream_receive(engines[0], accepted_stream, &chunk));
    EXPECT(8, ringway_stream_send(engines[1], stream, "filerest", 8, RINGWAY_SEND_FINISH));
    wait_for(RINGWAY_EVENT_STREAM_READABLE);
    OK(ringway_stream_receive_file(engines[0], accepted_stream, descriptor, 3, 4, 7));
    event = wait_for(RINGWAY_EVENT_STREAM_FILE_RECEIVED);
    CHECK(event.code == 0 && event.token == 7 && event.length == 4);
    CHECK(pread(descriptor, back, 4, 3) == 4 && memcmp(back, "file", 4) == 0);
    EXPECT(4, ringway_stream_receive_into(engines[0], accepted_stream, back, sizeof back, &length,
                                          NULL));
    CHECK(length == 4 && memcmp(back, "rest", 4) == 0);
    /* what the application has borrowed is not taken from it */
    EXPECT(8, ringway_stream_send(engines[0], accepted_stream, "borrowed", 8, 0));
    while (ringway_stream_receive(engines[1], stream, &chunk) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    EXPECT(RINGWAY_E_STATE,
           ringway_stream_receive_file(engines[1], stream, descriptor, 0, 4, 8));
    OK(ringway_stream_free(engines[0], accepted_stream));
    OK(ringway_stream_free(engines[1], stream));
    close(descriptor);
}

/* Two files wait in order though the first bytes were looked at before there was any; and a file
 * that cannot take them stops the sender. */
static void files_after_readable(const char *folder)
{
    ringway_stream stream;
    ringway_chunk chunk;
    ringway_event event;
    ringway_error error;
    char file[256], back[8];
    int descriptors[3], i;
    for (i = 0; i < 3; i++) {
        snprintf(file, sizeof file, "%s/in-order-%d", folder, i);
        descriptors[i] = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK(descriptors[i] >= 0);
    }
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, NULL, &stream));
    EXPECT(0, ringway_stream_send(engines[1], stream, "", 0, RINGWAY_SEND_RECORD));
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    while (ringway_stream_receive(engines[0], accepted_stream, &chunk) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    OK(ringway_stream_consume(engines[0], accepted_stream, 0));
    EXPECT(RINGWAY_E_AGAIN, ringway_stream_receive(engines[0], accepted_stream, &chunk));
    EXPECT(2, ringway_stream_send(engines[1], stream, "on", 2, 0));
    wait_for(RINGWAY_EVENT_STREAM_READABLE);
    OK(ringway_stream_receive_file(engines[0], accepted_stream, descriptors[0], 0, 4, 1));
    OK(ringway_stream_receive_file(engines[0], accepted_stream, descriptors[1], 0, 4, 2));
    EXPECT(8, ringway_stream_send(engines[1], stream, "e1two2", 6, 0));
    for (i = 0; i < 2; i++) {
        event = wait_for(RINGWAY_EVENT_STREAM_FILE_RECEIVED);
        CHECK(event.code == 0 && event.token == (uint64_t)i + 1 && event.length == 4);
        CHECK(pread(descriptors[i], back, 8, 0) == 4);
        CHECK(memcmp(back, i == 0 ? "one1" : "two2", 4) == 0);
    }
    /* the third can only be read */
    EXPECT(RINGWAY_E_AGAIN, ringway_stream_receive(engines[0], accepted_stream, &chunk));
    EXPECT(12, ringway_stream_send(engines[1], stream, "lost", 4, 0));
    wait_for(RINGWAY_EVENT_STREAM_READABLE);
    snprintf(file, sizeof file, "%s/in-order-2", folder);
    close(descriptors[2]);
    CHECK((descriptors[2] = open(file, O_RDONLY)) >= 0);
    OK(ringway_stream_receive_file(engines[0], accepted_stream, descriptors[2], 0, 4, 3));
    event = wait_for(RINGWAY_EVENT_STREAM_FILE_RECEIVED);
    CHECK(event.code == RINGWAY_E_KERNEL && event.token == 3);
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    event = wait_for(RINGWAY_EVENT_STREAM_SEND_FAILED);
    CHECK(event.handle == stream && event.code == RINGWAY_E_STOPPED);
    OK(ringway_last_error(engines[1], stream, &error));
    CHECK(strstr(error.message, "cannot write") != NULL);
    OK(ringway_stream_free(engines[0], accepted_stream));
    OK(ringway_stream_free(engines[1], stream));
    for (i = 0; i < 3; i++)
        close(descriptors[i]);
}

/* When a session ends for good, what was not delivered comes back. */
static void remains(const char *folder)
{
    ringway_stream stream;
    ringway_remains left;
    ringway_retained kept;
    ringway_buffer *buffer = NULL;
    uint64_t id, index;
    int64_t count;
    char file[256];
    int descriptor;
    static char bulk[300 << 10];
    memset(&left, 0, sizeof left);
    memset(&kept, 0, sizeof kept);
    left.struct_size = sizeof left;
    kept.struct_size = sizeof kept;
    snprintf(file, sizeof file, "%s/source", folder);
    descriptor = open(file, O_RDWR | O_CREAT, 0600);
    CHECK(descriptor >= 0 && ftruncate(descriptor, 1 << 20) == 0);
    EXPECT(RINGWAY_E_AGAIN, ringway_session_remains_count(engines[1], session));
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, NULL, &stream));
    /* more than the window: the rest stays here */
    EXPECT(sizeof bulk, ringway_stream_send(engines[1], stream, bulk, sizeof bulk,
                                            RINGWAY_SEND_RECORD));
    EXPECT(sizeof bulk + (1 << 20),
           ringway_stream_send_file(engines[1], stream, descriptor, 0, 1 << 20, 0));
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    OK(ringway_stream_id(engines[1], stream, &id));
    CHECK(ringway_session_statistics_json(engines[1], session, text, sizeof text) > 0);
    OK(ringway_session_close(engines[0], accepted_session, 1001, "enough"));
    for (;;) {
        ringway_event event = wait_for(RINGWAY_EVENT_SESSION_ENDED);
        if (event.handle == session) {
            ringway_error error;
            memset(&error, 0, sizeof error);
            error.struct_size = sizeof error;
            CHECK(event.code == RINGWAY_E_SESSION_ENDED);
            OK(ringway_last_error(engines[1], session, &error));
            CHECK(error.status_code == 1001 && strstr(error.message, "enough"));
            break;
        }
    }
    count = ringway_session_remains_count(engines[1], session);
    CHECK(count >= 1);
    for (index = 0; left.stream_id != id; index++)
        OK(ringway_session_remains(engines[1], session, index, &left));
    index--;
    CHECK( left.acked < sizeof bulk && left.retained_count >= 1);
    CHECK(left.accepted >= sizeof bulk && !left.is_finished);
    EXPECT(RINGWAY_E_LIMIT, ringway_session_remains(engines[1], session, (uint64_t)count, &left));
    OK(ringway_session_retained(engines[1], session, index, 0, &kept, &buffer));
    CHECK(kept.offset == left.acked && kept.offset + kept.length == sizeof bulk);
    CHECK(kept.flags == RINGWAY_CHUNK_RECORD && !kept.is_file && buffer);
    CHECK(ringway_buffer_length(buffer) == kept.length);
    CHECK(memcmp(ringway_buffer_data(buffer), bulk + kept.offset, kept.length) == 0);
    OK(ringway_buffer_release(buffer));
    if (left.retained_count > 1) {
        OK(ringway_session_retained(engines[1], session, index, 1, &kept, &buffer));
        CHECK(kept.is_file && buffer == NULL && kept.offset - sizeof bulk == kept.file_offset);
    }
    EXPECT(RINGWAY_E_LIMIT,
           ringway_session_retained(engines[1], session, index, 99, &kept, &buffer));
    EXPECT(RINGWAY_E_SESSION_ENDED, ringway_stream_send(engines[1], stream, "x", 1, 0));
    OK(ringway_stream_free(engines[1], stream));
    OK(ringway_stream_free(engines[0], accepted_stream));
    OK(ringway_session_free(engines[1], session));
    OK(ringway_session_free(engines[0], accepted_session));
    close(descriptor);
}

/* A drain lets the stream end, then the session; new streams are refused meanwhile. */
static void drain(void)
{
    ringway_stream stream;
    ringway_event event;
    ringway_chunk chunk;
    int64_t offset;
    int drained = 0, ended = 0;
    accepted_stream = 0;
    OK(ringway_stream_open(engines[1], session, NULL, &stream));
    EXPECT(4, ringway_stream_send(engines[1], stream, "last", 4, RINGWAY_SEND_FINISH));
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    OK(ringway_session_drain(engines[1], session));
    while ((offset = ringway_stream_receive(engines[0], accepted_stream, &chunk)) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    CHECK(chunk.length == 4 && memcmp(chunk.data, "last", 4) == 0);
    OK(ringway_stream_consume(engines[0], accepted_stream, 4));
    while ((offset = ringway_stream_receive(engines[0], accepted_stream, &chunk)) == RINGWAY_E_AGAIN)
        wait_for(RINGWAY_EVENT_STREAM_READABLE);
    EXPECT(RINGWAY_E_EOF, offset);
    EXPECT(0, ringway_stream_finish(engines[0], accepted_stream, 0, NULL));
    while (!(drained && ended)) {
        int who;
        CHECK(next_event(engines, 2, &event, &who));
        if (event.kind == RINGWAY_EVENT_SESSION_DRAINED) {
            CHECK(event.handle == session && event.code == 0);
            drained = 1;
        }
        if (event.kind == RINGWAY_EVENT_SESSION_ENDED && event.handle == session)
            ended = 1;
    }
}

/* Cuts that the engine makes itself: the session survives them, and they are counted. */
static void faults(uint32_t mode)
{
    ringway_config config;
    ringway_error error;
    ringway_engine *faulty = NULL;
    ringway_listener listener;
    ringway_stream stream;
    ringway_chunk chunk;
    uint64_t received = 0;
    static char data[64 << 10];
    const int pieces = 64;
    char address[128];
    int i;
    memset(&config, 0, sizeof config);
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    config.struct_size = sizeof config;
    config.shards = 1;
    EXPECT(RINGWAY_E_ARGUMENT,
           ringway_engine_start_with_faults(&config, 1, "meteor", &faulty, &error));
    CHECK(strstr(error.message, "meteor") && faulty == NULL);
    EXPECT(RINGWAY_E_NULL, ringway_engine_start_with_faults(&config, 1, NULL, &faulty, &error));
    config.loop_mode = mode;
    OK(ringway_engine_start_with_faults(&config, 1, "", &faulty, &error));
    engines[0] = start_engine(mode);
    engines[1] = faulty;
    EXPECT(RINGWAY_E_STATE, ringway_faults_set(engines[0], "cut:after=1MiB"));
    EXPECT(RINGWAY_E_STATE, ringway_faults_json(engines[0], text, sizeof text));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_faults_set(faulty, "cut:never"));
    OK(ringway_faults_set(faulty, "cut:every=1MiB,delay:10ms"));
    listener = start_listener(engines[0], "127.0.0.1:0");
    CHECK(ringway_listener_address(engines[0], listener, address, sizeof address) > 0);
    session = start_session(faulty, address);
    CHECK(wait_for(RINGWAY_EVENT_SESSION_CONNECTED).code == 0);
    accepted_stream = 0;
    {
        ringway_stream_options options;
        memset(&options, 0, sizeof options);
        options.struct_size = sizeof options;
        options.queue_bytes_max = 64 << 20;
        OK(ringway_stream_open(faulty, session, &options, &stream));
    }
    for (i = 0; i < pieces; i++)
        EXPECT((i + 1) * sizeof data, ringway_stream_send(faulty, stream, data, sizeof data, 0));
    ringway_stream_finish(faulty, stream, 0, NULL);
    while (!accepted_stream)
        wait_for(RINGWAY_EVENT_STREAM_ACCEPTED);
    for (;;) {
        int64_t offset = ringway_stream_receive(engines[0], accepted_stream, &chunk);
        if (offset == RINGWAY_E_EOF)
            break;
        if (offset == RINGWAY_E_AGAIN) {
            wait_for(RINGWAY_EVENT_STREAM_READABLE);
            continue;
        }
        CHECK(offset == (int64_t)received);
        received += chunk.length;
        OK(ringway_stream_consume(engines[0], accepted_stream, chunk.length));
    }
    CHECK(received == pieces * sizeof data);
    CHECK(ringway_faults_json(faulty, text, sizeof text) > 0);
    CHECK(number_in(text, "cut") >= 2);
    CHECK(number_in(text, "delay") >= 2);
    OK(ringway_engine_free(engines[0]));
    OK(ringway_engine_free(engines[1]));
}

static void run(uint32_t mode, const char *folder)
{
    int i;
    accepted_session = session = 0;
    engines[0] = start_small(mode);
    engines[1] = start_small(mode);
    connect_keyed();
    take_and_user_data();
    counters();
    for (i = 0; i < 5; i++)
        lossy();
    file_after_readable(folder);
    files_after_readable(folder);
    remains(folder);
    accepted_session = 0;
    connect_keyed();
    drain();
    rotation_and_limits();
    OK(ringway_engine_free(engines[0]));
    OK(ringway_engine_free(engines[1]));
    faults(mode);
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    about();
    keys(arguments[1]);
    run(RINGWAY_LOOP_THREADS, arguments[1]);
    run(RINGWAY_LOOP_CALLER, arguments[1]);
    return 0;
}
