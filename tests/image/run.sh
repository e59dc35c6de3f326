#!/usr/bin/env bash
# Builds deploy/Dockerfile and runs the image: as its user, by its own entry point and health check.
#
# What differs from an image in production: the binary is the one built here (the Dockerfile's own
# build stage is `make image-build`), the base is made here by debootstrap instead of pulled, and
# buildah runs it in a chroot with a network of its own, not in a container with limits.
set -euo pipefail

cd "$(dirname "$0")/../.."
binary=${GRISTMILL:?the path of the built binary}
# Outside the target folder: a base costs half a minute, and clones of this machine can share it.
cache=${GRISTMILL_IMAGE_CACHE:-/var/tmp/gristmill-image}

if [[ $(uname -s) != Linux ]]; then
    echo '    NOT RUN: containers are native to Linux only'
    exit 0
fi
if [[ $(id -u) -ne 0 ]]; then
    exec sudo --preserve-env=GRISTMILL,GRISTMILL_IMAGE_CACHE,PATH "$0" "$@"
fi

work=$(mktemp -d)
container=
fail() {
    echo "image: $*" >&2
    if [[ -s $work/log ]]; then
        echo '--- the last of its log' >&2
        tail -n 40 "$work/log" >&2
    fi
    exit 1
}
builder() { buildah --root "$cache/storage" --runroot "$work/run" "$@"; }

# Process ids of the host in our network, which nobody else has.
hosts() {
    local process network
    network=$(readlink /proc/self/ns/net)
    for process in /proc/[0-9]*; do
        if [[ $(readlink "$process/exe" 2>/dev/null) == */usr/local/bin/gristmill &&
            $(readlink "$process/ns/net" 2>/dev/null) == "$network" ]]; then
            basename "$process"
        fi
    done
}

wait_until() { # wait_until WHAT COMMAND...: for at most 30 s
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || fail "waited 30 s until $what"
        sleep 0.1
    done
}

clean_up() {
    local id
    for id in $(hosts); do kill -KILL "$id" 2>/dev/null || true; done
    [[ -z $container ]] || builder rm "$container" >/dev/null 2>&1 || true
    if [[ ${1:-} != story ]]; then
        builder rmi localhost/gristmill >/dev/null 2>&1 || true
        builder rmi --prune >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}

# The Debian root that RUN_BASE is by default, without what a slim image leaves out.
make_base() {
    local suite mirror root=$work/root
    suite=$(. /etc/os-release && [[ $ID == debian ]] && echo "$VERSION_CODENAME" || echo bookworm)
    base=localhost/base:$suite
    if builder inspect --type image "$base" >/dev/null 2>&1; then return; fi
    echo "    making a base of $suite by debootstrap"
    # From where this machine gets its own packages, when it is of that suite.
    mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 2>/dev/null |
        sed -n "s/^$suite //p" | sort -u | head -n 1)
    if ! debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$work/log" 2>&1; then
        fail "debootstrap $suite"
    fi
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}
    container=$(builder from scratch)
    builder add --quiet "$container" "$root" / >/dev/null
    builder commit --quiet --rm "$container" "$base" >/dev/null
    container=
    rm -rf "$root"
}

build() {
    mkdir -p "$work/stage/out/empty"
    # Without its symbols, as a release has none; they are most of its size.
    strip -o "$work/stage/out/gristmill" "$binary"
    builder build --quiet --isolation chroot --format docker --pull-never \
        --build-arg RUN_BASE="$base" --build-context build="$work/stage" \
        --ignorefile deploy/Dockerfile.dockerignore --file deploy/Dockerfile \
        --tag localhost/gristmill . >"$work/log"
}

expect() { # expect WHAT FIELD VALUE: of the image's configuration
    local value
    value=$(builder inspect --type image --format "{{$2}}" localhost/gristmill)
    [[ $value == "$3" ]] || fail "$1 is $value, not $3"
}

start() {
    echo "    starting the host"
    in_container /usr/local/bin/gristmill run >"$work/log" 2>&1 &
    runner=$!
    # Asked from outside first: two commands at once would both set up the container's volume.
    wait_until 'the host answers' curl -fsS -o /dev/null http://127.0.0.1:8080/healthz \
        2>"$work/health"
    [[ $(hosts | wc -l) == 1 ]] || fail "one host should run, not these processes: $(hosts)"
    wait_until 'the image calls itself healthy' in_container /usr/local/bin/gristmill health \
        >"$work/health" 2>&1
}

stop() {
    local status=0
    kill -TERM "$(hosts)"
    wait "$runner" || status=$?
    ((status == 0)) || fail "the host left with $status after SIGTERM"
    if in_container /usr/local/bin/gristmill health >/dev/null 2>&1; then
        fail 'the health check is content without a host'
    fi
}

# The data folder is the volume that the image declares: buildah keeps it with the container. One of
# ours in its place is mounted before or after it, as it happens.
in_container() {
    builder run --isolation chroot \
        --volume "$work/gristmill.toml:/etc/gristmill/gristmill.toml:ro" "$container" -- "$@"
}

story() {
    ip link set lo up
    expect user .Docker.Config.User 10001:10001
    expect port .Docker.Config.ExposedPorts 'map[8080/tcp:{}]'
    expect volume .Docker.Config.Volumes 'map[/var/lib/gristmill:{}]'
    expect 'entry point' .Docker.Config.Entrypoint '[/usr/local/bin/gristmill]'
    expect command .Docker.Config.Cmd '[run]'
    expect 'health check' .Docker.Config.Healthcheck.Test '[CMD /usr/local/bin/gristmill health]'

    container=$(builder from --pull-never localhost/gristmill)
    cp deploy/gristmill.toml "$work/gristmill.toml"
    printf '\n[topics."greetings"]\npartitions = 1\n' >>"$work/gristmill.toml"

    start
    [[ $(stat -c %u "/proc/$(hosts)") == 10001 ]] || fail 'the host is not run by user 10001'
    grep -q allow_anonymous "$work/log" || fail 'the host does not warn of allow_anonymous'
    curl -fsS -X POST -H 'content-type: application/json' -d '{"hello":"image"}' \
        http://127.0.0.1:8080/topics/greetings >/dev/null || fail 'publish an event'
    stop
    start
    : >"$work/events"
    curl -sN --max-time 30 'http://127.0.0.1:8080/topics/greetings/events?from=earliest' \
        >"$work/events" &
    local reader=$!
    wait_until 'the event is read after a restart' grep -q '"hello":"image"' "$work/events"
    kill "$reader" 2>/dev/null || true
    local root data
    root=/proc/$(hosts)/root
    data=$root/var/lib/gristmill
    [[ -e $data/store/format ]] || fail 'the data folder holds no store'
    [[ -z $(find "$data" ! -uid 10001) ]] || fail 'a file of the data folder has another owner'
    stop
}

base=
trap 'clean_up "$@"' EXIT
if [[ ${1:-} == story ]]; then
    story
    echo '    image built, healthy, written to, restarted, read from, stopped'
else
    mkdir -p "$cache"
    make_base
    build
    # A network of its own: port 8080 is free there, and no other process is met.
    unshare --net "$0" story
fi
