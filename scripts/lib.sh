# Shared by the scripts beside this file: paths, pinned versions, downloads, ports. Sourced, never run.
# Written for bash 3.2 (macOS) and later.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TRACKING_CACHE=${TRACKING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tracking}
# Outside the work tree, so that a fresh clone need not compile the dependencies again.
export TRACKING_CACHE CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$TRACKING_CACHE/target}"

MAVEN_URL=${MAVEN_URL:-https://repo1.maven.org/maven2}
PULSAR_VERSION=4.0.8
PULSAR_SHA256=35c7d064c9e0928edbf2e708989faba0379662f98aa84ce0d4190c59efb6765e
POSTGRES_VERSION=17.11.0

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() { say "$*"; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
is_macos() { [ "$(uname -s)" = Darwin ]; }
has() { command -v "$1" >/dev/null 2>&1; }

# sha256 FILE: the digest alone.
sha256() {
    if has sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

# fetch URL SHA256: downloads into the cache unless it is there, checks it, prints its path.
# The file appears under its name only when whole and right, so that two runs may fetch at once.
fetch() {
    local url=$1 want=$2 file tmp attempt
    file=$TRACKING_CACHE/downloads/$(basename "$url")
    if [ -f "$file" ] && [ "$(sha256 "$file")" = "$want" ]; then
        printf '%s\n' "$file"
        return
    fi
    mkdir -p "$TRACKING_CACHE/downloads"
    tmp=$(mktemp "$file.XXXXXX")
    for attempt in 1 2 3 4; do
        say "fetching $url (attempt $attempt)"
        # Aborts when less than 1 kB/s comes for a minute: a stalled mirror must not hang a build.
        if curl --fail --silent --show-error --location --connect-timeout 20 --max-time 1800 \
            --speed-limit 1024 --speed-time 60 --output "$tmp" "$url"; then
            if [ "$(sha256 "$tmp")" = "$want" ]; then
                chmod 644 "$tmp"
                mv -f "$tmp" "$file"
                printf '%s\n' "$file"
                return
            fi
            say "checksum of $url differs from $want"
        fi
        sleep $((attempt * 3))
    done
    rm -f "$tmp"
    die "cannot fetch $url"
}

# install_dir PARENT NAME SCRATCH: moves SCRATCH/NAME to PARENT/NAME; fine when another run was quicker.
install_dir() {
    mkdir -p "$1"
    [ -d "$1/$2" ] || mv "$3/$2" "$1/" 2>/dev/null || [ -d "$1/$2" ] || die "cannot create $1/$2"
    rm -rf "$3"
}

# pulsar_home: prints the folder of the unpacked Pulsar, fetching it when it is missing.
pulsar_home() {
    if [ -n "${TEST_PULSAR_HOME:-}" ]; then
        printf '%s\n' "$TEST_PULSAR_HOME"
        return
    fi
    local name=apache-pulsar-$PULSAR_VERSION archive scratch
    if [ ! -d "$TRACKING_CACHE/$name" ]; then
        archive=$(fetch "$MAVEN_URL/org/apache/pulsar/pulsar-server-distribution/$PULSAR_VERSION/pulsar-server-distribution-$PULSAR_VERSION-bin.tar.gz" "$PULSAR_SHA256")
        scratch=$(mktemp -d "$TRACKING_CACHE/unpack.XXXXXX")
        tar -xzf "$archive" -C "$scratch"
        install_dir "$TRACKING_CACHE" "$name" "$scratch"
    fi
    printf '%s\n' "$TRACKING_CACHE/$name"
}

postgres_platform() {
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64) echo linux-amd64 0dd7b72b6f335b8ecfb355fa24c5781e8a93edd09880bb77eb52ebbf29b3e96d ;;
        Linux-aarch64 | Linux-arm64) echo linux-arm64v8 8b042e0ea418b1927d95399207950da0734d27fe01e29503ade3bdc464ad4c2b ;;
        Darwin-x86_64) echo darwin-amd64 d464ff178e9860ba204662ac23fa547504b7fd392392ff2fb92e3fd73b5bdb64 ;;
        Darwin-arm64) echo darwin-arm64v8 a1c2786acb0c398f9b2d76806fc52f5dc8b222cbc8e9383a9b9702084daaf3a5 ;;
        *) die "no PostgreSQL binaries for $(uname -s) $(uname -m)" ;;
    esac
}

# postgres_bin: prints the folder with initdb, pg_ctl and postgres, fetching them when they are missing.
postgres_bin() {
    if [ -n "${TEST_POSTGRES_BIN:-}" ]; then
        printf '%s\n' "$TEST_POSTGRES_BIN"
        return
    fi
    local name=postgresql-$POSTGRES_VERSION parent=$TRACKING_CACHE platform checksum archive scratch
    # PostgreSQL refuses to run as root, and the user it runs as cannot look into root's home.
    if is_root; then parent=/var/cache/tracking; fi
    if [ ! -d "$parent/$name" ]; then
        read -r platform checksum <<<"$(postgres_platform)"
        archive=$(fetch "$MAVEN_URL/io/zonky/test/postgres/embedded-postgres-binaries-$platform/$POSTGRES_VERSION/embedded-postgres-binaries-$platform-$POSTGRES_VERSION.jar" "$checksum")
        mkdir -p "$parent"
        scratch=$(mktemp -d "$parent/unpack.XXXXXX")
        mkdir "$scratch/$name"
        unzip -q -o "$archive" '*.txz' -d "$scratch"
        tar -xJf "$scratch"/*.txz -C "$scratch/$name"
        install_dir "$parent" "$name" "$scratch"
    fi
    printf '%s\n' "$parent/$name/bin"
}

# postgres_user: whom PostgreSQL runs as when we are root.
postgres_user() { if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

# as_postgres COMMAND…: runs it as an unprivileged user, from a folder that user can enter.
as_postgres() {
    if ! is_root; then
        (cd / && "$@")
    elif has setpriv; then
        (cd / && setpriv --reuid "$(id -u "$(postgres_user)")" --regid "$(id -g "$(postgres_user)")" --clear-groups "$@")
    else
        (cd / && sudo -u "$(postgres_user)" "$@")
    fi
}

# java_home: prints the home of a Java that Pulsar runs on (17 to 23), or fails.
java_home() {
    local home
    for home in "${JAVA_HOME:-}" "$(path_java_home)" /usr/lib/jvm/*-17-* /usr/lib/jvm/*-21-* \
        /opt/homebrew/opt/openjdk@17 /usr/local/opt/openjdk@17 /opt/homebrew/opt/openjdk@21 /usr/local/opt/openjdk@21; do
        [ -n "$home" ] && [ -x "$home/bin/java" ] || continue
        case "$("$home/bin/java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)" in
            17 | 18 | 19 | 2[0-3])
                printf '%s\n' "$home"
                return
                ;;
        esac
    done
    return 1
}

# The home that `java` on the PATH belongs to, as it says itself; empty when there is none.
path_java_home() {
    java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p' || true
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a port nobody listens on, below the range from which systems take ports for clients.
free_port() {
    local port attempt
    for attempt in $(seq 1 100); do
        port=$((15000 + (RANDOM * 32768 + RANDOM) % 15000))
        port_taken "$port" || { printf '%s\n' "$port"; return; }
    done
    die "no free port found in $attempt attempts"
}

# command_of PID: its command line; nothing when there is no such process. A minimal Debian has no ps.
command_of() {
    if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null; else ps -o command= -p "$1" 2>/dev/null; fi || true
}

# wait_gone PID SECONDS: waits until the process is gone.
wait_gone() {
    local left=$(($2 * 5))
    while kill -0 "$1" 2>/dev/null; do
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 0.2
    done
}
