/* put: files to and from `ringway serve`.
 *
 *   put ADDRESS FILE... DESTINATION         copies files to the server
 *   put --get ADDRESS FILE DESTINATION      copies one back
 *   put --list ADDRESS [DIRECTORY]          lists
 */
#include "example.h"

#include <unistd.h>

static ringway_client client_of(ringway_engine *engine, const char *address)
{
    ringway_keys *keys = user_keys();
    ringway_connect_options options;
    ringway_client client;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.keys = keys;
    check(engine, 0, "client", ringway_client_open(engine, address, &options, NULL, &client));
    ringway_keys_free(keys);
    return client;
}

static void wait_for(ringway_engine *engine, ringway_transfer transfer)
{
    for (;;) {
        ringway_event event = next(engine);
        if (event.handle != transfer)
            continue;
        if (event.kind == RINGWAY_EVENT_TRANSFER_PROGRESS) {
            if (isatty(STDERR_FILENO))
                fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " bytes", event.offset, event.length);
        } else if (event.kind == RINGWAY_EVENT_TRANSFER_DONE) {
            check(engine, transfer, "failed", event.code);
            return;
        }
    }
}

int main(int count, char **arguments)
{
    ringway_engine *engine = start(RINGWAY_LOOP_CALLER);
    ringway_transfer_info info;
    ringway_transfer transfer;
    ringway_client client;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (count >= 3 && strcmp(arguments[1], "--list") == 0) {
        uint64_t index;
        client = client_of(engine, arguments[2]);
        check(engine, client, "list", ringway_list(engine, client, count > 3 ? arguments[3] : "", NULL,
                                                   &transfer));
        wait_for(engine, transfer);
        for (index = 0;; index++) {
            ringway_entry entry;
            char path[4096];
            int64_t length;
            memset(&entry, 0, sizeof entry);
            entry.struct_size = sizeof entry;
            length = ringway_list_entry(engine, transfer, index, &entry, path, sizeof path);
            if (length == RINGWAY_E_LIMIT)
                break;
            check(engine, transfer, "entry", length);
            printf("%12" PRIu64 "  %s\n", entry.size, path);
        }
        return ringway_engine_free(engine);
    }
    if (count == 5 && strcmp(arguments[1], "--get") == 0) {
        const char *sources[1];
        sources[0] = arguments[3];
        client = client_of(engine, arguments[2]);
        check(engine, client, "get",
              ringway_get(engine, client, sources, 1, arguments[4], NULL, &transfer));
    } else if (count >= 4 && arguments[1][0] != '-') {
        client = client_of(engine, arguments[1]);
        check(engine, client, "put",
              ringway_put(engine, client, (const char *const *)arguments + 2, (size_t)count - 3,
                          arguments[count - 1], NULL, &transfer));
    } else {
        fprintf(stderr, "usage: put ADDRESS FILE... DESTINATION | put --get ADDRESS FILE DESTINATION"
                        " | put --list ADDRESS [DIRECTORY]\n");
        return 2;
    }
    wait_for(engine, transfer);
    ringway_transfer_query(engine, transfer, &info);
    fprintf(stderr, "%" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " of them from an earlier run\n",
            info.files_done, info.bytes_done, info.resumed_bytes);
    return ringway_engine_free(engine);
}
