#!/bin/sh
# Build dist/sidelog_VERSION_ARCH.deb with Debian's own tools: the program with its libraries at the locked versions, for
# the Python of this Debian. `make deb`. Needs dpkg-dev, debhelper and python3; lintian, where it is there, must be content.
#
# Usage: etc/deb.sh [SITE [DIRECTORY]]
#   SITE        a directory that has the libraries already, instead of the package index
#   DIRECTORY   where to build and to leave the package, instead of build/deb and dist
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3} # of the machine that the package is for
pip=.venv/bin/python
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' agent/__init__.py)
for tool in dh dpkg-buildpackage "$python"; do
  command -v "$tool" >/dev/null || { echo "deb: $tool is missing: apt install debhelper dpkg-dev python3" >&2; exit 1; }
done
work=${2:-build/deb} out=${2:-dist}
rm -rf "$work"
mkdir -p "$work/sidelog-$version/site" "$work/sidelog-$version/tree" "$out"
here=$work/sidelog-$version

if [ $# -gt 0 ]; then
  cp -r "$1/." "$here/site"
else
  "$pip" -m pip --python "$python" install --quiet --quiet --root-user-action ignore --disable-pip-version-check --no-compile --only-binary :all: --no-warn-script-location \
    --constraint requirements-dev.txt --target "$here/site" $("$pip" -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' | tr -d ' ')
fi
cp -r agent "$here/site/agent"
"$pip" -c '
import pathlib, shutil, sys, tomllib
targets = tomllib.load(open("pyproject.toml", "rb"))["tool"]["hatch"]["build"]["targets"]
for source, target in targets["wheel"]["force-include"].items(): # what is in the wheel beside the code
    place = pathlib.Path(sys.argv[1], target)
    place.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if pathlib.Path(source).is_dir() else shutil.copy)(source, place)' "$here/site"
etc/slim.sh "$here/site"

cp -r etc/debian "$here/debian"
mkdir -p "$here/tree/usr/bin" "$here/tree/usr/share/sidelog"
cat >"$here/tree/usr/bin/sidelog" <<'LAUNCHER'
#!/usr/bin/python3 -I
"""sidelog with the libraries of its package."""

import sys

sys.path.insert(0, "/usr/lib/sidelog")

from agent.__main__ import main

sys.exit(main())
LAUNCHER
chmod 755 "$here/tree/usr/bin/sidelog"
cp -r systemd/examples "$here/tree/usr/share/sidelog/drop-ins"
cp -r etc/grafana etc/prometheus "$here/tree/usr/share/sidelog"
mkdir -p "$here/tree/usr/share/man" "$here/tree/usr/share/bash-completion/completions" \
  "$here/tree/usr/share/zsh/vendor-completions" "$here/tree/usr/share/fish/vendor_completions.d"
cp -r docs/man "$here/tree/usr/share/man/man1"
cp etc/completion/sidelog.bash "$here/tree/usr/share/bash-completion/completions/sidelog"
cp etc/completion/_sidelog "$here/tree/usr/share/zsh/vendor-completions"
cp etc/completion/sidelog.fish "$here/tree/usr/share/fish/vendor_completions.d"
packaged='s#/usr/local/bin/sidelog#/usr/bin/sidelog#; s#/usr/local/share/#/usr/share/#'
sed "$packaged" systemd/sidelog.service >"$here/debian/sidelog.service"
for unit in service timer; do
  sed "$packaged" "systemd/sidelog-backup.$unit" >"$here/debian/sidelog.sidelog-backup.$unit"
done
cp systemd/sidelog.sysusers.conf "$here/debian/sidelog.sysusers"
cp systemd/sidelog.tmpfiles.conf "$here/debian/sidelog.tmpfiles"
printf '%s\n' README.md NEWS.md docs >"$here/debian/docs"
cp -r README.md docs "$here"
rm -r "$here/docs/man" # they are where man looks
cp CHANGELOG.md "$here/NEWS.md" # by its own name it would take the place of Debian's
"$python" -c 'import sys; a, b = sys.version_info[:2]; print(f"python3 (>= {a}.{b}), python3 (<< {a}.{b + 1})")' >"$here/python-depends"
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: sidelog\n\n'
  printf 'Files: *\nCopyright: %s\nLicense: Expat\nComment:\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
  printf ' The libraries below /usr/lib/sidelog have licences of their own, in the directories *.dist-info beside them.\n\n'
  printf 'License: Expat\n'
  tail -n +5 LICENSE | sed 's/^$/./; s/^/ /'
} >"$here/debian/copyright"
{
  printf 'sidelog (%s) unstable; urgency=medium\n\n  * What has changed stands in NEWS.md.\n\n' "$version"
  printf ' -- The sidelog authors <sidelog@localhost>  %s\n' "$(LC_ALL=C date -u -d "@${SOURCE_DATE_EPOCH:-$(stat -c %Y CHANGELOG.md)}" '+%a, %d %b %Y %H:%M:%S +0000')"
} >"$here/debian/changelog"

(cd "$here" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >../build.log 2>&1) || { tail -30 "$work/build.log" >&2; exit 1; }
[ "$work" = "$out" ] || mv "$work"/sidelog_*.deb "$out"
made=$(ls -t "$out"/sidelog_"$version"_*.deb | head -1)
if command -v lintian >/dev/null; then
  lintian --fail-on error,warning --tag-display-limit 5 "$made"
fi
echo "$made"
