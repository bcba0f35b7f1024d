"""Any language can bind: an echo through the shared library with nothing but ctypes."""

import ctypes
import sys

lib = ctypes.CDLL(sys.argv[1])
u32, i32, u64, i64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64, ctypes.c_int64
size, text, pointer = ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p

OK, AGAIN, EOF, CLOSED = 0, -11, -44, -4
INSECURE_LOCAL, LOOP_CALLER, SEND_FINISH = 1, 1, 2
SESSION_ACCEPTED, SESSION_CONNECTED, STREAM_ACCEPTED, STREAM_READABLE = 1, 3, 16, 18


class Error(ctypes.Structure):
    _fields_ = [
        ("struct_size", size), ("code", i32), ("error_class", i32), ("system_errno", i32),
        ("status_code", u32), ("wanted", u64), ("allowed", u64), ("offset", u64),
        ("message", ctypes.c_char * 512),
    ]


class Config(ctypes.Structure):
    _fields_ = [
        ("struct_size", size), ("loop_mode", u32), ("shards", u32), ("name", text),
        ("masked", text), ("arena_bytes", u64), ("pipes_max", u32), ("helper_threads", u32),
    ] + [(name, u64) for name in [
        "sessions_max", "handshakes_max", "handles_max", "handshake_timeout_ns",
        "reset_grace_ns", "stream_window_bytes", "session_window_bytes", "streams_max",
        "retained_bytes_max", "unacked_bytes_max", "heartbeat_ns", "resume_window_ns",
        "drain_timeout_ns",
    ]] + [("path", u32), ("body_checksum", u32)]


class ListenOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", size), ("keys", pointer), ("insecure", u32), ("backlog", u32),
        ("sessions_waiting_max", u64), ("unix_mode", u32), ("path", u32),
        ("congestion_control", text), ("user_data", u64),
    ]


class ConnectOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", size), ("keys", pointer), ("insecure", u32), ("path", u32),
        ("connect_timeout_ns", u64), ("attempt_timeout_ns", u64), ("backoff_first_ns", u64),
        ("backoff_longest_ns", u64), ("congestion_control", text), ("shard_number", u32),
        ("own_dialer", u32), ("has_descriptor", u32), ("descriptor", ctypes.c_int),
        ("user_data", u64),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("kind", u32), ("code", i32), ("handle", u64), ("user_data", u64), ("related", u64),
        ("token", u64), ("offset", u64), ("length", u64), ("reserved", u64),
    ]


for name, result, arguments in [
    ("version", text, []),
    ("strerror", text, [ctypes.c_int]),
    ("engine_start", ctypes.c_int, [pointer, pointer, pointer]),
    ("engine_free", ctypes.c_int, [pointer]),
    ("listen", ctypes.c_int, [pointer, text, pointer, pointer]),
    ("listener_address", i64, [pointer, u64, text, size]),
    ("connect", ctypes.c_int, [pointer, text, pointer, pointer]),
    ("stream_open", ctypes.c_int, [pointer, u64, pointer, pointer]),
    ("stream_send", i64, [pointer, u64, pointer, size, u32]),
    ("stream_receive_into", i64, [pointer, u64, pointer, size, pointer, pointer]),
    ("stream_free", ctypes.c_int, [pointer, u64]),
    ("loop_wait", ctypes.c_int, [pointer, pointer, size, i64]),
]:
    function = getattr(lib, "ringway_" + name)
    function.restype, function.argtypes = result, arguments


def ok(code):
    assert code >= 0, lib.ringway_strerror(code)
    return code


def sized(structure, **values):
    return structure(struct_size=ctypes.sizeof(structure), **values)


assert lib.ringway_version() and ctypes.sizeof(Event) == 64
engine, error = pointer(), sized(Error)
config = sized(Config, loop_mode=LOOP_CALLER, name=b"python")
assert lib.ringway_engine_start(ctypes.byref(config), ctypes.byref(engine), ctypes.byref(error)) == OK, error.message

listener, session, stream = u64(), u64(), u64()
options = sized(ListenOptions, insecure=INSECURE_LOCAL)
ok(lib.ringway_listen(engine, b"127.0.0.1:0", ctypes.byref(options), ctypes.byref(listener)))
address = ctypes.create_string_buffer(64)
ok(lib.ringway_listener_address(engine, listener, address, 64))
options = sized(ConnectOptions, insecure=INSECURE_LOCAL, user_data=5)
ok(lib.ringway_connect(engine, address.value, ctypes.byref(options), ctypes.byref(session)))


def receive(handle):
    data, length = ctypes.create_string_buffer(4096), size()
    got = lib.ringway_stream_receive_into(engine, handle, data, 4096, ctypes.byref(length), None)
    return (got, data.raw[:length.value] if got >= 0 else b"")


event, accepted, arrived, ended = Event(), 0, b"", False
while not ended:
    if ok(lib.ringway_loop_wait(engine, ctypes.byref(event), 1, 10_000_000_000)) == 0:
        sys.exit("nothing happens")
    if event.kind == SESSION_CONNECTED:
        assert event.code == OK and event.user_data == 5
        ok(lib.ringway_stream_open(engine, session, None, ctypes.byref(stream)))
        assert lib.ringway_stream_send(engine, stream, b"from python", 11, SEND_FINISH) == 11
    elif event.kind in (STREAM_ACCEPTED, STREAM_READABLE):
        accepted = event.related or event.handle
        while not ended:
            code, bytes_ = receive(accepted)
            arrived += bytes_
            if code == AGAIN:
                break
            ended = code == EOF
            assert code >= 0 or ended
assert arrived == b"from python", arrived
ok(lib.ringway_stream_free(engine, stream))
assert lib.ringway_stream_free(engine, stream) == CLOSED
ok(lib.ringway_engine_free(engine))
