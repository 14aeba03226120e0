#!/bin/sh
# Build the wheel, install it with its dependencies at the locked versions into an empty environment, and run the
# tests against it from a copy of the project without agent/: a module or data file missing in the wheel, or a
# dependency missing in pyproject.toml, shows here and nowhere else. Arguments go to pytest.
set -eu

here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$PYTHON" -m build --wheel --no-isolation --outdir "$work/dist" .
"$PYTHON" -c 'import sys, zipfile; sys.exit(not any("/sboms/" in name for name in zipfile.ZipFile(sys.argv[1]).namelist()))' \
  "$work"/dist/*.whl || { echo "the wheel has no SBOM" >&2; exit 1; }
"$PYTHON" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --constraint requirements-dev.txt "$work"/dist/*.whl
# The command must start with nothing but its own dependencies there.
"$work/venv/bin/sidelog" --help >/dev/null
"$work/venv/bin/python" -m pip install --quiet -r requirements-dev.txt

mkdir "$work/project"
git ls-files -z | grep -zv '^agent/' | xargs -0 cp --parents -t "$work/project"
mkdir "$work/project/build"
ln -s "$here/build/node" "$here/build/tools" "$work/project/build" # what `make test-parts` has brought
cd "$work/project"
PATH="$work/venv/bin:$PATH" "$work/venv/bin/python" -m pytest -n 2 --dist worksteal -m 'not soak' -p no:cacheprovider "$@"
cd "$here"
