"""Alone in its namespaces: measures one peer, and prints each figure as a line of JSON once it is known."""
import json
import subprocess
import sys
from pathlib import Path

import figures
from aiemp import Aiemp
from git import Git
from machine import raise_loopback
from pair import Pair
from rsync import Rsync
from syncthing import Syncthing
from unison import Unison

PEERS = {"aiemp": Aiemp, "syncthing": Syncthing, "unison": Unison, "git": Git, "rsync": Rsync}


def tell(**what):
    print(json.dumps(what), flush=True)


def measure(name, room, binary, files, rounds, only):
    raise_loopback()
    room = Path(room)
    peer = PEERS[name](room, binary)
    peer.left.mkdir(parents=True)
    peer.right.mkdir()
    tell(version=peer.version())
    pair = Pair(peer, files)
    peer.prepare()
    for figure, take in figures.ALL.items():
        # The first sync makes the vault that the others need, except the conflicts, which begin anew.
        if figure not in only and (figure != "initial" or only == ["conflicts"]):
            continue
        print(f"{name}: {figure}", file=sys.stderr, flush=True)
        try:
            found = take(pair, rounds)
        except (OSError, RuntimeError, subprocess.SubprocessError) as fault:
            tell(fault=f"{figure}: {fault}")
            if figure == "initial":
                break
            continue
        if figure in only:
            tell(figure=figure, found=found)
    peer.stop()
