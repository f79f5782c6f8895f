# shellcheck shell=bash
# A clean Debian in a directory, and systemd running in it. Sourced by scripts/test-package, never run.
#
# Who sources it has `work`, a directory that is removed in the end, and `prefix` of demo_network.sh.

# shellcheck disable=SC2154
base=$work/base # what debootstrap made, never changed
root=$work/root # a copy, in which systemd runs
boot_log=$work/boot.log

# The release that this machine has: what is built here is for it.
debian_release() {
    (. /etc/os-release && echo "$VERSION_CODENAME")
}

# Debian's smallest.
make_base() {
    say "Making a clean Debian ($(debian_release))"
    debootstrap --variant=minbase "$(debian_release)" "$base" >"$work/debootstrap.log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 5 "$work/debootstrap.log")"
    rm -f "$base"/var/cache/apt/archives/*.deb
}

# in_chroot COMMAND...: before systemd runs, with this machine's network.
in_chroot() {
    chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@" >>"$work/apt.log" 2>&1 ||
        fail "'$*' failed in the clean Debian: $(tail -n 15 "$work/apt.log")"
}

# make_root PACKAGE...: systemd, and all that the packages depend on fetched but not installed.
make_root() {
    cp -a "$base" "$root"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir "$root/packages"
    cp "$@" "$root/packages/"
    # Nobody needs this Debian after a power failure.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    in_chroot apt-get update
    in_chroot apt-get install --yes --no-install-recommends systemd-sysv
    in_chroot sh -c 'apt-get install --yes --no-install-recommends --download-only /packages/*.deb'
}

# The process that is number 1 inside.
leader() {
    pgrep --parent "$(cat "$work/nspawn.pid")" 2>/dev/null
}

# in_root COMMAND...: while systemd runs.
in_root() {
    nsenter --target "$(leader)" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
        env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Starts systemd, in the network namespace of the demo's gateway. It has every right that this machine
# has, as the hardening of units is what is to be tested.
boot() {
    local tries=0 state
    say "Starting systemd in it"
    setsid systemd-nspawn --quiet --register=no --keep-unit --boot --directory "$root" \
        --network-namespace-path="/run/netns/$prefix-gateway" --machine "$prefix" \
        --capability=all --system-call-filter=bpf --console=pipe </dev/null >"$boot_log" 2>&1 9>&- &
    echo $! >"$work/nspawn.pid"
    disown $!
    until state=$(in_root systemctl is-system-running 2>/dev/null) || [ "$state" = degraded ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$(cat "$work/nspawn.pid")" 2>/dev/null; then
            fail "systemd does not start in the clean Debian: $(tail -n 20 "$boot_log")"
        fi
        sleep 0.2
    done
}

# Ends systemd there: politely, then not.
shut_down() {
    local container tries
    container=$(cat "$work/nspawn.pid" 2>/dev/null) || return 0
    kill -TERM "$container" 2>/dev/null || true
    for tries in $(seq 100); do
        kill -0 "$container" 2>/dev/null || break
        [ "$tries" -ne 80 ] || kill -KILL "$container" 2>/dev/null || true
        sleep 0.2
    done
    rm -f "$work/nspawn.pid"
    # The control groups that systemd-nspawn made where no systemd looks after them.
    local hierarchy
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        if [ -d "$hierarchy/payload" ] && [ ! -d /run/systemd/system ]; then
            find "$hierarchy/payload" "$hierarchy/supervisor" -depth -type d -exec rmdir {} + \
                2>/dev/null || true
        fi
    done
}

# What there is in the clean Debian: every path, and what stands in /etc. Not the packages' are the records
# of dpkg, apt and systemd, and users and groups: those of DPDK's dependencies (udev) stay, as Debian has it.
inventory() {
    (
        cd "$root" || exit
        find . -xdev \( -path ./proc -o -path ./sys -o -path ./run -o -path ./tmp -o -path ./dev \
            -o -path ./packages -o -path ./var/cache -o -path ./var/log -o -path ./var/lib/apt \
            -o -path ./var/lib/dpkg -o -path ./var/lib/systemd -o -path ./etc/ld.so.cache \
            -o -path './etc/*-' \) -prune -o -printf '%y %p\n'
        find ./etc -xdev -type f ! -name '*-' ! -name ld.so.cache ! -name passwd ! -name shadow \
            ! -name group ! -name gshadow -exec sha256sum {} +
        grep --recursive --ignore-case --files-with-matches --exclude '*-' sluice etc || true
    ) | sort
}
