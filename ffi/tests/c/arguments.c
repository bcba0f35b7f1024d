/* Every function of the header with every bad handle and pointer, and from inside of a callback: a
 * documented code, and no output is touched. c_programs.rs checks that each function is named here. */
#define RINGWAY_EXPERIMENTAL
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum kind { ENGINE, LISTENER, SESSION, STREAM, CLIENT, TRANSFER, ANY, KINDS };

typedef int64_t (*call_fn)(ringway_engine *e, uint64_t h);

struct entry {
    const char *name;
    enum kind kind;
    call_fn good; /* its other arguments are fine */
    call_fn bad;  /* one of its pointers is NULL; NULL where it takes none */
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
F(li_adopt, ringway_listener_adopt(e, h, -1))
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
F(t_open, ringway_stream_open(e, h, NULL, NUM))
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
F(c_open, ringway_client_open(e, "127.0.0.1:1", &connecting, NULL, NUM))
F(c_open_bad, ringway_client_open(e, NULL, &connecting, NULL, NUM))
F(c_close, ringway_client_close(e, h))
F(c_put, ringway_put(e, h, sources, 1, "", NULL, NUM))
F(c_put_bad, ringway_put(e, h, NULL, 1, "", NULL, NUM))
F(c_get, ringway_get(e, h, sources, 1, "/tmp", NULL, NUM))
F(c_get_bad, ringway_get(e, h, sources, 1, NULL, NULL, NUM))
F(c_list, ringway_list(e, h, "", NULL, NUM))
F(c_list_bad, ringway_list(e, h, NULL, NULL, NUM))
F(x_entry, ringway_list_entry(e, h, 0, &sized.entry, NULL, 0))
F(x_entry_bad, ringway_list_entry(e, h, 0, NULL, NULL, 0))
F(x_query, ringway_transfer_query(e, h, &sized.transfer))
F(x_query_bad, ringway_transfer_query(e, h, NULL))
F(x_cancel, ringway_transfer_cancel(e, h))
F(x_free, ringway_transfer_free(e, h))

static const struct entry entries[] = {
    {"user_data", ANY, e_user_get, e_user_bad},
    {"set_user_data", ANY, e_user, NULL},
    {"last_error", ANY, e_last, e_last_bad},
    {"statistics_json", ENGINE, e_stat, e_stat_bad},
    {"metrics", ENGINE, e_met, e_met_bad},
    {"statistic", ENGINE, e_one, e_one_bad},
    {"reductions_json", ENGINE, e_red, e_red_bad},
    {"faults_set", ENGINE, e_fset, e_fset_bad},
    {"faults_json", ENGINE, e_fjson, NULL},
    {"loop_fd", ENGINE, l_fd, NULL},
    {"loop_timeout_ns", ENGINE, l_timeout, l_timeout_bad},
    {"loop_poll", ENGINE, l_poll, l_poll_bad},
    {"loop_wait", ENGINE, l_wait, l_wait_bad},
    {"loop_dispatch", ENGINE, l_dispatch, l_dispatch_bad},
    {"loop_wake", ENGINE, l_wake, NULL},
    {"buffer_allocate", ENGINE, b_alloc, b_alloc_bad},
    {"listen", ENGINE, li_listen, li_listen_bad},
    {"listener_address", LISTENER, li_address, li_address_bad},
    {"listener_adopt", LISTENER, li_adopt, NULL},
    {"connect", ENGINE, s_connect, s_connect_bad},
    {"session_dialled", SESSION, s_dialled, NULL},
    {"session_query", SESSION, s_query, s_query_bad},
    {"session_peer_name", SESSION, s_name, NULL},
    {"session_peer_key_id", SESSION, s_key, NULL},
    {"session_statistics_json", SESSION, s_stat, NULL},
    {"session_reconnect", SESSION, s_reconnect, NULL},
    {"session_drain", SESSION, s_drain, NULL},
    {"session_close", SESSION, s_close, NULL},
    {"session_remains_count", SESSION, s_count, NULL},
    {"session_remains", SESSION, s_remains, s_remains_bad},
    {"session_retained", SESSION, s_retained, s_retained_bad},
    {"session_abort", SESSION, s_abort, NULL},
    {"session_free", SESSION, s_free, NULL},
    {"stream_open", SESSION, t_open, t_open_bad},
    {"stream_session", STREAM, t_session, t_session_bad},
    {"stream_send", STREAM, t_send, t_send_bad},
    {"stream_sendv", STREAM, t_sendv, t_sendv_bad},
    {"stream_send_buffer", STREAM, t_sendb, t_sendb_bad},
    {"stream_send_file", STREAM, t_sendf, NULL},
    {"stream_finish", STREAM, t_finish, NULL},
    {"stream_reset", STREAM, t_reset, NULL},
    {"stream_stop", STREAM, t_stop, NULL},
    {"stream_set_priority", STREAM, t_priority, NULL},
    {"stream_notify", STREAM, t_notify, NULL},
    {"stream_offsets", STREAM, t_offsets, t_offsets_bad},
    {"stream_id", STREAM, t_id, t_id_bad},
    {"stream_statistics_json", STREAM, t_stat, NULL},
    {"stream_receive", STREAM, t_receive, t_receive_bad},
    {"stream_consume", STREAM, t_consume, NULL},
    {"stream_take", STREAM, t_take, t_take_bad},
    {"stream_receive_into", STREAM, t_into, t_into_bad},
    {"stream_receive_file", STREAM, t_file, NULL},
    {"stream_peer_status", STREAM, t_status, t_status_bad},
    {"stream_free", STREAM, t_free, NULL},
    {"client_open", ENGINE, c_open, c_open_bad},
    {"put", CLIENT, c_put, c_put_bad},
    {"get", CLIENT, c_get, c_get_bad},
    {"list", CLIENT, c_list, c_list_bad},
    {"client_close", CLIENT, c_close, NULL},
    {"list_entry", TRANSFER, x_entry, x_entry_bad},
    {"transfer_query", TRANSFER, x_query, x_query_bad},
    {"transfer_cancel", TRANSFER, x_cancel, NULL},
    {"transfer_free", TRANSFER, x_free, NULL},
    {"listener_replace_keys", LISTENER, li_keys, li_keys_bad},
    {"listener_close", LISTENER, li_close, NULL},
    {"engine_stop", ENGINE, e_stop, NULL},
};

enum { ENTRIES = sizeof entries / sizeof *entries };

static void set_sizes(void)
{
    memset(&sized, 0, sizeof sized);
    sized.session.struct_size = sizeof sized.session;
    sized.offsets.struct_size = sizeof sized.offsets;
    sized.remains.struct_size = sizeof sized.remains;
    sized.retained.struct_size = sizeof sized.retained;
    sized.transfer.struct_size = sizeof sized.transfer;
    sized.entry.struct_size = sizeof sized.entry;
    sized.error.struct_size = sizeof sized.error;
}

/* One call that must answer `expected` and touch nothing. */
static void expect(const char *what, const struct entry *entry, call_fn call, ringway_engine *e,
                   uint64_t h, int64_t expected)
{
    unsigned char before[sizeof out], sized_before[sizeof sized];
    int64_t got;
    memset(&out, 0xA5, sizeof out);
    set_sizes();
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

/* Descriptors that are none, or of the wrong kind. */
static void descriptors(void)
{
    int wrong[3], i;
    wrong[0] = -1;
    wrong[1] = 1 << 20;
    CHECK((wrong[2] = open("/dev/null", O_RDWR)) >= 0);
    for (i = 0; i < 3; i++) {
        EXPECT(RINGWAY_E_DESCRIPTOR,
               ringway_stream_send_file(engine, good[STREAM], wrong[i], 0, 1, 0));
        EXPECT(RINGWAY_E_DESCRIPTOR, ringway_listener_adopt(engine, good[LISTENER], wrong[i]));
    }
    close(wrong[2]);
}

int main(void)
{
    char path[] = "/tmp/ringway-arguments-XXXXXX";
    uint64_t *kept[2];
    int i;
    connecting.struct_size = sizeof connecting;
    connecting.insecure = RINGWAY_INSECURE_LOCAL;
    listening.struct_size = sizeof listening;
    listening.insecure = RINGWAY_INSECURE_LOCAL;
    CHECK((regular = mkstemp(path)) >= 0 && unlink(path) == 0);
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
    descriptors();
    {
        ringway_buffer *buffer;
        OK(ringway_buffer_wrap(data, 4, inside, engine, &buffer));
        OK(ringway_buffer_release(buffer));
        CHECK(was_inside);
    }
    /* nothing of that has ended anything */
    EXPECT(4, ringway_stream_send(engine, good[STREAM], data, 4, 0));
    OK(ringway_buffer_release(lent));
    OK(ringway_engine_free(engine));
    OK(ringway_engine_free(other));
    OK(ringway_keys_free(replacing));
    close(regular);
    return 0;
}
