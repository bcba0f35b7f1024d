#!/bin/busybox sh
# The first process of the guest. The first serial port is for people. The second one is for the
# harness and carries, for each command, its standard output and then the line
# `ringway-floor: status NUMBER STATUS`; results.rs reads it.

/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
# None of them, where the guest has no devices.
for driver in /drivers/*.ko; do
    [ -e "$driver" ] && insmod "$driver"
done
# Bytes as they are: no line end conversion.
stty -F /dev/ttyS1 raw -echo
echo "ringway-floor: Linux $(uname -r)"

# run NUMBER COMMAND...: neither stream of the command is a terminal, so it draws no progress bars.
run() {
    number=$1
    shift
    echo "ringway-floor: $*"
    {
        { "$@" 2>&3; echo $? >/run/status; } | tee /dev/ttyS1
    } 3>&1 </dev/null | cat
    status=$(cat /run/status)
    printf '\nringway-floor: status %s %s\n' "$number" "$status" >/dev/ttyS1
    echo "ringway-floor: ended with status $status"
    rm /run/status
    [ "$status" = 0 ]
}

. /commands

# Forced, because there is no init system to ask.
poweroff -f
