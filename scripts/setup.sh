#!/usr/bin/env bash
# Installs what a build needs and this machine lacks, then makes RocksDB ready. Says what and why; says nothing when all
# is there. For Debian and Ubuntu; elsewhere it names what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

packages=()
need() { # package, why
    packages+=("$1")
    say "missing $1: $2"
}

# bindgen loads libclang.so and reads clang's own headers (stdbool.h). A full clang brings both.
libclang_found() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    local libraries
    libraries=$( { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true; } )
    [[ $libraries == *libclang[-.]*so* ]] || compgen -G '/usr/lib/llvm-*/lib/libclang[-.]*so*' >/dev/null
}
clang_headers_found() {
    [ -n "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && return 0
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stdbool.h' >/dev/null ||
        compgen -G '/usr/lib/clang/*/include/stdbool.h' >/dev/null ||
        compgen -G '/usr/lib64/clang/*/include/stdbool.h' >/dev/null
}
# The headers must be of the library's version, so one number is chosen for both: the one that is installed, else the
# release's own, else the newest that the package lists offer both for.
clang_version() {
    local installed default
    installed=$(compgen -G '/usr/lib/llvm-*/lib/libclang[-.]*so*' | sed 's|^/usr/lib/llvm-\([0-9]*\)/.*|\1|' | sort -n | tail -n 1) || true
    [ -n "$installed" ] && { echo "$installed"; return; }
    default=$(apt-cache depends libclang-dev 2>/dev/null | sed -n 's/.* libclang-\([0-9][0-9]*\)-dev$/\1/p' | head -n 1) || true
    [ -n "$default" ] && { echo "$default"; return; }
    apt-cache pkgnames libclang 2>/dev/null | sort -u |
        awk -F- '/^libclang1-[0-9]+$/ { library[$2] = 1 }
                 /^libclang-common-[0-9]+-dev$/ { headers[$3] = 1 }
                 END { for (v in library) if (v in headers && v + 0 > best) best = v + 0; if (best) print best }' || true
}

have cargo || die "missing cargo: install Rust from https://rustup.rs, then run this again"
have "${CXX:-c++}" || need g++ "RocksDB is C++"
have make || need make "the targets of the Makefile, and C libraries that crates build"
have pkg-config || need pkg-config "the build of librdkafka, the client of Kafka, finds OpenSSL by it"
openssl_headers_found() {
    [ -n "${OPENSSL_DIR:-}" ] || pkg-config --exists openssl 2>/dev/null || [ -f /usr/include/openssl/ssl.h ]
}
openssl_headers_found || need libssl-dev "librdkafka speaks TLS by OpenSSL"
have java || need default-jre-headless "the tests of topics start an Apache Kafka of their own"
have mvn || need maven "scripts/kafka.sh fetches that Apache Kafka"
have openssl || need openssl "the tests of topics make certificates"
have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
    need postgresql "the tests of a ledger on a server start one of their own"
libclang=ok
libclang_found && clang_headers_found || libclang=missing

if [ "${#packages[@]}" -gt 0 ] || [ "$libclang" = missing ]; then
    have apt-get || die "install what is missing with this system's package manager, then run this again"
    if [ "$(id -u)" = 0 ]; then as_root=()
    elif have sudo && sudo -n true 2>/dev/null; then as_root=(sudo -n)
    else as_root=(no)
    fi
    if [ "$libclang" = missing ]; then
        version=$(clang_version)
        # A fresh image has no package lists at all.
        if [ -z "$version" ] && [ "${as_root[*]-}" != no ]; then
            "${as_root[@]}" apt-get update -qq >&2 || die "apt-get update failed: is there a network?"
            updated=yes
            version=$(clang_version)
        fi
        why="RocksDB's bindings are generated from its headers"
        if [ -n "$version" ]; then
            need "libclang1-$version" "$why"
            need "libclang-common-$version-dev" "$why, which need clang's own"
        else
            need libclang-dev "$why"
        fi
    fi
    install="apt-get install -y --no-install-recommends ${packages[*]}"
    [ "${as_root[*]-}" != no ] || die "not root, and no sudo without a password. Run: sudo apt-get update && sudo $install"
    if [ -z "${updated:-}" ]; then
        "${as_root[@]}" apt-get update -qq >&2 || say "apt-get update failed; trying with the package lists at hand"
    fi
    say "$install"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >&2 ||
        die "that failed; see above"
    libclang_found && clang_headers_found || die "libclang or its headers are still not found; set LIBCLANG_PATH and BINDGEN_EXTRA_CLANG_ARGS"
fi

for component in rustfmt clippy; do
    program=cargo-${component/rustfmt/fmt}
    # rustup's proxies exist whether or not the component does, so the toolchain's own folder is asked.
    [ -x "$(rustc --print sysroot)/bin/$program" ] && continue
    have rustup || die "missing $component: install it beside $(rustc --print sysroot)"
    say "missing $component: make lint uses it; adding it by rustup"
    rustup component add "$component" >&2 || die "that failed; see above"
done

exec bash scripts/rocksdb.sh
