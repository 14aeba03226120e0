#!/bin/sh
# Follow the recipes of the documentation, in a mount namespace of its own: what they write below /etc, /usr/local, /opt and
# /var goes into layers of SCRATCH. Usage: unshare --mount --pid --fork sh recipe.sh SCRATCH CHECKOUT PREFIX
#
# The Python of PREFIX and its libraries, PYTHONPATH, which may lie in a home directory that no service sees, lie in
# /opt/python and /opt/libraries there.
#
# SCRATCH/steps has a command a line. Each is run as it stands, in CHECKOUT; SCRATCH/NUMBER.out has what it said. After each the
# places of sidelog are listed in SCRATCH/NUMBER.left. Ends with 77 where no overlay can be mounted: nothing was done then.
set -eu
scratch=$1 checkout=$2 prefix=$3
mount --make-rprivate /
for name in etc usr/local opt var; do
  mkdir -p "$scratch/layers/$name/upper" "$scratch/layers/$name/work"
  mount -t overlay overlay "/$name" \
    -o "lowerdir=/$name,upperdir=$scratch/layers/$name/upper,workdir=$scratch/layers/$name/work" || exit 77
done
for name in etc usr/local opt var; do # nothing is followed on the machine itself
  grep -q "^overlay /$name overlay " /proc/mounts || exit 77
done
mkdir -p /opt/python /opt/libraries
mount --bind "$prefix" /opt/python
mount --bind "$PYTHONPATH" /opt/libraries
export PYTHONPATH=/opt/libraries LD_LIBRARY_PATH=/opt/python/lib
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
mkdir -p /run/systemd/system
cp -a "$scratch/var/." /var # the logs of this machine
cd "$checkout"
number=0
while IFS= read -r step; do
  number=$((number + 1))
  code=0
  sh -ec "$step" >"$scratch/$number.out" 2>&1 </dev/null || code=$?
  echo "exit $code" >>"$scratch/$number.out"
  { ls -d /etc/systemd/system/sidelog.service* /etc/*/sidelog* /etc/default/sidelog /usr/local/*/sidelog /opt/sidelog \
    /var/lib/sidelog/* 2>/dev/null || true; grep -h sidelog /etc/passwd /etc/group || true
    readlink /opt/sidelog/current /opt/sidelog/previous || true; } >"$scratch/$number.left"
  [ $code = 0 ] || break
done <"$scratch/steps"
cp /run/agent.err "$scratch/agent.err" 2>/dev/null || true
systemctl stop || true
