/* Every function of the header with every bad argument: pointers, sizes of structures, handles,
 * descriptors, lengths, from inside of a callback, from the wrong thread. A documented code comes
 * back, no output is touched, and everything works as before. c_programs.rs checks that each function
 * is here, with the marks that its declaration and its comment in the header ask for. */
#define RINGWAY_EXPERIMENTAL
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { ENGINE, LISTENER, SESSION, STREAM, CLIENT, TRANSFER, ANY, KINDS };

enum marks {
    SIZED = 1, /* takes a structure that begins with its size */
    OWN = 2,   /* with RINGWAY_LOOP_CALLER only on its thread */
    LOOP = 4,  /* polls or ends the loop: not from inside of ringway_loop_dispatch */
};

typedef int64_t (*call_fn)(ringway_engine *e, uint64_t h);

struct entry {
    const char *name;
    enum kind kind;
    call_fn good; /* its other arguments are fine */
    call_fn bad;  /* one of its pointers is NULL; NULL where it takes none */
    int marks;
};

/* Filled with a pattern that no failure may change. */
static union {
    unsigned char bytes[1024];
    uint64_t number;
    size_t length;
    ringway_chunk chunk;
    ringway_event events[4];
    ringway_buffer *buffer;
} out;

static struct {
    ringway_session_info session;
    ringway_offsets offsets;
    ringway_remains remains;
    ringway_retained retained;
    ringway_transfer_info transfer;
    ringway_entry entry;
    ringway_error error;
} sized;

static const char *sources[1] = {"/nonexistent"};
static ringway_connect_options connecting;
static ringway_listen_options listening;
static ringway_stream_options opening;
static ringway_client_options reaching;
static ringway_transfer_options moving;
static char data[8] = "data";

#define TEXT ((char *)out.bytes)
#define NUM (&out.number)

#define F(id, call)                                                                               \
    static int64_t id(ringway_engine *e, uint64_t h)                                              \
    {                                                                                             \
        (void)e;                                                                                  \
        (void)h;                                                                                  \
        return call;                                                                              \
    }

F(e_stop, ringway_engine_stop(e, 0))
F(e_user, ringway_set_user_data(e, h, 1))
F(e_user_get, ringway_user_data(e, h, NUM))
F(e_user_bad, ringway_user_data(e, h, NULL))
F(e_last, ringway_last_error(e, h, &sized.error))
F(e_last_bad, ringway_last_error(e, h, NULL))
F(e_stat, ringway_statistics_json(e, TEXT, 8))
F(e_stat_bad, ringway_statistics_json(e, NULL, 8))
F(e_met, ringway_metrics(e, TEXT, 8))
F(e_met_bad, ringway_metrics(e, NULL, 8))
F(e_one, ringway_statistic(e, "resumes", NUM))
F(e_one_bad, ringway_statistic(e, NULL, NUM))
F(e_red, ringway_reductions_json(e, TEXT, 8))
F(e_red_bad, ringway_reductions_json(e, NULL, 8))
F(e_fset, ringway_faults_set(e, "refuse:1%"))
F(e_fset_bad, ringway_faults_set(e, NULL))
F(e_fjson, ringway_faults_json(e, TEXT, 8))
F(l_fd, ringway_loop_fd(e))
F(l_timeout, ringway_loop_timeout_ns(e, (int64_t *)NUM))
F(l_timeout_bad, ringway_loop_timeout_ns(e, NULL))
F(l_poll, ringway_loop_poll(e, out.events, 4))
F(l_poll_bad, ringway_loop_poll(e, NULL, 4))
F(l_wait, ringway_loop_wait(e, out.events, 4, 0))
F(l_wait_bad, ringway_loop_wait(e, NULL, 4, 0))
static void nothing(void *context, const ringway_event *event) { (void)context; (void)event; }
F(l_dispatch, ringway_loop_dispatch(e, nothing, NULL))
F(l_dispatch_bad, ringway_loop_dispatch(e, NULL, NULL))
F(l_wake, ringway_loop_wake(e))
F(b_alloc, ringway_buffer_allocate(e, 16, &out.buffer))
F(b_alloc_bad, ringway_buffer_allocate(e, 16, NULL))
F(li_listen, ringway_listen(e, "127.0.0.1:0", &listening, NUM))
F(li_listen_bad, ringway_listen(e, NULL, &listening, NUM))
F(li_address, ringway_listener_address(e, h, TEXT, 8))
F(li_address_bad, ringway_listener_address(e, h, NULL, 8))
static int plain;
F(li_adopt, ringway_listener_adopt(e, h, plain))
static ringway_keys *replacing;
F(li_keys, ringway_listener_replace_keys(e, h, replacing))
F(li_keys_bad, ringway_listener_replace_keys(e, h, NULL))
F(li_close, ringway_listener_close(e, h))
F(s_connect, ringway_connect(e, "127.0.0.1:1", &connecting, NUM))
F(s_connect_bad, ringway_connect(e, "127.0.0.1:1", &connecting, NULL))
F(s_dialled, ringway_session_dialled(e, h, -ECONNREFUSED))
F(s_query, ringway_session_query(e, h, &sized.session))
F(s_query_bad, ringway_session_query(e, h, NULL))
F(s_name, ringway_session_peer_name(e, h, TEXT, 8))
F(s_key, ringway_session_peer_key_id(e, h, TEXT, 8))
F(s_stat, ringway_session_statistics_json(e, h, TEXT, 8))
F(s_reconnect, ringway_session_reconnect(e, h))
F(s_drain, ringway_session_drain(e, h))
F(s_close, ringway_session_close(e, h, 0, NULL))
F(s_abort, ringway_session_abort(e, h))
F(s_free, ringway_session_free(e, h))
F(s_count, ringway_session_remains_count(e, h))
F(s_remains, ringway_session_remains(e, h, 0, &sized.remains))
F(s_remains_bad, ringway_session_remains(e, h, 0, NULL))
F(s_retained, ringway_session_retained(e, h, 0, 0, &sized.retained, NULL))
F(s_retained_bad, ringway_session_retained(e, h, 0, 0, NULL, NULL))
F(t_open, ringway_stream_open(e, h, &opening, NUM))
F(t_open_bad, ringway_stream_open(e, h, NULL, NULL))
F(t_session, ringway_stream_session(e, h, NUM))
F(t_session_bad, ringway_stream_session(e, h, NULL))
F(t_send, ringway_stream_send(e, h, data, 4, 0))
F(t_send_bad, ringway_stream_send(e, h, NULL, 4, 0))
static const ringway_slice slice = {data, 4};
F(t_sendv, ringway_stream_sendv(e, h, &slice, 1, 0))
F(t_sendv_bad, ringway_stream_sendv(e, h, NULL, 1, 0))
static ringway_buffer *lent;
F(t_sendb, ringway_stream_send_buffer(e, h, lent, 0, 4, 0))
F(t_sendb_bad, ringway_stream_send_buffer(e, h, NULL, 0, 4, 0))
static int regular;
F(t_sendf, ringway_stream_send_file(e, h, regular, 0, 0, 0))
F(t_finish, ringway_stream_finish(e, h, 0, NULL))
F(t_reset, ringway_stream_reset(e, h, 0, NULL))
F(t_stop, ringway_stream_stop(e, h, 0, NULL))
F(t_priority, ringway_stream_set_priority(e, h, 5))
F(t_notify, ringway_stream_notify(e, h, RINGWAY_GOAL_ACKED, 0, 0))
F(t_offsets, ringway_stream_offsets(e, h, &sized.offsets))
F(t_offsets_bad, ringway_stream_offsets(e, h, NULL))
F(t_id, ringway_stream_id(e, h, NUM))
F(t_id_bad, ringway_stream_id(e, h, NULL))
F(t_stat, ringway_stream_statistics_json(e, h, TEXT, 8))
F(t_receive, ringway_stream_receive(e, h, &out.chunk))
F(t_receive_bad, ringway_stream_receive(e, h, NULL))
F(t_consume, ringway_stream_consume(e, h, 0))
F(t_take, ringway_stream_take(e, h, &out.buffer, &out.chunk))
F(t_take_bad, ringway_stream_take(e, h, NULL, &out.chunk))
F(t_into, ringway_stream_receive_into(e, h, TEXT, 8, &out.length, NULL))
F(t_into_bad, ringway_stream_receive_into(e, h, NULL, 8, &out.length, NULL))
F(t_file, ringway_stream_receive_file(e, h, regular, 0, 1, 0))
F(t_status, ringway_stream_peer_status(e, h, (uint32_t *)NUM, NULL, 0))
F(t_status_bad, ringway_stream_peer_status(e, h, NULL, NULL, 0))
F(t_free, ringway_stream_free(e, h))
F(c_open, ringway_client_open(e, "127.0.0.1:1", &connecting, &reaching, NUM))
F(c_open_bad, ringway_client_open(e, NULL, &connecting, NULL, NUM))
F(c_close, ringway_client_close(e, h))
F(c_put, ringway_put(e, h, sources, 1, "", &moving, NUM))
F(c_put_bad, ringway_put(e, h, NULL, 1, "", NULL, NUM))
F(c_get, ringway_get(e, h, sources, 1, "/tmp", &moving, NUM))
F(c_get_bad, ringway_get(e, h, sources, 1, NULL, NULL, NUM))
F(c_list, ringway_list(e, h, "", &moving, NUM))
F(c_list_bad, ringway_list(e, h, NULL, NULL, NUM))
F(x_entry, ringway_list_entry(e, h, 0, &sized.entry, NULL, 0))
F(x_entry_bad, ringway_list_entry(e, h, 0, NULL, NULL, 0))
F(x_query, ringway_transfer_query(e, h, &sized.transfer))
F(x_query_bad, ringway_transfer_query(e, h, NULL))
F(x_cancel, ringway_transfer_cancel(e, h))
F(x_free, ringway_transfer_free(e, h))

static const struct entry entries[] = {
    {"user_data", ANY, e_user_get, e_user_bad, 0},
    {"set_user_data", ANY, e_user, NULL, 0},
    {"last_error", ANY, e_last, e_last_bad, SIZED},
    {"statistics_json", ENGINE, e_stat, e_stat_bad, OWN},
    {"metrics", ENGINE, e_met, e_met_bad, OWN},
    {"statistic", ENGINE, e_one, e_one_bad, OWN},
    {"reductions_json", ENGINE, e_red, e_red_bad, 0},
    {"faults_set", ENGINE, e_fset, e_fset_bad, 0},
    {"faults_json", ENGINE, e_fjson, NULL, 0},
    {"loop_fd", ENGINE, l_fd, NULL, 0},
    {"loop_timeout_ns", ENGINE, l_timeout, l_timeout_bad, OWN | LOOP},
    {"loop_poll", ENGINE, l_poll, l_poll_bad, OWN | LOOP},
    {"loop_wait", ENGINE, l_wait, l_wait_bad, OWN | LOOP},
    {"loop_dispatch", ENGINE, l_dispatch, l_dispatch_bad, OWN | LOOP},
    {"loop_wake", ENGINE, l_wake, NULL, 0},
    {"buffer_allocate", ENGINE, b_alloc, b_alloc_bad, OWN},
    {"listen", ENGINE, li_listen, li_listen_bad, SIZED | OWN},
    {"listener_address", LISTENER, li_address, li_address_bad, 0},
    {"listener_adopt", LISTENER, li_adopt, NULL, OWN},
    {"connect", ENGINE, s_connect, s_connect_bad, SIZED},
    {"session_dialled", SESSION, s_dialled, NULL, 0},
    {"session_query", SESSION, s_query, s_query_bad, SIZED},
    {"session_peer_name", SESSION, s_name, NULL, 0},
    {"session_peer_key_id", SESSION, s_key, NULL, 0},
    {"session_statistics_json", SESSION, s_stat, NULL, OWN},
    {"session_reconnect", SESSION, s_reconnect, NULL, 0},
    {"session_drain", SESSION, s_drain, NULL, 0},
    {"session_close", SESSION, s_close, NULL, 0},
    {"session_remains_count", SESSION, s_count, NULL, 0},
    {"session_remains", SESSION, s_remains, s_remains_bad, SIZED},
    {"session_retained", SESSION, s_retained, s_retained_bad, SIZED},
    {"session_abort", SESSION, s_abort, NULL, 0},
    {"session_free", SESSION, s_free, NULL, 0},
    {"stream_open", SESSION, t_open, t_open_bad, SIZED},
    {"stream_session", STREAM, t_session, t_session_bad, 0},
    {"stream_send", STREAM, t_send, t_send_bad, 0},
    {"stream_sendv", STREAM, t_sendv, t_sendv_bad, 0},
    {"stream_send_buffer", STREAM, t_sendb, t_sendb_bad, 0},
    {"stream_send_file", STREAM, t_sendf, NULL, 0},
    {"stream_finish", STREAM, t_finish, NULL, 0},
    {"stream_reset", STREAM, t_reset, NULL, 0},
    {"stream_stop", STREAM, t_stop, NULL, 0},
    {"stream_set_priority", STREAM, t_priority, NULL, 0},
    {"stream_notify", STREAM, t_notify, NULL, 0},
    {"stream_offsets", STREAM, t_offsets, t_offsets_bad, SIZED},
    {"stream_id", STREAM, t_id, t_id_bad, 0},
    {"stream_statistics_json", STREAM, t_stat, NULL, OWN},
    {"stream_receive", STREAM, t_receive, t_receive_bad, 0},
    {"stream_consume", STREAM, t_consume, NULL, 0},
    {"stream_take", STREAM, t_take, t_take_bad, 0},
    {"stream_receive_into", STREAM, t_into, t_into_bad, 0},
    {"stream_receive_file", STREAM, t_file, NULL, 0},
    {"stream_peer_status", STREAM, t_status, t_status_bad, 0},
    {"stream_free", STREAM, t_free, NULL, 0},
    {"client_open", ENGINE, c_open, c_open_bad, SIZED},
    {"put", CLIENT, c_put, c_put_bad, SIZED},
    {"get", CLIENT, c_get, c_get_bad, SIZED},
    {"list", CLIENT, c_list, c_list_bad, SIZED},
    {"client_close", CLIENT, c_close, NULL, 0},
    {"list_entry", TRANSFER, x_entry, x_entry_bad, SIZED},
    {"transfer_query", TRANSFER, x_query, x_query_bad, SIZED},
    {"transfer_cancel", TRANSFER, x_cancel, NULL, 0},
    {"transfer_free", TRANSFER, x_free, NULL, 0},
    {"listener_replace_keys", LISTENER, li_keys, li_keys_bad, 0},
    {"listener_close", LISTENER, li_close, NULL, 0},
    {"engine_stop", ENGINE, e_stop, NULL, OWN | LOOP},
};

enum { ENTRIES = sizeof entries / sizeof *entries };

/* Wrong ones are too small, as those of a structure that was forgotten. */
static void set_sizes(int wrong)
{
    memset(&sized, 0, sizeof sized);
    sized.session.struct_size = wrong ? 0 : sizeof sized.session;
    sized.offsets.struct_size = wrong ? 0 : sizeof sized.offsets;
    sized.remains.struct_size = wrong ? 7 : sizeof sized.remains;
    sized.retained.struct_size = wrong ? 8 : sizeof sized.retained;
    sized.transfer.struct_size = wrong ? 0 : sizeof sized.transfer;
    sized.entry.struct_size = wrong ? 1 << 20 : sizeof sized.entry;
    sized.error.struct_size = wrong ? ~(size_t)0 : sizeof sized.error;
    connecting.struct_size = wrong ? 0 : sizeof connecting;
    listening.struct_size = wrong ? 0 : sizeof listening;
    opening.struct_size = wrong ? 0 : sizeof opening;
    reaching.struct_size = wrong ? 0 : sizeof reaching;
    moving.struct_size = wrong ? 0 : sizeof moving;
}

/* One call that must answer `expected` and touch nothing. */
static void expect(const char *what, const struct entry *entry, call_fn call, ringway_engine *e,
                   uint64_t h, int64_t expected)
{
    unsigned char before[sizeof out], sized_before[sizeof sized];
    int64_t got;
    memset(&out, 0xA5, sizeof out);
    set_sizes(expected == RINGWAY_E_STRUCT_SIZE);
    memcpy(before, &out, sizeof out);
    memcpy(sized_before, &sized, sizeof sized);
    errno = 4242;
    got = call(e, h);
    if (got != expected || errno != 4242 || memcmp(before, &out, sizeof out) != 0 ||
        memcmp(sized_before, &sized, sizeof sized) != 0) {
        fprintf(stderr, "ringway_%s, %s: %" PRId64 " (%s), not %s; or something was touched\n",
                entry->name, what, got, ringway_error_name((int)got),
                ringway_error_name((int)expected));
        abort();
    }
}

static ringway_engine *engine, *other;
/* One good, one freed, one of another engine. */
static uint64_t good[KINDS], stale[KINDS], foreign[KINDS];

static void make(ringway_engine *e, uint64_t handles[KINDS])
{
    char address[128];
    ringway_event event;
    handles[LISTENER] = start_listener(e, "127.0.0.1:0");
    CHECK(ringway_listener_address(e, handles[LISTENER], address, sizeof address) > 0);
    handles[SESSION] = start_session(e, address);
    do
        EXPECT(1, ringway_loop_wait(e, &event, 1, -1));
    while (event.kind != RINGWAY_EVENT_SESSION_CONNECTED);
    CHECK(event.code == 0);
    OK(ringway_stream_open(e, handles[SESSION], NULL, &handles[STREAM]));
    OK(ringway_client_open(e, "127.0.0.1:1", &connecting, NULL, &handles[CLIENT]));
    OK(ringway_list(e, handles[CLIENT], "", NULL, &handles[TRANSFER]));
    handles[ANY] = handles[SESSION];
}

static void handles_and_pointers(void)
{
    int i, kind;
    for (i = 0; i < ENTRIES; i++) {
        const struct entry *entry = &entries[i];
        expect("no engine", entry, entry->good, NULL, good[entry->kind], RINGWAY_E_NULL);
        if (entry->bad)
            expect("a NULL pointer", entry, entry->bad, engine, good[entry->kind], RINGWAY_E_NULL);
        if (entry->marks & SIZED)
            expect("a wrong struct_size", entry, entry->good, engine, good[entry->kind],
                   RINGWAY_E_STRUCT_SIZE);
        if (entry->kind == ENGINE)
            continue;
        /* 0 is the engine itself to ringway_last_error */
        if (strcmp(entry->name, "last_error") != 0)
            expect("0", entry, entry->good, engine, 0, RINGWAY_E_HANDLE);
        expect("no handle", entry, entry->good, engine, ~(uint64_t)0, RINGWAY_E_HANDLE);
        expect("stale", entry, entry->good, engine, stale[entry->kind], RINGWAY_E_CLOSED);
        expect("foreign", entry, entry->good, engine, foreign[entry->kind], RINGWAY_E_HANDLE);
        for (kind = LISTENER; kind < ANY && entry->kind != ANY; kind++)
            if (kind != (int)entry->kind)
                expect("of another kind", entry, entry->good, engine, good[kind],
                       RINGWAY_E_HANDLE);
    }
}

static int was_inside;

static void inside(void *context, void *memory, size_t length)
{
    int i;
    (void)memory;
    (void)length;
    for (i = 0; i < ENTRIES; i++)
        expect("from inside of a callback", &entries[i], entries[i].good, context,
               good[entries[i].kind], RINGWAY_E_REENTRANT);
    EXPECT(RINGWAY_E_REENTRANT, ringway_engine_free(context));
    EXPECT(RINGWAY_E_REENTRANT, ringway_buffer_retain(lent));
    EXPECT(RINGWAY_E_REENTRANT, ringway_buffer_release(lent));
    EXPECT(RINGWAY_E_REENTRANT, ringway_keys_free(NULL));
    was_inside = 1;
}

/* Functions without an engine. */
static void the_rest(void)
{
    static const char hex[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    ringway_keys *keys = NULL;
    ringway_buffer *buffer = NULL;
    ringway_config config;
    ringway_engine *none = NULL;
    ringway_error error;
    memset(&error, 0, sizeof error);
    memset(&config, 0, sizeof config);
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_engine_start(&config, &none, NULL));
    config.struct_size = sizeof config + 1 + sizeof config;
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_engine_start(NULL, &none, &error));
    config.struct_size = sizeof config;
    config.loop_mode = 7;
    EXPECT(RINGWAY_E_ARGUMENT, ringway_engine_start(&config, &none, NULL));
    config.loop_mode = 0;
    config.bulk_connections = 9;
    EXPECT(RINGWAY_E_LIMIT, ringway_engine_start(&config, &none, NULL));
    config.bulk_connections = 0;
    config.reserved = 1;
    EXPECT(RINGWAY_E_ARGUMENT, ringway_engine_start(&config, &none, NULL));
    config.reserved = 0;
    config.masked = "no such feature";
    EXPECT(RINGWAY_E_ARGUMENT, ringway_engine_start(&config, &none, NULL));
    config.masked = NULL;
    config.helper_threads = 1000;
    EXPECT(RINGWAY_E_LIMIT, ringway_engine_start(&config, &none, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_engine_start(NULL, NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_engine_start_with_faults(NULL, 0, "", NULL, NULL));
    CHECK(none == NULL);
    EXPECT(RINGWAY_OK, ringway_engine_free(NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_of_user(NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_load(NULL, 0, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_load("/nonexistent", 0, NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_from_hex(NULL, hex, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_from_hex("a", NULL, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_from_hex("a", hex, NULL, NULL));
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_keys_from_hex("a", hex, &keys, &error));
    EXPECT(RINGWAY_E_NULL, ringway_keys_generate(NULL, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_generate("a", NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_save(NULL, "/nonexistent", NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_id(NULL, NULL, 0));
    EXPECT(RINGWAY_E_NULL, ringway_keys_join(NULL, replacing, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_join(replacing, NULL, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_join(replacing, replacing, NULL, NULL));
    EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_keys_join(replacing, replacing, &keys, &error));
    EXPECT(RINGWAY_E_NULL, ringway_keys_limit(NULL, "me", NULL, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_limit(replacing, NULL, NULL, &keys, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_keys_limit(replacing, "me", NULL, NULL, NULL));
    EXPECT(RINGWAY_E_ARGUMENT, ringway_keys_limit(replacing, "you", NULL, &keys, NULL));
    {
        ringway_key_limits limits;
        memset(&limits, 0, sizeof limits);
        EXPECT(RINGWAY_E_STRUCT_SIZE, ringway_keys_limit(replacing, "me", &limits, &keys, NULL));
    }
    EXPECT(RINGWAY_OK, ringway_keys_free(NULL));
    CHECK(keys == NULL);
    EXPECT(RINGWAY_E_NULL, ringway_buffer_wrap(NULL, 4, NULL, NULL, &buffer));
    EXPECT(RINGWAY_E_NULL, ringway_buffer_wrap(data, 4, NULL, NULL, NULL));
    EXPECT(RINGWAY_E_NULL, ringway_buffer_retain(NULL));
    EXPECT(RINGWAY_OK, ringway_buffer_release(NULL));
    CHECK(ringway_buffer_data(NULL) == NULL && ringway_buffer_length(NULL) == 0);
    EXPECT(RINGWAY_E_NULL, ringway_capability(NULL));
    EXPECT(RINGWAY_E_NULL, ringway_probe_json(NULL, 1));
    EXPECT(RINGWAY_E_NULL, ringway_log_set(RINGWAY_LOG_INFO, NULL, NULL));
    CHECK(ringway_version() && ringway_build_info() && ringway_version_number() > 0);
    CHECK(ringway_strerror(12345) && ringway_error_name(-12345));
    CHECK(ringway_error_class(-12345) == RINGWAY_CLASS_INTERNAL);
}

/* From inside of ringway_loop_dispatch everything works but what polls or ends the loop. */
static void dispatched(void *context, const ringway_event *event)
{
    int i;
    uint64_t number;
    (void)event;
    for (i = 0; i < ENTRIES; i++)
        if (entries[i].marks & LOOP)
            expect("from inside of dispatch", &entries[i], entries[i].good, context,
                   good[entries[i].kind], RINGWAY_E_REENTRANT);
    EXPECT(RINGWAY_E_REENTRANT, ringway_engine_free(context));
    OK(ringway_user_data(context, good[SESSION], &number));
    was_inside = 1;
}

static void from_inside(ringway_engine *e)
{
    uint64_t refused;
    was_inside = 0;
    set_sizes(0);
    /* nobody is there: that is told */
    OK(ringway_connect(e, "127.0.0.1:1", &connecting, &refused));
    while (!was_inside) {
        CHECK(ringway_loop_dispatch(e, dispatched, e) >= 0);
        usleep(1000);
    }
    OK(ringway_session_free(e, refused));
}

/* Descriptors that are none, or of the wrong kind. */
static void descriptors(void)
{
    enum { NONE, CLOSED, DEVICE, FOLDER, PIPE_END, SOCKET, FILE_, WRONG };
    int wrong[WRONG], ends[2], i;
    uint64_t number = 1, dialling;
    ringway_event event;
    set_sizes(0);
    connecting.own_dialer = 1;
    OK(ringway_connect(engine, "127.0.0.1:1", &connecting, &dialling));
    connecting.own_dialer = 0;
    do
        EXPECT(1, ringway_loop_wait(engine, &event, 1, -1));
    while (event.kind != RINGWAY_EVENT_DIAL);
    CHECK(pipe(ends) == 0);
    wrong[NONE] = -1;
    wrong[CLOSED] = 1 << 20;
    CHECK((wrong[DEVICE] = open("/dev/null", O_RDWR)) >= 0);
    CHECK((wrong[FOLDER] = open("/", O_RDONLY)) >= 0);
    wrong[PIPE_END] = ends[0];
    CHECK((wrong[SOCKET] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    wrong[FILE_] = regular;
    for (i = 0; i < WRONG; i++) {
        if (i != FILE_) {
            EXPECT(RINGWAY_E_DESCRIPTOR,
                   ringway_stream_send_file(engine, good[STREAM], wrong[i], 0, 1, 0));
            EXPECT(RINGWAY_E_DESCRIPTOR,
                   ringway_stream_receive_file(engine, good[STREAM], wrong[i], 0, 1, 0));
        }
        if (i == SOCKET)
            continue;
        EXPECT(RINGWAY_E_DESCRIPTOR, ringway_listener_adopt(engine, good[LISTENER], wrong[i]));
        if (wrong[i] >= 0) /* a negative one is an errno there */
            EXPECT(RINGWAY_E_DESCRIPTOR, ringway_session_dialled(engine, dialling, wrong[i]));
        connecting.has_descriptor = 1;
        connecting.descriptor = wrong[i];
        EXPECT(RINGWAY_E_DESCRIPTOR, ringway_connect(engine, "127.0.0.1:1", &connecting, &number));
        connecting.has_descriptor = 0;
        CHECK(number == 1);
    }
    OK(ringway_session_dialled(engine, dialling, -ECONNREFUSED)); /* it still waited */
    EXPECT(RINGWAY_E_STATE, ringway_session_dialled(engine, dialling, -ECONNREFUSED));
    OK(ringway_session_free(engine, dialling));
    close(wrong[DEVICE]);
    close(wrong[FOLDER]);
    close(wrong[SOCKET]);
    close(ends[0]);
    close(ends[1]);
}

/* Lengths, numbers and choices beyond what there is. */
static const ringway_slice too_long = {data, SIZE_MAX};
F(y_poll, ringway_loop_poll(e, out.events, SIZE_MAX))
F(y_poll_none, ringway_loop_poll(e, out.events, 0))
F(y_wait, ringway_loop_wait(e, out.events, SIZE_MAX, 0))
F(y_wait_none, ringway_loop_wait(e, out.events, 0, 0))
F(y_text, ringway_statistics_json(e, TEXT, SIZE_MAX))
F(y_counter, ringway_statistic(e, "no such counter", NUM))
F(y_allocate, ringway_buffer_allocate(e, SIZE_MAX, &out.buffer))
F(y_listen, ringway_listen(e, "nowhere", &listening, NUM))
F(y_connect, ringway_connect(e, "", &connecting, NUM))
F(y_send, ringway_stream_send(e, h, data, SIZE_MAX, 0))
F(y_send_flags, ringway_stream_send(e, h, data, 4, 0x8000))
F(y_sendv, ringway_stream_sendv(e, h, &slice, SIZE_MAX, 0))
F(y_sendv_sum, ringway_stream_sendv(e, h, &too_long, 1, 0))
F(y_sendb, ringway_stream_send_buffer(e, h, lent, 1, 4, 0))
F(y_sendb_sum, ringway_stream_send_buffer(e, h, lent, SIZE_MAX, 4, 0))
F(y_sendf, ringway_stream_send_file(e, h, regular, UINT64_MAX, 4, 0))
F(y_file, ringway_stream_receive_file(e, h, regular, UINT64_MAX, 4, 0))
F(y_finish, ringway_stream_finish(e, h, 1000, "\xff"))
F(y_reset, ringway_stream_reset(e, h, 1000, "\xff"))
F(y_stop, ringway_stream_stop(e, h, 1000, "\xff"))
F(y_close, ringway_session_close(e, h, 1000, "\xff"))
F(y_priority_low, ringway_stream_set_priority(e, h, 0))
F(y_priority, ringway_stream_set_priority(e, h, 9))
F(y_notify, ringway_stream_notify(e, h, 77, 0, 0))
F(y_consume, ringway_stream_consume(e, h, 1))
F(y_into, ringway_stream_receive_into(e, h, TEXT, SIZE_MAX, &out.length, NULL))
F(y_into_none, ringway_stream_receive_into(e, h, TEXT, 0, &out.length, NULL))
F(y_put, ringway_put(e, h, sources, SIZE_MAX, "", &moving, NUM))
F(y_put_none, ringway_put(e, h, sources, 0, "", &moving, NUM))
F(y_get_none, ringway_get(e, h, sources, 0, "/tmp", &moving, NUM))

static const struct {
    struct entry entry;
    int code;
} beyond[] = {
    {{"loop_poll of more than memory", ENGINE, y_poll, NULL, 0}, RINGWAY_E_LIMIT},
    {{"loop_poll of nothing", ENGINE, y_poll_none, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"loop_wait of more than memory", ENGINE, y_wait, NULL, 0}, RINGWAY_E_LIMIT},
    {{"loop_wait of nothing", ENGINE, y_wait_none, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"statistics_json of more than memory", ENGINE, y_text, NULL, 0}, RINGWAY_E_LIMIT},
    {{"statistic of no such name", ENGINE, y_counter, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"buffer_allocate of too much", ENGINE, y_allocate, NULL, 0}, RINGWAY_E_AGAIN},
    {{"listen on no address", ENGINE, y_listen, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"connect to no address", ENGINE, y_connect, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_send of more than memory", STREAM, y_send, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_send with an unknown flag", STREAM, y_send_flags, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_sendv of too many", STREAM, y_sendv, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_sendv of too long a slice", STREAM, y_sendv_sum, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_send_buffer beyond its end", STREAM, y_sendb, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_send_buffer that wraps", STREAM, y_sendb_sum, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_send_file that wraps", STREAM, y_sendf, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_receive_file behind all files", STREAM, y_file, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_finish with no text", STREAM, y_finish, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_reset with no text", STREAM, y_reset, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_stop with no text", STREAM, y_stop, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"session_close with no text", SESSION, y_close, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_set_priority below all", STREAM, y_priority_low, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_set_priority above all", STREAM, y_priority, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_notify of no such goal", STREAM, y_notify, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"stream_consume of nothing lent", STREAM, y_consume, NULL, 0}, RINGWAY_E_STATE},
    {{"stream_receive_into too much", STREAM, y_into, NULL, 0}, RINGWAY_E_LIMIT},
    {{"stream_receive_into nothing", STREAM, y_into_none, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"put of too many", CLIENT, y_put, NULL, 0}, RINGWAY_E_LIMIT},
    {{"put of nothing", CLIENT, y_put_none, NULL, 0}, RINGWAY_E_ARGUMENT},
    {{"get of nothing", CLIENT, y_get_none, NULL, 0}, RINGWAY_E_ARGUMENT},
};

static void beyond_limits(void)
{
    size_t i;
    for (i = 0; i < sizeof beyond / sizeof *beyond; i++)
        expect("beyond what there is", &beyond[i].entry, beyond[i].entry.good, engine,
               good[beyond[i].entry.kind], beyond[i].code);
}

/* On another thread: what belongs to the loop's is refused, everything else is not for that reason. */
static void *elsewhere(void *of_caller)
{
    int i;
    for (i = 0; i < ENTRIES; i++) {
        const struct entry *entry = &entries[i];
        if (entry->marks & OWN)
            expect("from the wrong thread", entry, entry->good, of_caller, good[entry->kind],
                   RINGWAY_E_THREAD);
    }
    EXPECT(RINGWAY_E_THREAD, ringway_engine_free(of_caller));
    set_sizes(0);
    for (i = 0; i < ENTRIES; i++) {
        const struct entry *entry = &entries[i];
        if (!(entry->marks & OWN) && entry->good(of_caller, good[entry->kind]) == RINGWAY_E_THREAD) {
            fprintf(stderr, "ringway_%s: refused on another thread\n", entry->name);
            abort();
        }
    }
    return NULL;
}

static void threads(void)
{
    ringway_engine *of_caller = start_engine(RINGWAY_LOOP_CALLER);
    pthread_t thread;
    set_sizes(0);
    make(of_caller, good);
    from_inside(of_caller);
    CHECK(pthread_create(&thread, NULL, elsewhere, of_caller) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(ringway_engine_free(of_caller));
}

int main(void)
{
    char path[] = "/tmp/ringway-arguments-XXXXXX";
    uint64_t *kept[2];
    int i;
    set_sizes(0);
    connecting.insecure = RINGWAY_INSECURE_LOCAL;
    listening.insecure = RINGWAY_INSECURE_LOCAL;
    CHECK((regular = mkstemp(path)) >= 0 && unlink(path) == 0);
    CHECK((plain = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    OK(ringway_keys_generate("me", &replacing, NULL));
    the_rest();
    engine = start_engine(RINGWAY_LOOP_THREADS);
    other = start_engine(RINGWAY_LOOP_THREADS);
    OK(ringway_buffer_wrap(data, 4, NULL, NULL, &lent));
    kept[0] = good;
    kept[1] = stale;
    for (i = 0; i < 2; i++)
        make(engine, kept[i]);
    make(other, foreign);
    OK(ringway_transfer_free(engine, stale[TRANSFER]));
    OK(ringway_client_close(engine, stale[CLIENT]));
    OK(ringway_stream_free(engine, stale[STREAM]));
    OK(ringway_session_free(engine, stale[SESSION]));
    OK(ringway_listener_close(engine, stale[LISTENER]));
    handles_and_pointers();
    beyond_limits();
    descriptors();
    from_inside(engine);
    was_inside = 0;
    {
        ringway_buffer *buffer;
        OK(ringway_buffer_wrap(data, 4, inside, engine, &buffer));
        OK(ringway_buffer_release(buffer));
        CHECK(was_inside);
    }
    /* nothing of that has ended anything */
    EXPECT(4, ringway_stream_send(engine, good[STREAM], data, 4, 0));
    OK(ringway_engine_free(engine));
    OK(ringway_engine_free(other));
    threads();
    OK(ringway_buffer_release(lent));
    OK(ringway_keys_free(replacing));
    close(regular);
    close(plain);
    return 0;
}
