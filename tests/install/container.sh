#!/bin/sh
# Run commands in a container of an image as an engine would with --read-only --tmpfs /tmp --cap-drop all: in namespaces of
# their own, as the image's user, with its environment alone, everything read-only but /tmp and the volume.
# Usage: unshare --mount --pid --fork sh container.sh SCRATCH ROOT PREFIX USER
#
# ROOT is the image's file system, without the /usr and the Python (of PREFIX) that its base would bring. SCRATCH/steps has a command
# a line, SCRATCH/environment what ENV says, SCRATCH/state is the volume, SCRATCH/logs and SCRATCH/sidelog.yaml are given to it as
# docs/service.md does. What they say goes to standard output.
set -eu
scratch=$1 root=$2 prefix=$3 user=$4
mount --make-rprivate /
mount --bind "$root" "$root"
touch "$root/etc/sidelog/sidelog.yaml"
mkdir -p "$root/var/log"
mount --bind /usr "$root/usr"
mount --bind "$prefix" "$root/opt/python"
mount --bind "$scratch/state" "$root/var/lib/sidelog"
mount --bind "$scratch/logs" "$root/var/log"
mount --bind "$scratch/sidelog.yaml" "$root/etc/sidelog/sidelog.yaml"
for place in "$root" "$root/usr" "$root/opt/python" "$root/var/log" "$root/etc/sidelog/sidelog.yaml"; do
  mount -o remount,bind,ro "$place"
done
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/urandom" c 1 9
mount -t proc proc "$root/proc"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --init-groups --bounding-set=-all --no-new-privs \
  env -i - $(cat "$scratch/environment") sh -ec "cd /var/lib/sidelog; $(cat "$scratch/steps")" </dev/null
