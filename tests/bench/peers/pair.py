"""A peer between two vaults, and what was spent since a mark."""
import os
import time

from machine import cpu_seconds, wire_bytes

REST_S = 0.7


class Pair:
    def __init__(self, peer, files):
        self.peer, self.files, self.paths = peer, files, []

    def mark(self):
        self.began, self.cpu, self.sent = time.perf_counter(), cpu_seconds(), wire_bytes()

    def spent(self):
        """CPU seconds and bytes on the wire since the mark, with what a daemon still says in a short rest."""
        if not self.peer.called:
            time.sleep(REST_S)
        return cpu_seconds() - self.cpu, wire_bytes() - self.sent

    def until(self, holds, limit, pause=0.0):
        """Let the peer work until `holds`: the seconds since the mark."""
        while time.perf_counter() - self.began < limit:
            self.peer.turn()
            if holds():
                return time.perf_counter() - self.began
            time.sleep(pause)
        raise TimeoutError(f"not there after {limit} s")

    def alike(self):
        return sizes(self.peer.left) == sizes(self.peer.right)

    def check(self):
        """Raises if a note differs: figures are of a sync that is done."""
        self.mark()
        self.until(lambda: contents(self.peer.left) == contents(self.peer.right), 30, 0.5)


def walk(side):
    """The files of a vault; what is hidden is a peer's own."""
    for folder, below, names in os.walk(side):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), side)


def sizes(side):
    found = {}
    for path in walk(side):
        try:
            found[path] = (side / path).stat().st_size
        except OSError:
            continue  # it was renamed meanwhile
    return found


def contents(side):
    found = {}
    for path in walk(side):
        try:
            found[path] = (side / path).read_bytes().decode(errors="replace")
        except OSError:
            continue
    return found


def holds(path, content):
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
