#!/bin/sh
# Resolve pyproject.toml and requirements-dev.in in an empty environment and write what was installed, one exact
# version a line, to requirements-dev.txt. Run it on the oldest supported Python: what installs there has no
# markers for newer ones in this dependency set, and the workflow proves the result on 3.11 to 3.14.
#
# Then write requirements.txt: the package's own dependencies alone, at these versions, for every Python and system, with
# the hashes of all files that the index has of them (`pip install --require-hashes`).
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
python=
for candidate in "${PYTHON:-}" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.11.*/bin/python3 python3.11 python3; do
  if [ -n "$candidate" ] && "$candidate" -m venv "$work/venv" >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "make: no Python found that can make a virtual environment (Debian: apt install python3-venv)" >&2
  exit 1
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$work/venv/bin/python" -m pip install --quiet -r requirements-dev.in '.[fast,mcp,otlp]'
{
  echo "# Written by 'make lock' from pyproject.toml and requirements-dev.in. Do not edit."
  "$work/venv/bin/python" -m pip freeze --exclude sidelog
} >"$work/lock"
mv "$work/lock" requirements-dev.txt
echo "requirements-dev.txt: $(grep -c == requirements-dev.txt) packages"

"$work/venv/bin/python" -m pip install --quiet uv
{
  echo "# Written by 'make lock' from pyproject.toml. Do not edit. Install with: pip install --require-hashes -r FILE"
  "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-annotate --no-emit-index-url --constraint requirements-dev.txt pyproject.toml
} >"$work/lock"
mv "$work/lock" requirements.txt
echo "requirements.txt: $(grep -c == requirements.txt) packages"
