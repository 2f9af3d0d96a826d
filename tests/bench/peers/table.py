"""The figures as Markdown: a row for each, a column for each peer, and what a reader needs to judge them."""
from conflicts import CASES
from figures import BURST, IDLE_S, RENAMED_BYTES, REPLACED_BYTES, REPLACED_TIMES, RESTART_S

# Figure, number, how it reads, what it is multiplied by to be in that unit.
ROWS = (
    ("edit", "median_s", "one-line edit: median of {rounds}, ms", 1e3),
    ("edit", "max_s", "one-line edit: slowest, ms", 1e3),
    ("edit", "wire_bytes", "one-line edit: on the wire, KB", 1e-3),
    ("edit", "cpu_s", "one-line edit: CPU of both sides, ms", 1e3),
    ("initial", "seconds", "first sync of {files:,} notes, s", 1),
    ("initial", "cpu_s", "first sync: CPU of both sides, s", 1),
    ("initial", "wire_bytes", "first sync: on the wire, MB", 1e-6),
    ("burst", "seconds", f"{BURST:,} new notes at once, s", 1),
    ("burst", "cpu_s", f"{BURST:,} new notes: CPU of both sides, s", 1),
    ("burst", "wire_bytes", f"{BURST:,} new notes: on the wire, MB", 1e-6),
    ("rename", "seconds", f"a note of {RENAMED_BYTES // 1000} KB renamed, ms", 1e3),
    ("rename", "wire_bytes", "renamed: on the wire, KB", 1e-3),
    ("replace", "median_s", f"a note of {REPLACED_BYTES // 1000} KB written anew: median of {REPLACED_TIMES}, ms", 1e3),
    ("replace", "wire_bytes", "written anew: on the wire, KB", 1e-3),
    ("restart", "wire_bytes", f"both restarted, nothing new: on the wire in {RESTART_S} s, KB", 1e-3),
    ("restart", "cpu_s", f"restarted: CPU of both sides in {RESTART_S} s, s", 1),
    ("idle", "cpu_s_per_s", f"at rest for {IDLE_S} s: CPU of both sides, ms/s", 1e3),
    ("idle", "node_mib", "at rest: memory of the larger node (PSS), MiB", 1),
    ("idle", "settled_s", "at rest from, s after the first sync", 1),
    ("idle", "call_s", "a call with nothing new, ms", 1e3),
    ("idle", "call_cpu_s", "a call: CPU of both sides, ms", 1e3),
    ("idle", "call_wire_bytes", "a call: on the wire, KB", 1e-3),
)
CALLED = "¹ Called without a pause here. In use a timer calls it: add half the timer's interval to each time."


def number(value):
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rows_of_numbers(results, files, rounds):
    for figure, key, words, unit in ROWS:
        found = [result["figures"].get(figure, {}).get(key) for result in results.values()]
        if any(value is not None for value in found):
            cells = ["–" if value is None else number(value if isinstance(value, str) else value * unit)
                     for value in found]
            yield words.format(files=files, rounds=rounds), cells


def verdict(found):
    """One case of one peer, in words."""
    words = ["right" if found["right"] else "wrong"]
    if found["to_decide"] or not found["right"]:
        words.append("reported" if found["reported"] else "in silence")
    if not found["goes_on"]:
        words.append("stops")
    return ", ".join(words)


def rows_of_conflicts(results):
    taken = [result["figures"].get("conflicts") for result in results.values()]
    if not any(taken):
        return
    for name, case in CASES.items():
        yield f"{name}{' (to decide)' if case.decides else ''}", [verdict(found[name]) if found else "–"
                                                                for found in taken]

    def count(holds, of):
        return [f"{sum(holds(case) for case in found.values())} of {of}" if found else "–" for found in taken]
    yield "right", count(lambda case: case["right"], len(CASES))
    yield "reported, where there is something to decide", count(
        lambda case: case["to_decide"] and case["reported"], sum(case.decides for case in CASES.values()))
    yield "goes on syncing", count(lambda case: case["goes_on"], len(CASES))


def table(titles, first, column, rows):
    lines = ["| " + " | ".join([first, *titles]) + " |", "|---|" + f"{column}|" * len(titles)]
    return "\n".join(lines + [f"| {words} | " + " | ".join(cells) + " |" for words, cells in rows])


def title(name, peer, result):
    version = result.get("version", "")
    words = [f"{peer.title} {version}".strip() + (" ¹" if peer.called else "")]
    return ", ".join(words + [peer.setting] * bool(peer.setting))


def section(results, peers, options, circumstances):
    """All that stands in docs/measured.md of one run."""
    titles = [title(name, peers[name], result) for name, result in results.items()]
    parts = []
    numbers = list(rows_of_numbers(results, options.files, options.rounds))
    if numbers:
        parts.append(table(titles, "", "---:", numbers))
    cases = list(rows_of_conflicts(results))
    if cases:
        parts.append(table(titles, "both write while apart", "---", cases))
    remarks = []
    if any(peers[name].called for name in results):
        remarks.append(CALLED)
    remarks.append(circumstances)
    remarks += [f"{peers[name].title} failed at {fault}" for name, result in results.items()
                for fault in result["faults"]]
    return "\n\n".join(parts + remarks)
