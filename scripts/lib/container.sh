# shellcheck shell=bash
# The Dockerfile's image, and the gateway in a container of it. Sourced by scripts/test-package, never run.
#
# No registry is asked: both base images are the clean Debian of debian_root.sh, and the stage that
# compiles is replaced by the packages that are there already.

# shellcheck disable=SC2154
storage=(--root "$work/storage" --runroot "$work/storage-run" --storage-driver overlay)

# pod ARGUMENTS...: podman, with all that it keeps in the directory that is removed.
pod() {
    podman "${storage[@]}" --tmpdir "$work/libpod" "$@" 9>&-
}

build_image() {
    say "Building the image"
    tar --create --numeric-owner --directory "$base" . |
        pod import --quiet - debian:bookworm >"$work/image.log" 2>&1 ||
        fail "the base image cannot be made: $(tail -n 5 "$work/image.log")"
    pod tag debian:bookworm debian:bookworm-slim
    buildah "${storage[@]}" bud --isolation chroot --network host --pull-never --format docker \
        --build-context package="$packages" --tag sluice . >"$work/image.log" 2>&1 ||
        fail "the image cannot be built: $(tail -n 15 "$work/image.log")"
    note "$(pod image inspect --format '{{.Size}}' sluice) bytes, $(
        pod image inspect --format '{{.Size}}' debian:bookworm) of them Debian's"
}

# Runs it in the place of the demo's gateway, with the rights that docs/packages.md names.
start_container() {
    local tries=0
    say "Starting the container"
    install -d -m 755 "$work/etc"
    write_gateway_configuration | sed '/^file_prefix/d; /^socket/d; /^state_dir/d' >"$work/etc/sluice.toml"
    pod run --detach --name sluice --runtime runc \
        --ulimit nofile=1024:20000 --ulimit nproc=1000:1000 \
        --network "ns:/run/netns/$prefix-gateway" --device /dev/net/tun \
        --cap-add NET_ADMIN --cap-add NET_RAW --cap-add IPC_LOCK \
        --volume "$work/etc:/etc/sluice:ro" sluice >"$work/container.log" 2>&1 ||
        fail "the container does not start: $(tail -n 5 "$work/container.log")"
    until in_container sluicectl ready --quiet; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "the gateway in the container is not ready; see $(place=container why)"
        sleep 0.2
    done
}

in_container() {
    pod exec sluice "$@"
}

log_of_container() {
    pod logs sluice
}

check_container() {
    [ "$(in_container id --user --name)" = sluice ] || fail "the gateway in the container is not sluice's"
    pod healthcheck run sluice || fail "the container is not healthy"
}

# What `sed --in-place` and editors leave is a new file; the container has to find that one.
reload_container() {
    local tries=0
    sed --in-place 's/scheduler = "rr"/scheduler = "wrr"/' "$work/etc/sluice.toml"
    in_container sluicectl check /etc/sluice/sluice.toml >/dev/null ||
        fail "sluicectl check does not take the new file in the container"
    pod kill --signal HUP sluice >/dev/null
    until [[ $(in_container sluicectl services) == *wrr* ]]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || fail "the container goes on with the old file; see $(place=container why)"
        sleep 0.2
    done
}

# A gateway without one of its twins is ill, and the container says so.
make_container_ill() {
    local tries=0
    ip -n "$prefix-gateway" link delete tw-servers
    while pod healthcheck run sluice >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || fail "the container is healthy without one of its twins"
        sleep 0.2
    done
    [[ $(in_container sluicectl health) == *"the twin tw-servers was removed"* ]] ||
        fail "the container is ill, but not for want of a twin; see $(place=container why)"
}

end_container() {
    pod rm --force --time 10 sluice >/dev/null 2>&1 || true
    # The control groups that podman leaves where no systemd looks after them.
    [ -d /run/systemd/system ] ||
        find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null ||
        true
}

in_a_container() {
    build_image
    start_container
    check_container
    serve container
    reload_container
    make_container_ill
    # It says on standard error that there is no systemd to ask for the health.
    pod stop --time 10 sluice >"$work/container.log" 2>&1 ||
        fail "the container does not stop: $(tail -n 5 "$work/container.log")"
    [ "$(pod inspect --format '{{.State.ExitCode}}' sluice)" = 0 ] ||
        fail "the gateway in the container did not end well; see $(place=container why)"
    end_container
}
