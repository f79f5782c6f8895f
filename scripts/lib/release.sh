# shellcheck shell=bash
# How releases are built, in every script the same, so that one build does for all. Sourced, never run.

# release_environment: the same sources make the same bytes, wherever they lie.
release_environment() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    export RUSTFLAGS="--remap-path-prefix=$PWD=/usr/src/sluice --remap-path-prefix=$cargo_home=/usr/src/cargo"
    # The time of the last change, also where the sources are no repository.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y CHANGELOG.md)}
    export SOURCE_DATE_EPOCH
}

# build_release ARGUMENTS...: those of cargo build.
build_release() {
    release_environment
    say "Building the release (the first time takes a few minutes)"
    cargo build --release --locked --quiet "$@" || fail "the build failed, see above"
}
