"""The measurements. Each takes a `Pair` and the rounds, and gives {figure: number}."""
import random
import time
from statistics import mean, median

import vault
from conflicts import conflicts
from machine import cpu_seconds, pss_mib
from pair import holds

BURST = 1000
RENAMED_BYTES, REPLACED_BYTES, REPLACED_TIMES = 200_000, 30_000, 5
RESTART_S = 8
IDLE_S = 30
# At rest is who used less than this in a stretch of seconds; after the longest wait it is measured all the same.
QUIET_CPU_S, QUIET_STRETCH_S, QUIET_WAIT_S_MAX = 0.1, 5, 120


def initial(pair, _rounds):
    pair.paths, total = vault.write(pair.peer.left, pair.files)
    pair.mark()
    pair.peer.start()
    seconds = pair.until(pair.alike, 900, 0.2)
    cpu, sent = pair.spent()
    pair.check()
    return {"seconds": seconds, "cpu_s": cpu, "wire_bytes": sent, "vault_bytes": total}


def edit(pair, rounds):
    rng, times, spent = random.Random(2), [], []
    for number in range(rounds):
        path = rng.choice(pair.paths)
        content = (pair.peer.left / path).read_bytes() + f"- [ ] to appointment {number}\n".encode()
        if not pair.peer.called:
            time.sleep(rng.random() / 2)  # at any moment between two looks of a peer
        pair.mark()
        (pair.peer.left / path).write_bytes(content)
        times.append(pair.until(lambda: holds(pair.peer.right / path, content), 90))
        spent.append(pair.spent())
    return {"median_s": median(times), "max_s": max(times), "cpu_s": mean(cpu for cpu, _ in spent),
            "wire_bytes": median(sent for _, sent in spent)}


def burst(pair, _rounds):
    rng = random.Random(3)
    notes = {f"burst {number:04d}.md": vault.note(rng, number, vault.MEDIAN_BYTES) for number in range(BURST)}
    folder = pair.peer.left / "Needs_Action/email"
    folder.mkdir(parents=True, exist_ok=True)
    pair.mark()
    for name, content in notes.items():
        (folder / name).write_bytes(content)
    seconds = pair.until(pair.alike, 180, 0.05)
    cpu, sent = pair.spent()
    pair.check()
    return {"seconds": seconds, "cpu_s": cpu, "wire_bytes": sent}


def rename(pair, _rounds):
    old, new = (f"Plans/{name} translation.md" for name in ("long", "very long"))
    content = vault.note(random.Random(4), 0, RENAMED_BYTES)
    (pair.peer.left / "Plans").mkdir(exist_ok=True)
    pair.mark()
    (pair.peer.left / old).write_bytes(content)
    pair.until(lambda: holds(pair.peer.right / old, content), 60, 0.05)
    pair.spent()
    pair.mark()
    (pair.peer.left / old).rename(pair.peer.left / new)
    try:
        seconds = pair.until(lambda: holds(pair.peer.right / new, content)
                             and not (pair.peer.right / old).exists(), 20)
    except TimeoutError:
        return {"seconds": "both names stay"}
    return {"seconds": seconds, "wire_bytes": pair.spent()[1]}


def replace(pair, _rounds):
    path, times, sents = "Plans/redraft.md", [], []
    (pair.peer.left / "Plans").mkdir(exist_ok=True)
    for number in range(REPLACED_TIMES + 1):
        content = vault.note(random.Random(10 + number), number, REPLACED_BYTES)
        pair.mark()
        (pair.peer.left / path).write_bytes(content)
        times.append(pair.until(lambda: holds(pair.peer.right / path, content), 90))
        sents.append(pair.spent()[1])
    # The first only made the note.
    return {"median_s": median(times[1:]), "wire_bytes": median(sents[1:])}


def restart(pair, _rounds):
    if pair.peer.called:
        return {}
    pair.peer.stop()
    pair.mark()
    pair.peer.start()
    time.sleep(max(0, pair.began + RESTART_S - time.perf_counter()))
    return {"cpu_s": cpu_seconds() - pair.cpu, "wire_bytes": pair.spent()[1]}


def quiet():
    """Wait until the peer rests: the seconds that took."""
    began = time.perf_counter()
    while time.perf_counter() - began < QUIET_WAIT_S_MAX:
        before = cpu_seconds()
        time.sleep(QUIET_STRETCH_S)
        if cpu_seconds() - before < QUIET_CPU_S:
            break
    return time.perf_counter() - began


def idle(pair, _rounds):
    if pair.peer.called:
        pair.peer.turn()
        pair.mark()
        pair.peer.turn()
        seconds = time.perf_counter() - pair.began
        cpu, sent = pair.spent()
        return {"call_s": seconds, "call_cpu_s": cpu, "call_wire_bytes": sent}
    settled = quiet()
    pair.mark()
    time.sleep(IDLE_S)
    cpu = cpu_seconds() - pair.cpu
    nodes = [pss_mib(process.pid) for process in pair.peer.running.values()]
    return {"settled_s": settled, "cpu_s_per_s": cpu / IDLE_S, "node_mib": max(nodes)}


ALL = {"initial": initial, "idle": idle, "restart": restart, "edit": edit, "burst": burst, "rename": rename,
       "replace": replace, "conflicts": conflicts}
