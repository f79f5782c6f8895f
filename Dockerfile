# The gateway on Debian, from the package that scripts/package makes: docs/packages.md tells how to run it.
#
#   docker build --tag sluice .
#
# A package that is there already saves the compilation:
#
#   docker build --tag sluice --build-context package=target/debian .

FROM debian:bookworm AS build
# cargo-web and rustc-web are the Rust that Debian 12 keeps current.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        build-essential ca-certificates cargo-web clang git libclang-dev libdpdk-dev pkg-config \
        rustc-web \
    && rm -rf /var/lib/apt/lists/* \
    && cargo install --locked --quiet cargo-deb
WORKDIR /src
COPY . .
RUN scripts/package

FROM scratch AS package
COPY --from=build /src/target/debian/ /

FROM debian:bookworm-slim
# The user `sluice` runs the gateway. Its rights come with the program's file, as a container gives none to
# users: each of them has to be among those that the container may have (--cap-add).
RUN --mount=type=bind,from=package,source=/,target=/packages \
    apt-get update \
    && apt-get install --yes --no-install-recommends \
        libcap2-bin systemd-standalone-sysusers /packages/sluice_*.deb \
    && useradd --system --gid sluice --no-create-home --shell /usr/sbin/nologin sluice \
    && install -d -o sluice -g sluice /run/sluice \
    && setcap cap_net_admin,cap_net_raw,cap_ipc_lock=ep /usr/bin/sluice \
    && apt-get purge --yes --autoremove libcap2-bin \
    && rm -rf /var/lib/apt/lists/*
USER sluice
# Healthy is a gateway whose workers turn; whether it is ready for traffic is `sluicectl ready`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["sh", "-c", "sluicectl status >/dev/null"]
# SIGTERM is how the gateway is asked to give back its addresses and end.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluice"]
CMD ["--config", "/etc/sluice/sluice.toml"]
