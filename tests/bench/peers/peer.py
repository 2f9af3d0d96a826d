"""What is asked of each peer: `prepare` once, then `start` and `stop`; `turn`, where it syncs only when called."""
import os
import re
import socket
import subprocess
import time


class Peer:
    title = ""         # its name in the table
    program = ""       # what has to be installed
    called = False     # whether it syncs only when `turn` calls it
    setting = ""       # what a reader of the figures has to know of how it was set

    def __init__(self, room, binary):
        self.room, self.binary, self.running = room, binary, {}
        self.left, self.right = room / "left", room / "right"
        self.environment = dict(os.environ, HOME=str(room))

    def prepare(self):
        """Configure both sides; the vaults are there and empty."""

    def start(self):
        raise NotImplementedError

    def turn(self):
        time.sleep(0.002)

    def reports(self):
        """What the peer tells its owner that needs a decision, each with all it says about it."""
        return []

    def version(self):
        said = self.run(self.program, "--version")[1]
        return re.search(r"\d+(\.\d+)+", said).group()

    def run(self, *words, cwd=None, accept=(0,)):
        """Run a command to its end: its exit code and what it said."""
        done = subprocess.run([str(word) for word in words], cwd=cwd, env=self.environment, timeout=300,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode(errors="replace")
        if accept is not None and done.returncode not in accept:
            raise RuntimeError(f"{words[0]} {words[1]} ended with {done.returncode}: {said[-400:]}")
        return done.returncode, said

    def serve(self, side, *words):
        """Run a process that stays, of the node on `side`."""
        with open(self.room / f"{side}.log", "ab") as log:
            self.running[side] = subprocess.Popen([str(word) for word in words], env=self.environment,
                                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def listening(self, side, port):
        """Wait until the process of `side` accepts on `port`."""
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.running[side].poll() is not None:
                    break
                time.sleep(0.05)
        log = (self.room / f"{side}.log").read_text(errors="replace")
        raise RuntimeError(f"nothing listens on port {port}; the log ends with: {log[-400:]}")

    def stop(self):
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()
