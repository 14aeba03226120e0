#!/bin/sh
# Prepare the virtual environment that the Makefile's targets run in. Usage: etc/venv.sh DIRECTORY run|dev
#
#   run   the package (editable) and its dependencies at the locked versions
#   dev   all of requirements-dev.txt too
#
# Needs a Python 3.11+ (Debian's or pyenv's) with its venv module, and nothing else. Does nothing when the
# environment already stands and neither pyproject.toml nor the lock has changed since.
set -eu

directory=$1
level=$2
lock=requirements-dev.txt
stamp="$directory/.sidelog-$level"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Fresh: the stamp is newer than what it was made from, and the interpreter still starts.
if [ -e "$stamp" ] && [ -z "$(find pyproject.toml "$lock" etc/venv.sh -newer "$stamp")" ] &&
  "$directory/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null
}

# Every interpreter that may do, newest first. A pyenv shim can exist for a version that is not active and then
# fails, so pyenv's own folder is looked at too; Debian's python3 may lack ensurepip, so the next one is tried.
candidates() {
  for minor in 14 13 12 11; do
    echo "python3.$minor"
    for found in "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3."$minor".*/bin/python3; do
      [ -x "$found" ] && echo "$found"
    done
  done
  echo python3
  echo /usr/bin/python3
}

create() {
  if [ -n "${PYTHON:-}" ]; then
    if ! supported "$PYTHON"; then
      echo "make: PYTHON=$PYTHON does not start, or is not Python 3.11 to 3.14" >&2
      exit 1
    fi
    "$PYTHON" -m venv --clear "$directory"
    return
  fi
  found_one=
  for python in $(candidates); do
    supported "$python" || continue
    found_one=$python
    if "$python" -m venv --clear "$directory" >/dev/null 2>&1; then
      return
    fi
  done
  rm -rf "$directory"
  if [ -n "$found_one" ]; then
    echo "make: $found_one cannot make a virtual environment: install its venv module (Debian: apt install python3-venv)" >&2
  else
    echo "make: no Python 3.11 to 3.14 found: install one (Debian 12 or later: apt install python3 python3-venv)" >&2
  fi
  exit 1
}

# An environment of the other level is extended as long as it works; otherwise everything is made anew.
if ! { supported "$directory/bin/python" && "$directory/bin/python" -m pip --version >/dev/null 2>&1; }; then
  create
fi
echo "make: installing into $directory ($("$directory/bin/python" --version))" >&2
if [ "$level" = dev ]; then
  "$directory/bin/python" -m pip install --quiet -r "$lock"
  # hatchling and editables came with the lock: no second download into an isolated build environment
  "$directory/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
else
  "$directory/bin/python" -m pip install --quiet --constraint "$lock" -e .
fi
touch "$stamp"
