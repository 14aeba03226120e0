#!/bin/sh
# Bring the real parts that tests run beside the agent: those of etc/test-parts.txt that are missing. `make test-parts`.
#
# Packages of apt are installed on a Debian (or a system made of it) as root, or where sudo asks nothing; packages of
# npm into build/node, where npm is there, archives of npm into build/packed, and packages of pip into build/tools, an
# environment of its own, with the Python of .venv where that is there. Nothing else is touched. Ends with 1 and one line
# per part that is still missing. Does nothing, and asks no server, when everything is there.
set -eu
cd "$(dirname "$0")/.."
table=etc/test-parts.txt
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH DEBIAN_FRONTEND=noninteractive

# missing [KIND]: a line "NAME KIND PACKAGES" for each part, of one kind or of all, whose proof fails.
missing() {
  grep -v '^#' "$table" | while IFS='|' read -r name packages proof; do
    case $packages in " ${1:-}"*) sh -c "$proof" >/dev/null 2>&1 </dev/null || echo $name $packages ;; esac
  done
}

packages_of() {
  missing "$1" | cut -d ' ' -f 3- | tr '\n' ' '
}

apt_get() {
  if [ "$(id -u)" = 0 ]; then
    apt-get -qq -y --no-install-recommends "$@"
  else
    sudo -n DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$@"
  fi </dev/null >&2
}

packages=$(packages_of apt)
if [ -n "$packages" ]; then
  if ! command -v apt-get >/dev/null; then
    echo "test-parts: this is not a Debian: programs have to be installed by hand" >&2
  elif [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
    echo "test-parts: only root can install programs: sudo apt-get install $packages" >&2
  else
    echo "test-parts: apt-get install $packages" >&2
    # The lists of packages may be absent or too old; they are fetched only then.
    # shellcheck disable=SC2086
    apt_get install $packages 2>/dev/null || { apt_get update && apt_get install $packages; } || true
  fi
fi

packages=$(packages_of npm)
# Node.js trusts its own list of authorities, unless it is told of the machine's.
authorities=/etc/ssl/certs/ca-certificates.crt
[ ! -e $authorities ] || export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$authorities}"
if [ -n "$packages" ] && command -v npm >/dev/null; then
  echo "test-parts: npm install $packages" >&2
  # npm removes what it is not told, so it is told all of them.
  all=$(sed -n 's/^[^#|]*| npm \([^ |]*\).*/\1/p' "$table")
  # shellcheck disable=SC2086
  npm install --silent --prefer-offline --fetch-retries=1 --no-save --no-audit --no-fund --ignore-scripts \
    --prefix build/node $all </dev/null >&2 || true
fi

packages=$(packages_of pack)
for package in $packages; do
  command -v npm >/dev/null || break
  echo "test-parts: npm pack ${package#*=}" >&2
  folder=build/packed/${package%%=*}
  rm -rf "$folder"
  mkdir -p "$folder"
  # The archive of npm has everything in a folder "package".
  npm pack --silent --prefer-offline --fetch-retries=1 --pack-destination "$folder" "${package#*=}" </dev/null >&2 &&
    tar -xzf "$folder"/*.tgz -C "$folder" --strip-components=1 >&2 || true
  rm -f "$folder"/*.tgz
done

packages=$(packages_of pip)
python=.venv/bin/python
[ -x "$python" ] || python=python3
if [ -n "$packages" ] && command -v "$python" >/dev/null; then
  echo "test-parts: pip install $packages" >&2
  # shellcheck disable=SC2086
  { "$python" -m venv build/tools && build/tools/bin/pip install --quiet --disable-pip-version-check $packages; } \
    </dev/null >&2 || true
fi

left=$(missing)
[ -n "$left" ] || exit 0
echo "$left" | while read -r name kind packages; do
  case $kind in
    apt) echo "test-parts: $name is missing: install it (Debian: apt-get install $packages)" >&2 ;;
    npm) echo "test-parts: $name is missing: npm install --prefix build/node $packages" >&2 ;;
    pack) echo "test-parts: $name is missing: npm pack ${packages#*=}, unpacked into build/packed/${packages%%=*}" >&2 ;;
    pip) echo "test-parts: $name is missing: python3 -m venv build/tools && build/tools/bin/pip install $packages" >&2 ;;
  esac
done
exit 1
