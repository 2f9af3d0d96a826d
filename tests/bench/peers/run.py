#!/usr/bin/env python3
"""Measure aiemp-node beside other programs that sync two folders, over loopback, and print Markdown tables."""
import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

# Run by root, it would leave root's files in the tree.
sys.dont_write_bytecode = True

import figures
import inside
import machine
import room
import table

LIMIT_S = 1800  # for one peer
PACKAGES = {"unshare": "util-linux", "setpriv": "util-linux"}


def names(known):
    def split(text):
        words = text.split(",")
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"there is no {word!r}; there are {', '.join(known)}")
        return words
    return split


def at_least_one(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("a number from 1 is needed")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Needs root, for namespaces without any other network. Nothing stays behind.")
    parser.add_argument("--files", type=at_least_one, default=10_000, metavar="N",
                        help="notes in the vault (default 10000)")
    parser.add_argument("--dir", default="/dev/shm", help="a folder on the disk to measure (default /dev/shm)")
    parser.add_argument("--only", type=names(figures.ALL), default=list(figures.ALL), metavar="FIGURE,…",
                        help="some of " + ", ".join(figures.ALL))
    parser.add_argument("--peers", type=names(inside.PEERS), default=list(inside.PEERS), metavar="PEER,…",
                        help="some of " + ", ".join(inside.PEERS))
    parser.add_argument("--rounds", type=at_least_one, default=20, metavar="N", help="one-line edits (default 20)")
    parser.add_argument("--binary", default="target/release/aiemp-node", metavar="PATH",
                        help="our node (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all that was found to this file as well")
    parser.add_argument("--inside", nargs=2, metavar=("PEER", "ROOM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    return options


def refuse(why):
    sys.exit(f"run.py: {why}")


def check(options):
    if os.geteuid() != 0:
        refuse("needs root, for a network and processes of its own; run it with sudo")
    if not os.path.isdir(options.dir):
        refuse(f"{options.dir} is no folder; name one on the disk to measure by --dir")
    for program, package in PACKAGES.items():
        if not shutil.which(program):
            refuse(f"{program} is missing; install the package {package}")


def present(options):
    """The peers that are installed; of the others it is said what to do."""
    found = []
    for name in options.peers:
        program = options.binary if name == "aiemp" else inside.PEERS[name].program
        if shutil.which(program):
            found.append(name)
            continue
        remedy = "cargo build --release, or --binary" if name == "aiemp" else f"install the package {program}"
        print(f"{name} is left out, {program} is not there: {remedy}", file=sys.stderr)
    return found or refuse("no peer is left to measure")


def measure(options, name):
    """{version, figures, faults} of one peer; what was known before a fault stays."""
    result = {"version": "", "figures": {}, "faults": []}
    with room.folder(options.dir, name) as place:
        told = place / "told.jsonl"
        words = [sys.executable, os.path.abspath(__file__), "--inside", name, str(place / "peer"),
                 "--binary", options.binary, "--files", str(options.files), "--rounds", str(options.rounds),
                 "--only", ",".join(options.only)]
        with told.open("w") as output:
            code = room.run_alone(words, output, LIMIT_S)
        for line in told.read_text().splitlines():
            told_now = json.loads(line)
            if "figure" in told_now:
                result["figures"][told_now["figure"]] = told_now["found"]
            elif "fault" in told_now:
                result["faults"].append(told_now["fault"])
            else:
                result.update(told_now)
    if code is None:
        result["faults"].append(f"the end: not done after {LIMIT_S} s")
    elif code:
        result["faults"].append(f"the end: it ended with {code}, see above")
    return result


def circumstances(options, results, load_before):
    total = next((result["figures"]["initial"]["vault_bytes"] for result in results.values()
                  if "initial" in result["figures"]), None)
    size = f" ({total / 1e6:.1f} MB)" if total else ""
    return (f"{options.files:,} notes{size} on {machine.file_system(options.dir)}; {machine.facts()}; "
            f"load {load_before:.1f} at the begin, {os.getloadavg()[0]:.1f} at the end; {time.strftime('%Y-%m-%d')}.")


def main():
    options = arguments()
    if options.inside:
        inside.measure(*options.inside, options.binary, options.files, options.rounds, options.only)
        return
    check(options)
    room.end_on_signals()
    load_before = os.getloadavg()[0]
    results = {name: measure(options, name) for name in present(options)}
    print(table.section(results, inside.PEERS, options, circumstances(options, results, load_before)))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if any(result["faults"] for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
