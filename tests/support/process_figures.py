"""What a process costs, read from /proc; and slopes."""

import os

MIB = 1 << 20


def _status(pid, field):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file
                    if line.startswith(field)) / 1024


def rss_mib(pid):
    return _status(pid, "VmRSS")


def peak_mib(pid):
    """The largest RSS since its start or since forget_peak()."""
    return _status(pid, "VmHWM")


def forget_peak(pid):
    """From now on peak_mib() counts anew. Returns the RSS of now, in MiB."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")
    return rss_mib(pid)


def cpu_seconds(pid):
    """CPU time of the process itself, of the threads that it has: without its
    children. To the microsecond, other than the ticks in stat."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def slope(samples):
    """Least squares through (x, y): what y grows by for each x."""
    n = len(samples)
    if n < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / n
    mean_y = sum(y for _, y in samples) / n
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread \
        if spread else 0.0
