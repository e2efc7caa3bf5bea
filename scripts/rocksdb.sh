#!/usr/bin/env bash
# Compiles RocksDB once, outside the target folder, and links it into .native/rocksdb.
#
# Left to its crate, RocksDB is compiled again for every cargo profile, a quarter of an hour each time. Here it is
# compiled once per (version, compiler, flags), as a few large translation units because nearly all of the time is
# header parsing, and .cargo/config.toml points every profile at the archive. See docs/decisions/0002-prebuilt-rocksdb.md.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "rocksdb.sh: $*" >&2; exit 1; }

version_of() { # of a locked crate
    awk -v name="$1" '$0 == "name = \"" name "\"" { getline; gsub(/^version = "|"$/, ""); print; exit }' Cargo.lock
}

# The definitions are those of librocksdb-sys's build script; compare them when the crate is upgraded.
flags=(-O2 -fPIC -std=c++20 -DNDEBUG -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX
    -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
    -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
    -include cstdint -w)
case "$(uname -m)" in
x86_64) flags+=(-msse4.2 -mpclmul) ;; # CRC32C in hardware; every x86-64 server since 2011 has both
aarch64) flags+=(-march=armv8-a+crc+aes+crypto) ;;
esac
compiler=${CXX:-c++}
chunks=8

crate=librocksdb-sys-$(version_of librocksdb-sys)
[ "$crate" != librocksdb-sys- ] || die "Cargo.lock does not name librocksdb-sys"
compiler_version=$("$compiler" --version) || die "'$compiler' does not run; scripts/setup.sh installs g++"
key=$({ echo "$crate"; echo "${compiler_version%%$'\n'*}"; echo "${flags[*]}" "$chunks"; } | sha256sum | cut -c1-16)
caches=${AERIE_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aerie}
cache=$caches/rocksdb-$key

link() { # by a new link renamed over the old one, so that a build beside us never sees none
    [ "$(readlink .native/rocksdb 2>/dev/null)" != "$cache" ] || return 0
    mkdir -p .native
    ln -sfn "$cache" ".native/rocksdb.$$"
    mv -fT ".native/rocksdb.$$" .native/rocksdb
}

if [ -f "$cache/librocksdb.a" ]; then
    link
    exit 0
fi

# One run compiles, others wait for it and then find the archive. The lock goes with its process, however that ends.
mkdir -p "$caches"
exec 9>"$caches/rocksdb.lock"
flock -n 9 || { echo "rocksdb.sh: another run is compiling; waiting for it" >&2; flock 9; }
if [ -f "$cache/librocksdb.a" ]; then
    link
    exit 0
fi

source_of() { # the unpacked folder of a locked crate, which cargo fetches if it is not there
    local crate found
    crate=$1-$(version_of "$1")
    found=$(compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/src/*/$crate" | head -n 1) || true
    [ -n "$found" ] || return 1
    echo "$found"
}
if ! source_of librocksdb-sys >/dev/null || ! source_of lz4-sys >/dev/null; then
    cargo fetch --locked >&2 9>&- || die "the crates could not be fetched; see above"
fi
rocksdb=$(source_of librocksdb-sys) || die "cargo fetch left no sources of librocksdb-sys"
lz4=$(source_of lz4-sys)/liblz4/lib || die "cargo fetch left no sources of lz4-sys"
[ -f "$rocksdb/rocksdb_lib_sources.txt" ] || die "no list of sources in $rocksdb"

echo "rocksdb.sh: compiling $crate into $cache (once; about six minutes on two cores)" >&2
work=$(mktemp -d "$caches/building.XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
grep -v '^util/build_version.cc$' "$rocksdb/rocksdb_lib_sources.txt" | sed '/^\s*$/d' >"$work/sources"
split --number="l/$chunks" --numeric-suffixes --suffix-length=2 "$work/sources" "$work/chunk"
for chunk in "$work"/chunk*; do
    sed "s|.*|#include \"$rocksdb/rocksdb/&\"|" "$chunk" >"$chunk.cc"
done
cp "$rocksdb/build_version.cc" "$work/build_version.cc"

compile() {
    "$compiler" "${flags[@]}" -I"$rocksdb/rocksdb/include" -I"$rocksdb/rocksdb" -I"$rocksdb" -I"$lz4" \
        -c "$1" -o "${1%.cc}.o" 9>&-
    echo "rocksdb.sh: $(basename "$1") done" >&2
}
# A translation unit takes about 1.5 GB; a machine short of memory compiles fewer at once.
cores=$(nproc)
memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo 2>/dev/null || true)
at_once=$((${memory:-$cores} < cores ? ${memory:-$cores} : cores))
[ "$at_once" -ge 1 ] || at_once=1
failed=0
for unit in "$work"/*.cc; do
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n || failed=1; done
    compile "$unit" &
done
for job in $(jobs -p); do wait "$job" || failed=1; done
for unit in "$work"/*.cc; do [ -f "${unit%.cc}.o" ] || failed=1; done
[ "$failed" = 0 ] || die "RocksDB did not compile; see the messages above"

ar crs "$work/librocksdb.a" "$work"/*.o
mkdir -p "$cache"
mv "$work/librocksdb.a" "$cache/librocksdb.a" # the same file system, so it is there whole or not at all
link
