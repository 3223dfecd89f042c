#!/bin/sh
# What Herald is made of, and what is known against it: `make audit`. SECURITY.md, "Supply chain", says what is asked.
# Ends with 1 if anything that can be asked has found something; what cannot be asked here is said in plain words.
set -u
cd "$(dirname "$0")/../.."
bin=$PWD/target/audit-tools/bin
PATH=$bin:$PATH
failed=0
unasked=0

fails() {
    echo "audit: FAILED: $1"
    failed=1
}

not_asked() {
    echo "audit: NOT ASKED: $1"
    unasked=1
}

# A program that is made of one crate by this name, version and licence, and nothing else: no network, no Cargo.lock of ours.
probe() {
    rm -rf target/audit/probe
    mkdir -p target/audit/probe/src target/audit/probe/part/src
    : > target/audit/probe/src/lib.rs
    : > target/audit/probe/part/src/lib.rs
    cat > target/audit/probe/Cargo.toml << END
[workspace]
[package]
name = "probe"
version = "0.1.0"
edition = "2024"
license = "MIT"
[dependencies]
$1 = { path = "part" }
END
    cat > target/audit/probe/part/Cargo.toml << END
[package]
name = "$1"
version = "$2"
edition = "2024"
license = "$3"
END
    cargo deny --offline --manifest-path target/audit/probe/Cargo.toml --config deny.toml check --hide-inclusion-graph \
        -A license-not-encountered -A license-exception-not-encountered "$4" > target/audit/probe/told 2>&1
}

# Rules that refuse nothing prove nothing.
rules() {
    while read -r name version license check wanted; do
        if probe "$name" "$version" "$license" "$check"; then found=taken; else found=refused; fi
        # Refused for what it is to be refused for, and not because cargo-deny could not be run.
        if [ $found = refused ] && ! grep -Eq '^error\[(banned|rejected)\]' target/audit/probe/told; then found=unknown; fi
        if [ $found != "$wanted" ]; then
            fails "a program made of $name $version ($license) is $found, not $wanted"
            cat target/audit/probe/told
        fi
    done << END
ring 0.17.14 MIT bans refused
openssl 0.10.70 MIT bans refused
openssl-sys 0.9.100 MIT bans refused
native-tls 0.2.12 MIT bans refused
libsqlite3-sys 0.36.0 MIT bans refused
libsqlite3-sys 0.37.0 MIT bans taken
harmless 1.0.0 MIT bans taken
harmless 1.0.0 GPL-3.0-only licenses refused
harmless 1.0.0 MPL-2.0 licenses refused
harmless 1.0.0 MIT licenses taken
END
}

crates() {
    if ! cargo fetch --locked --quiet; then
        not_asked "the crates cannot be fetched, so neither licences, bans nor sources were looked at"
        return
    fi
    cargo deny --offline --locked check --hide-inclusion-graph licenses bans sources || fails "cargo deny: licences, bans, sources"
}

advisories() {
    if ! timeout 120 cargo deny --locked fetch db > target/audit/fetch 2>&1; then
        not_asked "RustSec's database cannot be had from here, so no crate was looked up in it"
        return
    fi
    cargo deny --locked check --disable-fetch --hide-inclusion-graph advisories || fails "cargo deny: advisories"
}

packages() {
    for lock in $(git ls-files '*package-lock.json'); do
        folder=${lock%/*}
        (cd "$folder" && timeout 120 npm audit --json) > target/audit/npm.json 2> target/audit/npm.err
        code=$?
        if ! grep -q '"auditReportVersion"' target/audit/npm.json; then
            not_asked "the npm registry answers no audit, so the packages of $folder were looked up nowhere"
        elif [ $code != 0 ]; then
            cat target/audit/npm.json
            fails "npm audit: $folder"
        else
            echo "audit: npm packages of $folder: nothing is known against them"
        fi
    done
}

mkdir -p target/audit
rules
crates
advisories
packages
[ $unasked = 0 ] || echo "audit: not everything could be asked; ask again where the network allows it"
[ $failed = 0 ] && echo "audit: what was asked has found nothing"
exit $failed
