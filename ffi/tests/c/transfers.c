/* Files to and from a file service, with their progress, in both loop modes. Arguments: the service's
 * address, a file to put, and a scratch directory. */
#include "check.h"

#include <sys/stat.h>

static ringway_engine *engine;

/* The bytes of a file in memory. */
static char *content(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    struct stat about;
    char *bytes;
    CHECK(file != NULL && fstat(fileno(file), &about) == 0);
    *length = (size_t)about.st_size;
    CHECK((bytes = malloc(*length + 1)) != NULL);
    CHECK(fread(bytes, 1, *length + 1, file) == *length);
    fclose(file);
    return bytes;
}

/* Waits for the end of a transfer; what is told meanwhile only grows. Answers with how often. */
static int wait_for(ringway_transfer transfer, uint64_t user_data, ringway_event *end)
{
    uint64_t moved = 0;
    int told = 0;
    for (;;) {
        ringway_event event;
        CHECK(ringway_loop_wait(engine, &event, 1, 60000000000) == 1);
        if (event.handle != transfer)
            continue;
        CHECK(event.user_data == user_data);
        if (event.kind == RINGWAY_EVENT_TRANSFER_DONE) {
            *end = event;
            return told;
        }
        CHECK(event.kind == RINGWAY_EVENT_TRANSFER_PROGRESS && event.code == 0);
        CHECK(event.offset >= moved && event.offset <= event.length);
        moved = event.offset;
        told++;
    }
}

static void run(uint32_t mode, const char *address, const char *source, const char *scratch)
{
    ringway_connect_options connecting;
    ringway_transfer_options options;
    ringway_transfer_info info;
    ringway_client client;
    ringway_transfer transfer;
    ringway_entry entry;
    ringway_event end;
    const char *sources[1];
    char target[256], got[512], path[64];
    char *before, *after;
    size_t length, length_after;
    engine = start_engine(mode);
    memset(&connecting, 0, sizeof connecting);
    connecting.struct_size = sizeof connecting;
    connecting.insecure = RINGWAY_INSECURE_LOCAL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.user_data = 77;
    options.verify = 1;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    memset(&entry, 0, sizeof entry);
    entry.struct_size = sizeof entry;
    before = content(source, &length);
    OK(ringway_client_open(engine, address, &connecting, NULL, &client));

    snprintf(target, sizeof target, "put-%u", mode);
    sources[0] = source;
    OK(ringway_put(engine, client, sources, 1, target, &options, &transfer));
    CHECK(wait_for(transfer, 77, &end) > 0);
    CHECK(end.code == 0 && end.length == length);
    OK(ringway_transfer_query(engine, transfer, &info));
    CHECK(info.files_done == 1 && info.bytes_done == length);
    OK(ringway_transfer_free(engine, transfer));

    snprintf(got, sizeof got, "%s/got-%u", scratch, mode);
    sources[0] = target;
    OK(ringway_get(engine, client, sources, 1, got, &options, &transfer));
    CHECK(wait_for(transfer, 77, &end) > 0);
    CHECK(end.code == 0 && end.length == length);
    OK(ringway_transfer_free(engine, transfer));
    after = content(got, &length_after);
    CHECK(length_after == length && memcmp(before, after, length) == 0);
    free(before);
    free(after);

    OK(ringway_list(engine, client, target, &options, &transfer));
    CHECK(wait_for(transfer, 77, &end) == 0);
    CHECK(end.code == 0 && end.length == 1);
    CHECK(ringway_list_entry(engine, transfer, 0, &entry, path, sizeof path) >= 0);
    CHECK(entry.size == length);
    EXPECT(RINGWAY_E_LIMIT, ringway_list_entry(engine, transfer, 1, &entry, path, sizeof path));
    OK(ringway_transfer_free(engine, transfer));

    /* what is not there is told as the outcome */
    sources[0] = "no such file";
    OK(ringway_get(engine, client, sources, 1, got, &options, &transfer));
    CHECK(wait_for(transfer, 77, &end) == 0);
    CHECK(end.code < 0);
    OK(ringway_transfer_free(engine, transfer));
    OK(ringway_client_close(engine, client));
    OK(ringway_engine_free(engine));
}

int main(int count, char **arguments)
{
    CHECK(count == 4);
    run(RINGWAY_LOOP_THREADS, arguments[1], arguments[2], arguments[3]);
    run(RINGWAY_LOOP_CALLER, arguments[1], arguments[2], arguments[3]);
    return 0;
}
