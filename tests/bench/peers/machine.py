"""What the kernel counts. This program is the first process of its own network and process namespaces, so
every other process there is the peer's, and all that the peer sends goes over `lo`."""
import fcntl
import os
import resource
import socket
import struct
from pathlib import Path

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", answer)[1] | IFF_UP
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags))


def wire_bytes():
    """Bytes over loopback so far, both ways, with headers and acknowledgements."""
    rows = (row.split(":", 1) for row in Path("/proc/net/dev").read_text().splitlines()[2:])
    return next(int(counts.split()[0]) for name, counts in rows if name.strip() == "lo")


def processes():
    """The fields of /proc/PID/stat behind the name, of each process but this one."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                found[int(name)] = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
    return found


def cpu_seconds():
    """CPU of all the peer's processes so far: those that live, what they waited for, and those that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = sum(sum(map(int, fields[11:15])) for fields in processes().values())
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def pss_mib(first):
    """Memory of a process and all below it; a page that several share is divided among them."""
    parents = {pid: int(fields[1]) for pid, fields in processes().items()}
    family, added = set(), {first}
    while added:
        family |= added
        added = {pid for pid, parent in parents.items() if parent in family} - family
    total = 0
    for pid in family:
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total / 1024


def facts():
    """What a reader needs to judge the figures."""
    model = next((row.split(":", 1)[1].strip() for row in Path("/proc/cpuinfo").read_text().splitlines()
                  if row.startswith("model name")), os.uname().machine)
    version = ".".join(os.uname().release.split(".")[:2])
    return f"{model}, {os.cpu_count()} processors, {os.uname().sysname} {version}"


def file_system(folder):
    """The kind of file system that a folder lies on."""
    folder, best = os.path.realpath(folder), ("", "unknown")
    for row in Path("/proc/mounts").read_text().splitlines():
        place, kind = row.split()[1:3]
        if (folder + "/").startswith(place.rstrip("/") + "/") and len(place) >= len(best[0]):
            best = place, kind
    return best[1]
