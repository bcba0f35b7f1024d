"""A proxy that cuts: each of the first CUTS connections is reset after BYTES bytes towards the server.

cutter.py UPSTREAM-HOST:PORT BYTES CUTS; prints `listening on …`, and `cut N` for each.
"""

import socket
import struct
import sys
import threading

host, port = sys.argv[1].rsplit(":", 1)
limit, cuts_wanted = int(sys.argv[2]), int(sys.argv[3])
cuts, lock = 0, threading.Lock()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def pump(source, target, bytes_max):
    passed, buffer = 0, bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        while bytes_max is None or passed < bytes_max:
            count = source.recv_into(buffer)
            if count == 0:
                target.shutdown(socket.SHUT_WR)
                return False
            target.sendall(view[:count])
            passed += count
        return True
    except OSError:
        return False


def serve(client):
    global cuts
    server = socket.create_connection((host, int(port)))
    threading.Thread(target=pump, args=(server, client, None), daemon=True).start()
    with lock:
        bytes_max = limit if cuts < cuts_wanted else None
    if pump(client, server, bytes_max):
        with lock:
            cuts += 1
            print(f"cut {cuts}", flush=True)
        for connection in (client, server):
            try:
                reset(connection)
            except OSError:
                pass


listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
