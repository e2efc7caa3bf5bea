#!/usr/bin/env bash
# Fetches Apache Kafka for the tests of topics, once, outside the target folder, and links it into .native/kafka.
#
# Its jars come by Maven, as scripts/kafka/pom.xml says, and are held against scripts/kafka/jars.sha256. After a change of
# version, `scripts/kafka.sh --sums` writes that file anew: look at what it brings before you commit it.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "kafka.sh: $*" >&2; exit 1; }

plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
sums=scripts/kafka/jars.sha256
key=$(cat scripts/kafka/pom.xml "$sums" | sha256sum | cut -c1-16)
caches=${AERIE_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aerie}
cache=$caches/kafka-$key

link() { # by a new link renamed over the old one, so that a test beside us never sees none
    [ "$(readlink .native/kafka 2>/dev/null)" != "$cache" ] || return 0
    mkdir -p .native
    ln -sfn "$cache" ".native/kafka.$$"
    mv -fT ".native/kafka.$$" .native/kafka
}

if [ -d "$cache" ] && [ "${1:-}" != --sums ]; then
    link
    exit 0
fi

# One run fetches, others wait for it and then find the jars. The lock goes with its process, however that ends.
mkdir -p "$caches"
exec 9>"$caches/kafka.lock"
flock 9
if [ -d "$cache" ] && [ "${1:-}" != --sums ]; then
    link
    exit 0
fi

command -v mvn >/dev/null || die "missing mvn: scripts/setup.sh installs it"
echo "kafka.sh: fetching Apache Kafka into $cache (once; about a minute)" >&2
work=$(mktemp -d "$caches/kafka-fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mvn --batch-mode --quiet --file scripts/kafka/pom.xml -Dmaven.repo.local="$work/repository" \
    -DoutputDirectory="$work/jars" "$plugin:copy-dependencies" >&2 9>&- || die "Maven could not fetch it; see above"

if [ "${1:-}" = --sums ]; then
    (cd "$work/jars" && sha256sum -- *.jar) >"$sums"
    exit 0
fi
expected=$PWD/$sums
(cd "$work/jars" && sha256sum --check --strict --quiet "$expected") || die "what was fetched is not what $sums says"
[ "$(find "$work/jars" -type f | wc -l)" = "$(wc -l <"$expected")" ] || die "more was fetched than $sums names"
mv -T "$work/jars" "$cache" # the same file system, so they are there whole or not at all
link
