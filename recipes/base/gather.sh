#!/usr/bin/env bash
# Builds the base model's text from Debian 12 packages: recipes/base/gather.sh [output folder]
# Nothing is installed; everything lies under recipes/base/work. Needs apt-get, dpkg-deb and the .NET SDK.
# The packages must be known to apt (apt-get update). A run takes 3 to 9 minutes on two cores, 1.3 GB of downloads and 3.5 GB of disk.
# KEEP=1 keeps the downloaded packages and their unpacked files.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$here/work
output=${1:-$work/output}
mkdir -p "$work/debs" "$work/unpacked" "$output"
output=$(cd "$output" && pwd)

mapfile -t packages < <(grep -v '^#' "$here/packages.txt")

cd "$work/debs"
wanted=()
for package in "${packages[@]}"; do
    compgen -G "${package}_*.deb" >/dev/null || wanted+=("$package")
done
if [ ${#wanted[@]} -gt 0 ]; then
    apt-get download -q "${wanted[@]}"
fi

# Only what can hold text is unpacked: games and manuals are mostly pictures.
for package in "${packages[@]}"; do
    target=$work/unpacked/$package
    [ -f "$target/.version" ] && continue
    mkdir -p "$target"
    archive=$(compgen -G "${package}_*.deb" | head -n 1)
    # A pattern that matches nothing is no error: few packages hold all kinds.
    dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$target" --wildcards --no-anchored --no-same-owner \
        '*.mo' '*/man/*.gz' '*.html' '*.htm' '*.html.*' '*.xhtml' '*.page' '*.docbook' 'copyright' 2>/dev/null || true
    # The licence of some packages lies with another of the same source.
    link=$(dpkg-deb -c "$archive" | sed -n "s# *[^ ].* \./usr/share/doc/$package -> ##p")
    if [ -n "$link" ]; then echo "$link" >"$target/.documents"; fi
    dpkg-deb -f "$archive" Version >"$target/.version"
done

cd "$here"
dotnet run -c Release --project "$here/gather" -- "$work/unpacked" "$output" "$here/SOURCES.md"

if [ "${KEEP:-0}" != 1 ]; then
    rm -rf "$work/debs" "$work/unpacked"
fi
