#!/bin/sh
# Take away from a directory of Python packages what the agent never reads, for the Debian package and the image. Of 65 MB
# of its libraries 13 are left. Usage: etc/slim.sh SITE-PACKAGES. With `strip` (binutils) it takes symbols for debuggers too.
set -eu
site=$1
rm -rf "$site/bin" "$site/pip" "$site"/pip-*.dist-info # sqlite-utils has pip for plugins, which are off
rm -rf "$site/setuptools" "$site"/setuptools-*.dist-info "$site/pkg_resources" "$site/_distutils_hack" \
  "$site/distutils-precedence.pth" # of a virtual environment before Python 3.12
rm -f "$site"/zstandard/_cffi.*.so "$site/zstandard/backend_cffi.py" # for PyPy
rm -f "$site/tzdata/zoneinfo/tzdata.zi" "$site/sqlite_utils/cli.py" # what zones are compiled of; a command of its own
find "$site" -name __pycache__ -type d -prune -exec rm -rf {} +
find "$site" \( -name tests -o -name test \) -type d -prune -exec rm -rf {} + # of libraries, for libraries
find "$site" \( -name '*.pyi' -o -name '*.h' -o -name '*.c' -o -name '*.pyx' -o -name '*.a' \) -type f -delete
find "$site" -name METADATA -exec sed -i '/^$/,$d' {} + # what says who it is stays, its README goes
find "$site" -name '*.py' -exec sed -i '1{/^#!/d}' {} + # a module is no program
if command -v strip >/dev/null; then
  # Not below NAME.libs: what `auditwheel` has patched does not always bear it.
  find "$site" -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
fi
