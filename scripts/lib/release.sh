# shellcheck shell=bash
# How releases are built, in every script the same, so that one build does for all. Sourced, never run.

# release_environment: the same sources make the same bytes, wherever they lie. docs/releasing.md names it all.
release_environment() {
    export CFLAGS="-ffile-prefix-map=$PWD=/sluice"
    export RUSTFLAGS="--remap-path-prefix=$PWD=/sluice"
    RUSTFLAGS+=" --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    # The commit and its time, also where the sources are no repository.
    SLUICE_COMMIT=${SLUICE_COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || true)}
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y CHANGELOG.md)}
    export SLUICE_COMMIT SOURCE_DATE_EPOCH
}

# build_release ARGUMENTS...: those of cargo build.
build_release() {
    release_environment
    say "Building the release (the first time takes a few minutes)"
    cargo build --release --locked --quiet "$@" || fail "the build failed, see above"
}
