#!/usr/bin/env bash
# boot.sh NAME FOLDER: boots a systemd as process 1 of an own pid, mount, network,
# uts, ipc and cgroup namespace. Its root is an overlay of this machine's: it
# sees what is installed here, and what it writes goes to a tmpfs and is gone
# with it. FOLDER, an empty one, is where that is mounted, in the own namespace
# only: this machine sees no mount. Ends with systemd; whoever kills this
# process ends all of it. What stays are the empty cgroups b2g-NAME.
#
# Exit status 77 with a reason on stderr where the machine does not allow that.
set -euo pipefail

name=b2g-$1
folder=$2

refuse() {
  echo "no systemd can be booted here: $*" >&2
  exit 77
}

[ "$(id -u)" = 0 ] || refuse "that needs root"
[ -x /lib/systemd/systemd ] || refuse "systemd is not installed"
command -v nsenter unshare ip > /dev/null || refuse "util-linux or iproute2 is missing"

# Its processes are in cgroups of their own, which become the roots that it
# sees. v1: one hierarchy a controller; v2: one for all.
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  cgroups=v2
  # Not granted where this is a container with processes at its root: then the
  # limits of units do not count inside, and the test of them says so.
  echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null || true
  hierarchies=(/sys/fs/cgroup)
else
  cgroups=v1
  [ -d /sys/fs/cgroup/systemd ] || refuse "there is no cgroup hierarchy for it"
  hierarchies=()
  for each in systemd unified memory pids cpu blkio freezer devices; do
    [ ! -d "/sys/fs/cgroup/$each" ] || hierarchies+=("/sys/fs/cgroup/$each")
  done
fi
for each in "${hierarchies[@]}"; do
  mkdir -p "$each/$name" 2> /dev/null || refuse "cannot make a cgroup in $each"
  echo $BASHPID > "$each/$name/cgroup.procs" 2> /dev/null \
    || refuse "cannot use a cgroup in $each"
done
unshare --mount true 2> /dev/null || refuse "unshare is not allowed"

export cgroups
exec unshare --mount --pid --fork --uts --ipc --net --cgroup --kill-child \
  --propagation private bash -c '
set -euo pipefail
refuse() { echo "no systemd can be booted here: $*" >&2; exit 77; }
folder=$1
mount -t tmpfs -o mode=755 tmpfs "$folder" || refuse "cannot mount a tmpfs"
mkdir "$folder"/upper "$folder"/work "$folder"/root
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" \
  overlay "$root" || refuse "cannot mount an overlay of /"
mount -t proc proc "$root/proc" || refuse "cannot mount proc"
mount -t sysfs sysfs "$root/sys" || refuse "cannot mount sysfs"
mount -t tracefs tracefs "$root/sys/kernel/tracing" || true
mount -t debugfs debugfs "$root/sys/kernel/debug" || true
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for each in null zero full random urandom tty; do
  touch "$root/dev/$each"
  mount --bind "/dev/$each" "$root/dev/$each"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# What differs from this machine, for a test to look at.
mkdir "$root/run/b2g-changes"
mount --bind "$folder/upper" "$root/run/b2g-changes"
if [ "$cgroups" = v2 ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  for each in memory pids; do
    [ -d "/sys/fs/cgroup/$each" ] || continue
    mkdir "$root/sys/fs/cgroup/$each"
    mount -t cgroup -o "$each" cgroup "$root/sys/fs/cgroup/$each"
  done
  mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified" \
    || rmdir "$root/sys/fs/cgroup/unified"
fi
ip link set lo up

# What would reach through to the kernel that we share, or has no place in a
# test: kernel settings, devices, clocks, downloads at odd times.
units=$root/etc/systemd/system
rm -rf "$units"/*.wants "$units"/bpf2graphite.service*
mkdir -p "$units"
for each in timers.target systemd-sysctl.service systemd-modules-load.service \
  systemd-timesyncd.service systemd-udevd.service systemd-udev-trigger.service \
  systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-binfmt.service systemd-random-seed.service systemd-pstore.service \
  systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount \
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
  systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$units/$each"
done
# Containers forbid packages to start and stop their services; here they may.
rm -f "$root/etc/fstab" "$root/usr/sbin/policy-rc.d"
echo b2gbooted0000000000000000000000f | tr -c "0-9a-f\n" 0 \
  > "$root/etc/machine-id"
echo booted > "$root/etc/hostname"
printf "127.0.0.1 localhost booted\n" > "$root/etc/hosts"
# The journal of this machine is not ours to read or to write.
rm -rf "$root/var/log/journal"

cd "$root"
mkdir .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=b2g PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=journal --show-status=0 --unit=basic.target
' _ "$folder"
