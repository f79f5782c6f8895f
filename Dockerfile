# The gateway on Debian, from the package that scripts/package makes: docs/packages.md tells how to run it.
#
#   docker build --tag sluice .
#
# A package that is there already saves the compilation:
#
#   docker build --tag sluice --build-context package=target/debian .

FROM debian:bookworm AS build
WORKDIR /src
# Before the sources, so that it is not done again for each change of them.
COPY Cargo.toml ./
COPY scripts scripts
RUN scripts/setup --package
COPY . .
RUN scripts/package

FROM scratch AS package
COPY --from=build /src/target/debian/ /

FROM debian:bookworm-slim
# The user `sluice` runs the gateway. Its rights come with the program's file, as a container gives none to
# users: each of them has to be among those that the container may have (--cap-add).
# Its number is a fixed one, as volumes keep it: the next image's user has to be the same.
RUN --mount=type=bind,from=package,source=/,target=/packages \
    groupadd --gid 10000 sluice \
    && useradd --uid 10000 --gid sluice --no-create-home --shell /usr/sbin/nologin sluice \
    && apt-get update \
    && apt-get install --yes --no-install-recommends \
        libcap2-bin systemd-standalone-sysusers /packages/sluice_*.deb \
    && install -d -o sluice -g sluice /run/sluice \
    && setcap cap_net_admin,cap_net_raw,cap_ipc_lock=ep /usr/bin/sluice \
    && apt-get purge --yes --autoremove libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
USER sluice
# Ill is a gateway with a worker that no longer turns, or without one of its twins; whether it is ready for
# traffic is `sluicectl ready`. Exit code 1 is the only one that a health check may fail with.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["sh", "-c", "sluicectl --json health >/dev/null || exit 1"]
# SIGTERM is how the gateway is asked to give back its addresses and end.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluice"]
CMD ["--config", "/etc/sluice/sluice.toml"]
