#!/usr/bin/env bash
# Builds libcaf_core for ThreadSanitizer: build_tsan_caf.sh FOLDER
#
# Debian's library is not instrumented: ThreadSanitizer then sees hundreds of
# races that are none, and to suppress them hides every race in our handlers.
# So the same version is built from Debian's source package, libcaf_core alone.
#
# FOLDER gets include/caf and lib/libcaf_core.so*. It is left alone when it was
# made from the same version, by the same compiler, by this same script (the
# file `made-from` says so). Fetches through apt with lists of its own below
# FOLDER.work: the machine's lists are read, never changed.
# Exit status: 0 made or already there, 69 no source to be had, 1 anything else.
set -euo pipefail

folder=${1:?usage: build_tsan_caf.sh FOLDER}
jobs=${BPF2GRAPHITE_JOBS:-$(nproc)}
compiler=${CXX:-g++}

say() { printf 'tsan caf: %s\n' "$*" >&2; }

source_version=$(dpkg-query -W -f '${source:Version}' libcaf-dev) || {
  say "libcaf-dev is not installed"
  exit 69
}
upstream=${source_version%-*}
made_from="$source_version; $("$compiler" --version | head -n 1);"
made_from+=" $(sha256sum < "${BASH_SOURCE[0]}" | cut -c 1-16)"
if [ "$(cat "$folder/made-from" 2>/dev/null)" = "$made_from" ]; then
  say "$folder is up to date"
  exit 0
fi

work=$folder.work
rm -rf "$work" "$folder"
mkdir -p "$work"/{parts,lists/partial,cache/archives/partial,source}
work=$(cd "$work" && pwd)
folder=$(mkdir -p "$folder" && cd "$folder" && pwd)

# The machine's own entries for the archive that libcaf-dev comes from, asked
# for sources instead of packages. Both forms of a list are understood.
archive=$(apt-cache policy libcaf-dev | awk '$2 ~ /:\/\// {print $2; exit}')
if [ -z "$archive" ]; then
  say "apt knows no archive that holds libcaf-dev (apt-get update?)"
  exit 69
fi
eval "$(apt-config shell lists Dir::Etc::sourcelist/f \
  parts Dir::Etc::sourceparts/d)"
number=0
for list in "$lists" "$parts"*.list "$parts"*.sources; do
  [ -f "$list" ] || continue
  number=$((number + 1))
  case $list in
    *.sources)
      awk -v archive="${archive%/}" 'BEGIN { RS = ""; ORS = "\n\n" }
        index($0, archive) {
          gsub(/(^|\n)Types:[^\n]*/, "\nTypes: deb-src"); print }' \
        "$list" > "$work/parts/$number.sources" ;;
    *)
      awk -v archive="${archive%/}" '$1 == "deb" && index($0, archive) {
          sub(/^[ \t]*deb/, "deb-src"); print }' \
        "$list" > "$work/parts/$number.list" ;;
  esac
done
own_lists=(-o "Dir::Etc::sourcelist=/dev/null"
  -o "Dir::Etc::sourceparts=$work/parts"
  -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache"
  -o "APT::Sandbox::User=root")
apt-get "${own_lists[@]}" -qq update >&2 || say "apt-get update had errors"
# A mirror may lack the packaging tarball; the original one is all we build.
(cd "$work/source" && apt-get "${own_lists[@]}" -qq source --download-only \
  "actor-framework=$source_version" >&2) || say "apt-get source had errors"
tarball=$(find "$work/source" -name "actor-framework_$upstream.orig.tar.*" \
  ! -name '*.asc' | head -n 1)
if [ -z "$tarball" ]; then
  say "the source of actor-framework $source_version is not to be had"
  rm -rf "$work"
  exit 69
fi
mkdir "$work/tree"
tar -xf "$tarball" -C "$work/tree" --strip-components=1

launcher=()
command -v ccache > /dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
# The three headers are missing in 0.17.6 for g++ 12 and later.
cmake -S "$work/tree" -B "$work/build" -G Ninja "${launcher[@]}" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_CXX_FLAGS="-fsanitize=thread -O1 -g1 -w \
-include limits -include cstdint -include string" \
  -DCAF_NO_IO=ON -DCAF_NO_TOOLS=ON -DCAF_NO_EXAMPLES=ON -DCAF_NO_OPENSSL=ON \
  -DCAF_NO_UNIT_TESTS=ON -DCAF_NO_PYTHON=ON -DCAF_NO_OPENCL=ON \
  -DCAF_NO_AUTO_LIBCPP=ON -DCMAKE_INSTALL_PREFIX="$folder" > "$work/cmake.txt"
ninja -C "$work/build" -j "$jobs" libcaf_core_shared > "$work/ninja.txt" || {
  tail -n 30 "$work/ninja.txt" >&2
  exit 1
}
mkdir -p "$folder/include" "$folder/lib"
cp -a "$work/tree/libcaf_core/caf" "$folder/include/"
find "$work/build" -name build_config.hpp \
  -exec cp {} "$folder/include/caf/detail/" \;
find "$folder/include" -type f ! -name '*.hpp' -delete
find "$work/build" \( -type f -o -type l \) -name 'libcaf_core.so*' \
  -exec cp -a {} "$folder/lib/" \;
[ -e "$folder/lib/libcaf_core.so" ] || {
  say "no libcaf_core.so was built"
  exit 1
}
printf '%s\n' "$made_from" > "$folder/made-from"
rm -rf "$work"
say "made $folder"
