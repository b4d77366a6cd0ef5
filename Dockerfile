# The vault as a container image: both programs with the web pages inside, Debian's libav, no root, nothing writable but
# /data and /keyring. The media worker links a GPL build of FFmpeg; whoever distributes the image distributes that too.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get -qq update && apt-get -y -qq install --no-install-recommends make
WORKDIR /src
COPY . .
# The same command as on any machine; it installs what the build needs. (No cache mount: buildah 1.28, Debian 12's, empties
# the root file system when it cleans one up. `buildah bud --volume` brings a cache along instead.)
RUN make build && install -D -t /out bin/dashvault bin/dashvault-worker

FROM debian:bookworm-slim
RUN apt-get -qq update \
 && apt-get -y -qq install --no-install-recommends ca-certificates \
      libavcodec59 libavfilter8 libavformat59 libavutil57 libswresample4 libswscale6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin vault \
 && install -d -m 0700 -o vault -g vault /data /keyring
COPY --from=build /out/ /usr/local/bin/
# Two volumes, so that the keyring never lies in the same backup as the data it opens.
VOLUME ["/data", "/keyring"]
USER vault
WORKDIR /data
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /readyz HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
# Beyond loopback the service wants TLS of its own or a named proxy, and refuses to start without: give it
# --tls-cert and --tls-key, or --behind-proxy CIDR, with --public-url.
ENTRYPOINT ["dashvault", "serve", "--data", "/data", "--keyring", "/keyring/keyring", "--listen", "0.0.0.0:8080"]
