"""Eight times both sides change the same note while apart; then they meet.

Right is: both vaults are alike, the note is as a person would have put it together, nothing stands in it that
nobody wrote, and what it cannot show is kept where its owner finds it: in a second file, or in what the peer
reports. Where a person has something to decide, the peer has to report it: a second file, an item in its list,
an error. In the end each side writes one more note, and both have to arrive.
"""
import shutil
import time
from dataclasses import dataclass
from typing import Callable

from pair import contents

LINES = "".join(f"{word}\n" for word in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"))
TEXT = f"---\nstatus: pending\n---\n{LINES}"
LOG = '{"n":0}\n'
ADDED = {side: [f'{{"by":"{side}","n":{n}}}' for n in range(20)] for side in ("left", "right")}

NOTE, ENTRIES = "Plans/case.md", "Logs/case.jsonl"
DRAFT, TASK = "Pending_Approval/case.md", "Needs_Action/email/case.md"
RENAMED, FILED = "Plans/Old/case.md", "Done/case.md"
CLAIMS = {side: f"In_Progress/{node}/case.md" for side, node in (("left", "local"), ("right", "cloud"))}

# A daemon may take so long to be alike; then both have to stay so, since some put things right in two steps.
ALIKE_S_MAX, STAYS_S = 20, 4
# What arrives later than this does not arrive.
ARRIVES_S_MAX = 20
# A peer that is called has done all it does after this many calls.
CALLS = 3
AFTERWARDS = {"left": "Plans/afterwards left.md", "right": "Plans/afterwards right.md"}


@dataclass
class Case:
    note: str                       # where it lies when both have it
    left: Callable                  # what each side does to its vault
    right: Callable
    merged: Callable                # whether files, by path, are what a person would have made of both
    decides: bool = False           # whether something is left for a person to decide
    keeps: tuple = ()               # words that have to be found in a file or in a report
    asks: Callable = lambda files: False    # whether files ask a person by where they lie
    text: str = TEXT


@dataclass
class Outcome:
    left: dict                      # the files of the case in each vault, text by path
    right: dict
    reports: list
    goes_on: bool = True


def change(note, old, new):
    def act(side):
        path = side / note
        text = path.read_text()
        if old not in text:
            raise RuntimeError(f"{note} is not as it was written")
        path.write_text(text.replace(old, new, 1))
    return act


def move(note, target):
    def act(side):
        (side / target).parent.mkdir(parents=True, exist_ok=True)
        (side / note).rename(side / target)
    return act


def add(side_name):
    def act(side):
        with (side / ENTRIES).open("a") as log:
            log.writelines(f"{entry}\n" for entry in ADDED[side_name])
    return act


def remove(note):
    return lambda side: (side / note).unlink()


def with_words(*pairs):
    text = TEXT
    for old, new in pairs:
        text = text.replace(old, new, 1)
    return text


LATE = ("eighth", "eighth, RIGHT")


def only(note, text):
    return lambda files: files == {note: text}


def both_entries(files):
    """The entries of both, each once and each side's in their order."""
    entries = files.get(ENTRIES, "").splitlines()
    by = {side: [entry for entry in entries if entry in ADDED[side]] for side in ADDED}
    return list(files) == [ENTRIES] and by == ADDED and len(entries) == 41 and entries[0] + "\n" == LOG


CASES = {
    "different lines": Case(
        NOTE, change(NOTE, "second", "second, LEFT"), change(NOTE, *LATE),
        only(NOTE, with_words(("second", "second, LEFT"), LATE))),
    "neighbouring lines": Case(
        NOTE, change(NOTE, "fourth", "fourth, LEFT"), change(NOTE, "fifth", "fifth, RIGHT"),
        only(NOTE, with_words(("fourth", "fourth, LEFT"), ("fifth", "fifth, RIGHT")))),
    "one field": Case(
        NOTE, change(NOTE, "pending", "approved"), change(NOTE, "pending", "rejected"),
        lambda files: files.get(NOTE) in (with_words(("pending", word)) for word in ("approved", "rejected")),
        decides=True, keeps=("approved", "rejected")),
    "both add to a log": Case(ENTRIES, add("left"), add("right"), both_entries, text=LOG),
    "renamed and edited": Case(
        NOTE, move(NOTE, RENAMED), change(NOTE, *LATE), only(RENAMED, with_words(LATE))),
    "deleted and edited": Case(
        NOTE, remove(NOTE), change(NOTE, *LATE), only(NOTE, with_words(LATE)), decides=True),
    "claimed twice": Case(
        TASK, move(TASK, CLAIMS["left"]), move(TASK, CLAIMS["right"]),
        lambda files: files in ({path: TEXT} for path in CLAIMS.values()), decides=True),
    "edited after filing": Case(
        DRAFT, move(DRAFT, FILED), change(DRAFT, *LATE),
        lambda files: files.get(FILED) == TEXT, decides=True, keeps=("RIGHT",),
        # The edited draft waits once more among those to be decided.
        asks=lambda files: "RIGHT" in files.get(DRAFT, "")),
}


def judge(case, outcome):
    """Whether it is right and reported, whether that was needed, and whether the peer goes on."""
    found = [*outcome.left.values(), *outcome.reports]
    right = (outcome.left == outcome.right and case.merged(outcome.left)
             and all(any(word in text for text in found) for word in case.keeps))
    reported = bool(outcome.reports) or (case.asks(outcome.left) and case.asks(outcome.right))
    return {"right": right, "to_decide": case.decides, "reported": reported, "goes_on": outcome.goes_on}


def settle(pair, limit, stays):
    """Wait until the vaults are alike and stay so, or the limit has passed."""
    pair.mark()
    try:
        while True:
            pair.until(lambda: contents(pair.peer.left) == contents(pair.peer.right), limit, 0.2)
            until = time.perf_counter() + stays
            while time.perf_counter() < until and contents(pair.peer.left) == contents(pair.peer.right):
                time.sleep(0.2)
            if time.perf_counter() >= until:
                return True
    except TimeoutError:
        return False


def call(peer):
    for _ in range(CALLS):
        peer.turn()


def goes_on(pair):
    """Whether what each side writes now arrives at the other."""
    sides = {"left": pair.peer.left, "right": pair.peer.right}
    for side, path in AFTERWARDS.items():
        (sides[side] / path).parent.mkdir(parents=True, exist_ok=True)
        (sides[side] / path).write_text(f"written on the {side}\n")

    def arrived():
        return all((side / path).exists() for side in sides.values() for path in AFTERWARDS.values())
    pair.mark()
    try:
        if pair.peer.called:
            call(pair.peer)
        else:
            pair.until(arrived, ARRIVES_S_MAX, 0.1)
    except TimeoutError:
        return False
    return arrived()


def play(pair, case):
    peer, stays = pair.peer, 0 if pair.peer.called else STAYS_S
    (peer.left / case.note).parent.mkdir(parents=True, exist_ok=True)
    (peer.left / case.note).write_text(case.text)
    if not settle(pair, 30, stays) or not (peer.right / case.note).exists() or peer.reports():
        raise RuntimeError("the note did not sync before the case began")
    before = set(contents(peer.left)) - {case.note}
    peer.stop()
    case.left(peer.left)
    time.sleep(1.1)  # rsync compares whole seconds
    case.right(peer.right)
    peer.start()
    if peer.called:
        call(peer)
    else:
        time.sleep(STAYS_S)
        settle(pair, ALIKE_S_MAX, stays)
    left, right = ({path: text for path, text in contents(side).items() if path not in before}
                   for side in (peer.left, peer.right))
    return Outcome(left, right, peer.reports(), goes_on(pair))


def conflicts(pair, _rounds):
    """Each case begins with two empty vaults and the peer set up anew: none carries into the next."""
    peer, found = pair.peer, {}
    for name, case in CASES.items():
        peer.stop()
        for path in peer.room.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        peer.left.mkdir()
        peer.right.mkdir()
        peer.prepare()
        peer.start()
        outcome = play(pair, case)
        found[name] = {**judge(case, outcome), "left": outcome.left, "right_side": outcome.right,
                       "reports": outcome.reports}
    return found
