"""A folder and namespaces for one peer, of which nothing stays, however the measuring ends."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Killed processes may still write for a moment.
REMOVAL_TRIES, REMOVAL_PAUSE_S = 100, 0.1


def end_on_signals():
    """Makes the signals that end a program run its `finally` blocks, once."""
    def end(number, _frame):
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        sys.exit(128 + number)
    for ending in ENDING:
        signal.signal(ending, end)


@contextlib.contextmanager
def folder(place, name):
    room = Path(tempfile.mkdtemp(prefix=f"aiemp-peers-{name}-", dir=place))
    try:
        yield room
    finally:
        for _ in range(REMOVAL_TRIES):
            shutil.rmtree(room, ignore_errors=True)
            if not room.exists():
                break
            time.sleep(REMOVAL_PAUSE_S)
        else:
            print(f"{room} could not be removed; remove it by hand", file=sys.stderr)


def run_alone(words, output, limit_s):
    """Run a command where no packet leaves and every process ends with the first: its exit code, None if
    it was not done in time. If this program is killed, the kernel ends all of them."""
    alone = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    child = subprocess.Popen([*alone, *words], stdin=subprocess.DEVNULL, stdout=output, start_new_session=True)
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
