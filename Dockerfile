# Builds the release and puts it on Debian with what it needs to run, nothing more.
#
#   docker build --tag sluice .
#   docker run --network host --cap-add NET_ADMIN --cap-add NET_RAW --cap-add IPC_LOCK \
#       --device /dev/net/tun --volume /etc/sluice:/etc/sluice:ro --volume /run/sluice:/run/sluice \
#       sluice
#
# Physical NICs also need their VFIO group (--device /dev/vfio) and huge pages
# (--volume /dev/hugepages:/dev/hugepages).

FROM debian:bookworm AS build
# cargo-web and rustc-web are the Rust that Debian 12 keeps current.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        build-essential ca-certificates cargo-web clang git libclang-dev libdpdk-dev pkg-config \
        rustc-web \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin sluice --bin sluicectl

FROM debian:bookworm-slim
# EAL loads its drivers from Debian's directory at start; these are the ones for NICs and the
# virtual devices, with the buses and the mempool they stand on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        librte-meta-bus librte-meta-mempool librte-meta-net \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/sluice /src/target/release/sluicectl /usr/local/bin/
COPY --from=build /src/LICENSE /usr/share/doc/sluice/
# SIGTERM is how the gateway is asked to give back its addresses and end.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluice"]
CMD ["--config", "/etc/sluice/sluice.toml"]
