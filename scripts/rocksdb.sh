#!/usr/bin/env bash
# Builds RocksDB's C++ once, outside the target folder, and links it into .native/rocksdb.
#
# Left to its crate, RocksDB is compiled again for every cargo profile, a quarter of an hour each time. Here it is
# compiled once per (version, compiler, flags), as a few large translation units because nearly all of the time is
# header parsing, and .cargo/config.toml points every profile at the archive.
set -euo pipefail
cd "$(dirname "$0")/.."

sources_of() { # the unpacked folder of a locked crate
    cargo metadata --format-version 1 --locked | python3 -c '
import json, os, sys
name = sys.argv[1]
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == name:
        print(os.path.dirname(package["manifest_path"]))
' "$1"
}

crate=$(sources_of librocksdb-sys)
lz4=$(sources_of lz4-sys)/liblz4/lib
[ -f "$crate/rocksdb_lib_sources.txt" ] || { echo "rocksdb.sh: no sources in '$crate'; run cargo fetch" >&2; exit 1; }

# The build script of librocksdb-sys is the reference for these definitions.
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

key=$({ basename "$crate"; "$compiler" --version | head -n 1; echo "${flags[*]}" "$chunks"; } | sha256sum | cut -c1-16)
cache=${AERIE_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aerie}/rocksdb-$key

if [ ! -f "$cache/librocksdb.a" ]; then
    echo "rocksdb.sh: compiling $(basename "$crate") into $cache (once; about six minutes on two cores)"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    grep -v '^util/build_version.cc$' "$crate/rocksdb_lib_sources.txt" | sed '/^\s*$/d' >"$work/sources"
    split --number="l/$chunks" --numeric-suffixes --suffix-length=2 "$work/sources" "$work/chunk"
    for chunk in "$work"/chunk*; do
        sed "s|.*|#include \"$crate/rocksdb/&\"|" "$chunk" >"$chunk.cc"
    done
    cp "$crate/build_version.cc" "$work/build_version.cc"
    compile() {
        "$compiler" "${flags[@]}" -I"$crate/rocksdb/include" -I"$crate/rocksdb" -I"$crate" -I"$lz4" -c "$1" -o "${1%.cc}.o"
        echo "rocksdb.sh: $(basename "$1") done"
    }
    jobs=$(nproc)
    failed=0
    for source in "$work"/*.cc; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || failed=1; done
        compile "$source" &
    done
    while [ "$(jobs -p | wc -l)" -gt 0 ]; do wait -n || failed=1; jobs >/dev/null; done
    [ "$failed" = 0 ] || { echo "rocksdb.sh: RocksDB did not compile; see the messages above" >&2; exit 1; }
    mkdir -p "$cache"
    ar crs "$work/librocksdb.a" "$work"/*.o
    mv "$work/librocksdb.a" "$cache/librocksdb.a.new"
    mv "$cache/librocksdb.a.new" "$cache/librocksdb.a"
fi

mkdir -p .native
ln -sfn "$cache" .native/rocksdb
