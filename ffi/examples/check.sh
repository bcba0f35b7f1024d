#!/bin/sh
# Runs the examples against each other and against the `ringway` command; each pair must give the
# same bytes. Called by `make check`, which says where the programs are.
set -eu
cd "$(dirname "$0")"
: "${BUILD:?call it through make}"

if [ -z "${RINGWAY:-}" ]; then
    cargo build -q --release -p ringway-tools
    RINGWAY=${CARGO_TARGET_DIR:-../../target}/release/ringway
fi
work=$(mktemp -d)
export RINGWAY_EXAMPLE_KEY="$work/key"
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

# The address that a program prints when it listens.
address_in() {
    tries=0
    until grep -q '^listening on ' "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "nobody listens:" >&2; cat "$1" >&2; exit 1; }
        sleep 0.05
    done
    sed -n 's/^listening on //p' "$1" | head -n 1
}

head -c 20000000 /dev/urandom >"$work/input"

echo "echo: one side in C asks the other"
"$BUILD/echo" 127.0.0.1:0 >"$work/echo.out" & pids="$pids $!"
at=$(address_in "$work/echo.out")
[ "$("$BUILD/echo" --to "$at" 'over and back')" = 'over and back' ]

echo "epoll: datagrams through a stream and back"
port=$((20000 + $$ % 20000))
"$BUILD/epoll" "$at" "$port" >"$work/epoll.out" & pids="$pids $!"
tries=0
until grep -q ready "$work/epoll.out"; do
    tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.05
done
python3 - "$port" <<'END'
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(10)
for text in [b"one", b"two", b"three"]:
    udp.sendto(text, ("127.0.0.1", int(sys.argv[1])))
    assert udp.recv(2048) == text
END

echo "file: a file by the kernel"
"$BUILD/file" receive 127.0.0.1:0 "$work/file.copy" >"$work/file.out" & receiver=$!
"$BUILD/file" send "$(address_in "$work/file.out")" "$work/input"
wait $receiver
cmp "$work/input" "$work/file.copy"

echo "pipe: standard input to standard output"
"$BUILD/pipe" receive 127.0.0.1:0 >"$work/pipe.copy" 2>"$work/pipe.out" & receiver=$!
"$BUILD/pipe" send "$(address_in "$work/pipe.out")" <"$work/input"
wait $receiver
cmp "$work/input" "$work/pipe.copy"

echo "put: to and from ringway serve"
mkdir "$work/served"
"$RINGWAY" serve --root "$work/served" --listen 127.0.0.1:0 --key-file "$work/key" >"$work/serve.out" & pids="$pids $!"
at=$(address_in "$work/serve.out")
"$BUILD/put" "$at" "$work/input" put.copy
cmp "$work/input" "$work/served/put.copy"
"$BUILD/put" --list "$at" | grep -q ' 20000000  put.copy'
"$BUILD/put" --get "$at" put.copy "$work/got.copy"
cmp "$work/input" "$work/got.copy"

echo "put: 1 GiB to ringway serve, its connection cut three times"
python3 ./cutter.py "$at" 200000000 3 >"$work/cutter.out" & pids="$pids $!"
head -c 1073741824 /dev/urandom >"$work/large"
"$BUILD/put" "$(address_in "$work/cutter.out")" "$work/large" large.copy
cmp "$work/large" "$work/served/large.copy"
grep -q '^cut 3$' "$work/cutter.out"

echo "all examples work"
