#!/usr/bin/env bash
# Builds the image's `prebuilt` target around BINARY and checks what it promises: unprivileged, read-only,
# without capabilities, healthy, stopped in time. Needs no image registry: the base is put together from
# this machine's Debian packages. Everything it makes lies in one temporary directory and goes with it.
#
#   deploy/container/check.sh BINARY
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY   (an executable causeway)" >&2
    exit 2
fi
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export DEBIAN_FRONTEND=noninteractive BUILDAH_ISOLATION=chroot
# Health probes are asked by hand below, not by a systemd timer, which a CI machine may not have.
export DISABLE_HC_SYSTEMD=true

# The image's name here, the base's, and seconds that a container may take: to be up, to read the chain, to stop.
readonly image=localhost/causeway:check base=localhost/causeway-base:check
readonly up_limit=30 check_limit=120 stop_limit=45

packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

ok() { echo "ok   $*"; }
fail() {
    echo "FAIL $*" >&2
    exit 1
}
same() { # what, expected, found
    [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"
    ok "$1: $3"
}

packages podman runc
work=$(mktemp -d)
cleanup() {
    local status=$?
    if [ $status -ne 0 ]; then
        for id in $(podman ps -aq 2>/dev/null); do
            echo "--- last lines of container $id" >&2
            podman logs --tail 40 "$id" >&2 || true
        done
    fi
    podman rm --all --force --time 5 >/dev/null 2>&1 || true
    podman rmi --all --force >/dev/null 2>&1 || true
    podman volume prune --force >/dev/null 2>&1 || true
    umount "$work/storage/overlay" 2>/dev/null || true
    rm -rf "$work"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Podman with its own configuration and storage: nothing of this machine's is touched.
storage() { # driver
    cat >"$work/storage.conf" <<CONF
[storage]
driver = "$1"
graphroot = "$work/storage"
runroot = "$work/run"
CONF
}
cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$work/engine"
volume_path = "$work/volumes"
CONF
export CONTAINERS_CONF="$work/containers.conf" CONTAINERS_STORAGE_CONF="$work/storage.conf"
export TMPDIR="$work/tmp"
mkdir -p "$TMPDIR"

# --- the base: what the runtime needs and nothing else, as a distroless image has it
rootfs="$work/rootfs"
mkdir -p "$rootfs"/{etc/ssl/certs,tmp} "$work/packages"
chmod 1777 "$rootfs/tmp"
download() {
    (cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download libc6 libgcc-s1 ca-certificates)
}
download 2>/dev/null || { apt-get update -qq && download; }
for package in "$work"/packages/*.deb; do
    dpkg-deb -x "$package" "$rootfs"
done
cat "$rootfs"/usr/share/ca-certificates/mozilla/*.crt >"$rootfs/etc/ssl/certs/ca-certificates.crt"
tar -C "$rootfs" -cf "$work/base.tar" --numeric-owner .

for driver in overlay vfs; do
    storage "$driver"
    podman import --quiet "$work/base.tar" "$base" >/dev/null 2>"$work/import.log" \
        && probe=$(podman create --pull=never --network none "$base" /none 2>>"$work/import.log") \
        && podman mount "$probe" >/dev/null 2>>"$work/import.log" \
        && podman rm --force "$probe" >/dev/null \
        && break
    [ "$driver" = overlay ] || { cat "$work/import.log" >&2; fail "podman cannot store images here"; }
    rm -rf "$work/storage" "$work/run"
done
ok "base made offline, storage driver $driver"

# --- the image
arch=$(podman info --format '{{.Host.Arch}}')
context="$work/context"
mkdir -p "$context/prebuilt/$arch" "$context/prebuilt/data"
install -m 0755 "$binary" "$context/prebuilt/$arch/causeway"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
podman build --quiet --format docker --pull=never --network host --platform "linux/$arch" --target prebuilt \
    --file "$here/Containerfile" --ignorefile "$here/Containerfile.dockerignore" \
    --build-arg "RUNTIME_IMAGE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --tag "$image" "$context" >/dev/null
ok "target prebuilt built, $(podman image inspect --format '{{.Size}}' "$image") bytes"

# --- what it says of itself
inspect() { podman image inspect --format "$1" "$image"; }
same "user" "65532:65532" "$(inspect '{{.Config.User}}')"
same "entrypoint" '["/usr/bin/causeway"]' "$(inspect '{{json .Config.Entrypoint}}')"
same "command" '["run"]' "$(inspect '{{json .Config.Cmd}}')"
same "stop signal" "SIGTERM" "$(inspect '{{.Config.StopSignal}}')"
same "health check" '["CMD","/usr/bin/causeway","health"]' "$(inspect '{{json .HealthCheck.Test}}')"
same "volume" '{"/data":{}}' "$(inspect '{{json .Config.Volumes}}')"
same "ports" '30313/tcp 30313/udp 30314/tcp 30314/udp 30315/tcp 30315/udp 30316/udp ' \
    "$(inspect '{{range $port, $_ := .Config.ExposedPorts}}{{$port}} {{end}}')"
same "version label" "$version" "$(inspect '{{index .Config.Labels "org.opencontainers.image.version"}}')"
same "licence label" "MIT OR Apache-2.0" "$(inspect '{{index .Config.Labels "org.opencontainers.image.licenses"}}')"
environment=$(inspect '{{range .Config.Env}}{{println .}}{{end}}' | grep '^CAUSEWAY_' | sort | tr '\n' ' ')
same "environment" 'CAUSEWAY_DATADIR=/data CAUSEWAY_LOG__FORMAT=json ' "$environment"

# --- how it runs
readonly locked=(--pull=never --read-only --read-only-tmpfs=false --cap-drop=ALL --security-opt=no-new-privileges --network none)

timeout "$check_limit" podman run --rm "${locked[@]}" "$image" dev --ports 0 --exit-after-check \
    || fail "dev --exit-after-check ended with $?"
ok "dev --exit-after-check: 0, read-only, no capabilities, no network"

# Waits until the health probe inside succeeds, as a container runtime's timer would ask it.
healthy() { # container
    local deadline=$((SECONDS + up_limit))
    until podman healthcheck run "$1" >/dev/null 2>&1; do
        [ "$(podman inspect --format '{{.State.Running}}' "$1")" = true ] || fail "container $1 ended before it was healthy"
        [ $SECONDS -lt $deadline ] || fail "container $1 not healthy within $up_limit s"
        sleep 0.5
    done
}
stops() { # container
    local began=$SECONDS
    podman stop --time "$stop_limit" "$1" >/dev/null
    same "$1: exit code after SIGTERM" 0 "$(podman inspect --format '{{.State.ExitCode}}' "$1")"
    [ $((SECONDS - began)) -lt "$stop_limit" ] || fail "$1 had to be killed after $stop_limit s"
    ok "$1: stopped within its grace, $((SECONDS - began)) s"
}

# Told to stop once, as soon as it says that it is up, while the light peer still reads: the first process in a
# container has no default signal handling, so a signal that it does not expect yet is lost.
podman run --detach --name early "${locked[@]}" "$image" dev >/dev/null
pid=$(podman inspect --format '{{.State.Pid}}' early)
while read -r line; do
    [[ $line == *'"ready":true'* ]] && break
done < <(timeout "$up_limit" podman logs --follow early 2>/dev/null)
kill -TERM "$pid" 2>/dev/null || fail "early: ended before it could be told to stop"
timeout "$stop_limit" podman wait early >/dev/null || fail "early: lost SIGTERM, still up after $stop_limit s"
same "early: exit code after SIGTERM while starting" 0 "$(podman inspect --format '{{.State.ExitCode}}' early)"

podman run --detach --name dev "${locked[@]}" "$image" dev >/dev/null
healthy dev
ok "dev: health check passes"
deadline=$((SECONDS + check_limit))
until [[ $(podman logs dev 2>/dev/null) == *"every answer verified"* ]]; do
    [ $SECONDS -lt $deadline ] || fail "dev did not verify every answer within $check_limit s"
    sleep 0.5
done
pid=$(podman inspect --format '{{.State.Pid}}' dev)
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$pid/status"; }
same "dev: process's user" 65532 "$(field Uid)"
same "dev: process's group" 65532 "$(field Gid)"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    same "dev: $set" 0000000000000000 "$(field "$set")"
done
same "dev: no new privileges" 1 "$(field NoNewPrivs)"
same "dev: processes in the container" 1 "$(podman top dev pid | tail -n +2 | wc -l)"
grep -q '^[^ ]* / [^ ]* ro[, ]' "/proc/$pid/mounts" || fail "the root file system is writable"
ok "dev: root file system is read-only"
podman exec dev /usr/bin/causeway health || fail "causeway health inside dev ended with $?"
ok "dev: causeway health inside it answers"
stops dev

# The relay with everything the Dappnode package may leave empty, and a full node that nobody answers for:
# it lives all the same, keeps its identity over a restart, and takes /data with any owner's id that can write there.
nobody="enode://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8@127.0.0.1:9"
podman volume create state >/dev/null
peer_id() { podman logs "$1" 2>/dev/null | sed -n 's/.*"peerId":"\([^"]*\)".*/\1/p' | tail -n 1; }
relay() { # name
    podman run --detach --name "$1" "${locked[@]}" --volume state:/data --env "CAUSEWAY_FULL_NODE=$nobody" \
        --env CAUSEWAY_NETWORK=mainnet --env CAUSEWAY_CHECKPOINT= --env CAUSEWAY_NO_DISCOVERY=true "$image" >/dev/null
    healthy "$1"
    ok "$1: run is healthy without its full node"
}
relay first
identity=$(peer_id first)
[ -n "$identity" ] || fail "the relay printed no ready line"
stops first
relay second
same "identity after a restart" "$identity" "$(peer_id second)"
if podman exec second /usr/bin/causeway health --ready >/dev/null 2>&1; then
    fail "the relay says that it is ready without a full node"
fi
ok "second: not ready without its full node"
stops second
echo "ok   all checks of the image passed"
