#!/usr/bin/env bash
# The demo: a vault in $DATA with an owner, a paired vehicle, a road clip and an insurer's link, all through the vault's
# outside face. `make demo` builds and calls it; what exists from an earlier run is used again. --once stops at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${DATA:=data}" "${PORT:=8080}" "${ADMIN_PORT:=9090}"
program=${DASHVAULT_BIN:-bin/dashvault}
clip=tests/fixtures/clips/carnd_solidWhiteRight_960x540.mp4
url=http://127.0.0.1:$PORT
# The demo's own files: its owner's token, the vehicle's key, the service's log. Nobody else may read them.
umask 077
demo=$DATA/demo
mkdir -p "$demo"

fail() {
  echo "demo: $*" >&2
  exit 1
}

# One text or number out of flat JSON; enough for our own answers.
field() {
  sed -n "s/.*\"$1\" *: *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1
}

# curl as the owner: the token stays in a file, out of the list of processes.
api() {
  local method=$1 path=$2
  shift 2
  curl --silent --show-error --fail-with-body --noproxy '*' --max-time 60 --request "$method" \
    --header @"$demo/authorization" --header 'Content-Type: application/json' "$@" "$url$path" || fail "$method $path was refused"
}

in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() {
  if in_use "$PORT"; then fail "port $PORT is in use: stop what listens there, or choose another: make demo PORT=8090"; fi
  if in_use "$ADMIN_PORT"; then fail "port $ADMIN_PORT is in use: choose another: make demo ADMIN_PORT=9190"; fi
  echo "Starting the vault in $DATA; its log is $demo/serve.log"
  # The disk of a person's own machine is often fuller than a vault's should be.
  "$program" serve --data "$DATA" --listen "127.0.0.1:$PORT" --admin-listen "127.0.0.1:$ADMIN_PORT" \
    --disk-routine-percent 98 --disk-events-percent 99 >>"$demo/serve.log" 2>&1 &
  service=$!
  trap 'kill $service 2>/dev/null; wait $service 2>/dev/null || true' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for _ in $(seq 300); do
    if curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$url/readyz"; then return; fi
    if ! kill -0 $service 2>/dev/null; then
      tail -n 5 "$demo/serve.log" >&2
      fail "the vault did not start"
    fi
    sleep 0.1
  done
  fail "the vault is not ready after 30 seconds; see $demo/serve.log"
}

owner() {
  if [ -s "$demo/owner.json" ]; then
    sign_in_url=$("$program" owner sign-in --email demo@example.org --data "$DATA" --json | field sign_in_url)
  else
    echo "Adding the owner demo@example.org"
    "$program" owner add --email demo@example.org --data "$DATA" --json >"$demo/owner.json.new"
    mv "$demo/owner.json.new" "$demo/owner.json"
    sign_in_url=$(field sign_in_url <"$demo/owner.json")
  fi
  echo "Authorization: Bearer $(field token <"$demo/owner.json")" >"$demo/authorization"
}

vehicle() {
  if [ -s "$demo/device.json" ]; then return; fi
  echo "Pairing a simulated vehicle"
  local code
  code=$(api POST /v1/devices/pairing-codes --data '{"label":"Demo car","vin":"WVWZZZ1JZXW000001","plate":"DEMO 1"}' | field code)
  "$program" device pair --server "$url" --code "$code" --out "$demo/device.json"
}

# Whether the clip of an earlier run is still there to be watched, or on its way.
kept() {
  [ -s "$demo/upload.json" ] || return 1
  local earlier
  earlier=$(field clip_id <"$demo/upload.json")
  curl --silent --fail --noproxy '*' --max-time 60 --header @"$demo/authorization" "$url/v1/clips/$earlier" |
    grep -Eq '"state":"(uploading|queued|transcoding|ready)"'
}

upload() {
  if ! kept; then
    echo "Uploading $clip as the vehicle"
    "$program" upload --server "$url" --device "$demo/device.json" --wait --json "$clip" >"$demo/upload.json.new"
    mv "$demo/upload.json.new" "$demo/upload.json"
  fi
  clip_id=$(field clip_id <"$demo/upload.json")
  local about state
  for _ in $(seq 600); do
    about=$(api GET "/v1/clips/$clip_id")
    state=$(field state <<<"$about")
    case $state in
    ready) return ;;
    failed) fail "the clip failed: $about" ;;
    esac
    [ ! -t 1 ] || printf '\rThe clip is %s: %s ' "$state" "$(field progress <<<"$about")"
    sleep 0.5
  done
  fail "the clip is still $state"
}

start
owner
vehicle
upload
link_url=$(api POST "/v1/clips/$clip_id/links" --data '{"recipient":"claims@insurer.example","expires_in_s":86400,"from_ms":1000,"to_ms":6000,"audio":false,"location":false,"download":false,"max_opens":20}' | field url)

cat <<END

The clip is ready.
  Owner, sign in once:      $sign_in_url
  Owner's token:            in $demo/owner.json
  Insurer, one day, 1–6 s:  $link_url
END
if [ "${1:-}" = --once ]; then exit 0; fi
echo
echo "The vault keeps serving at $url; Ctrl-C ends it."
wait $service
