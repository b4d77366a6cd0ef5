#!/usr/bin/env bash
# Builds the container image without a container engine (buildah, chroot isolation) and starts the vault from it on a
# read-only root, as its own user. Needs root. The two base images are made of Debian packages and of this machine's Rust
# toolchain and stand in for the pull of the official ones.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/dashvault}"
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=CACHE,PATH "$0" "$@"
# Mounts of the read-only root end with this script.
[ -n "${IMAGE_NS:-}" ] || IMAGE_NS=1 exec unshare --mount --propagation private "$0" "$@"

store=$CACHE/images
mkdir -p "$store"
export BUILDAH_ISOLATION=chroot
export CONTAINERS_REGISTRIES_CONF=$store/registries.conf
printf 'unqualified-search-registries = ["localhost"]\nshort-name-mode = "disabled"\n' >"$store/registries.conf"
buildah() { command buildah --root "$store/root" --storage-driver vfs --runroot "$store/run" "$@"; }
have() { buildah inspect --type image "$1" >/dev/null 2>&1; }
mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)

base_image() {
  local root=$store/debian container
  echo "Making the base image localhost/debian:bookworm-slim"
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$store/debootstrap.log"
  # The settings of this machine's package clients, where it has any.
  rm -f "$root/etc/apt/sources.list"
  cp /etc/apt/sources.list.d/*.sources "$root/etc/apt/sources.list.d/"
  cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
  [ ! -e "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root/root/"
  [ ! -e "$HOME/.cargo/config.toml" ] || install -D "$HOME/.cargo/config.toml" "$root/root/.cargo/config.toml"
  container=$(buildah from scratch)
  cp -a "$root/." "$(buildah mount "$container")/"
  # So do the variables that name their certificates.
  [ -z "${NODE_EXTRA_CA_CERTS:-}" ] || buildah config --env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$container"
  buildah commit -q --rm "$container" localhost/debian:bookworm-slim
  rm -rf --one-file-system "$root"
}

rust_image() {
  local container root sysroot
  echo "Making the base image localhost/rust:1.95-slim-bookworm"
  container=$(buildah from --pull-never localhost/debian:bookworm-slim)
  root=$(buildah mount "$container")
  sysroot=$(rustc --print sysroot)
  cp -a "$sysroot/bin" "$sysroot/lib" "$root/usr/local/"
  buildah run --network host "$container" -- sh -c 'apt-get -qq update && apt-get -y -qq install --no-install-recommends gcc libc6-dev' \
    >"$store/rust.log" 2>&1
  buildah commit -q --rm "$container" localhost/rust:1.95-slim-bookworm
}

have localhost/debian:bookworm-slim || base_image
have localhost/rust:1.95-slim-bookworm || rust_image

echo "Building the image"
mkdir -p "$store/cache"
buildah bud --quiet --pull-never --network host --format docker --volume "$store/cache:/root/.cache/dashvault" --tag localhost/dashvault .

container=$(buildah from --pull-never localhost/dashvault)
work=$(mktemp -d)
cleanup() {
  [ -z "${service:-}" ] || { kill "$service" 2>/dev/null && wait "$service"; } || true
  # Lazily: the service may still hold its files for a moment.
  umount -R -l "$work/root" 2>/dev/null || true
  buildah rm "$container" >/dev/null
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

# A read-only root with the two mounts and nothing else to write to.
mkdir -p "$work/root" "$work/data" "$work/keyring"
: >"$work/log"
chown 10001 "$work/data" "$work/keyring"
mount --bind "$(buildah mount "$container")" "$work/root"
mount -o remount,bind,ro "$work/root"
mount --bind "$work/data" "$work/root/data"
mount --bind "$work/keyring" "$work/root/keyring"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"

passed=0
pass() {
  echo "ok: $*"
  passed=$((passed + 1))
}
fail() {
  echo "FAILED: $*" >&2
  tail -n 20 "$work/log" >&2 || true
  echo "$passed passed, 1 failed"
  exit 1
}
# What the image says of itself: a value of its Docker manifest's config, one line an element.
config() {
  buildah inspect --type image localhost/dashvault | python3 -c '
import functools, json, sys
value = functools.reduce(dict.get, sys.argv[1:], json.load(sys.stdin)["Docker"]["config"])
print(*([value] if isinstance(value, str) else value), sep="\n")' "$@"
}
inside=(chroot --userspec=10001:10001 "$work/root" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin)
inside() { "${inside[@]}" "$@"; }
mapfile -t entry < <(config Entrypoint)
mapfile -t health < <(config Healthcheck Test | tail -n +2) # the first says that it is a program to run

[ "$(config User)" = vault ] && pass "the image runs as the user vault" || fail "the image runs as $(config User)"
if inside touch /usr/local/bin/planted 2>/dev/null; then fail "the root can be written to"; fi
pass "the root is read-only"

if inside "${entry[@]}" >"$work/log" 2>&1; then fail "it listens beyond loopback without TLS or a proxy"; fi
pass "it refuses to listen beyond loopback without TLS or a named proxy"

# With no service there, the image's own health check must say so.
if inside "${health[@]}" 2>/dev/null; then fail "the health check is content with nobody there"; fi
# Not by the function: the process to end is the service, and no shell around it.
"${inside[@]}" "${entry[@]}" --behind-proxy 127.0.0.0/8 --public-url https://vault.example >"$work/log" 2>&1 &
service=$!
for _ in $(seq 300); do
  if curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null http://127.0.0.1:8080/readyz; then break; fi
  kill -0 "$service" 2>/dev/null || fail "the service ended"
  sleep 0.1
done
curl --silent --fail --noproxy '*' --max-time 5 http://127.0.0.1:8080/readyz >/dev/null || fail "/readyz does not answer 200"
pass "/readyz answers 200 from the image"
inside "${health[@]}" || fail "the health check fails beside a ready service"
pass "the health check agrees, and disagreed when nobody was there"
curl --silent --fail --noproxy '*' --max-time 5 http://127.0.0.1:8080/ | grep -qi '<html' || fail "the web pages are not inside"
pass "the web pages are inside"
[ -s "$work/keyring/keyring" ] || fail "no keyring in its own mount"
[ -z "$(find "$work/data" -name '*keyring*' -type f)" ] || fail "a keyring beneath the data"
pass "the keyring lies in its own mount"
echo "$passed passed, 0 failed"
