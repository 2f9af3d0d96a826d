"""rsync both ways with --update: the later file wins, and nothing is ever deleted."""
from peer import Peer

PORT = 4102


class Rsync(Peer):
    title, program, called = "rsync -au", "rsync", True

    def prepare(self):
        (self.room / "rsyncd.conf").write_text(
            f"use chroot = no\nuid = 0\ngid = 0\n[vault]\npath = {self.right}\nread only = no\n")

    def start(self):
        self.serve("right", "rsync", "--daemon", "--no-detach", "--address", "127.0.0.1", "--port", PORT,
                   "--config", self.room / "rsyncd.conf")
        self.listening("right", PORT)

    def turn(self):
        there = f"rsync://127.0.0.1:{PORT}/vault/"
        # 24 says that a file went away meanwhile.
        self.run("rsync", "--archive", "--update", f"{self.left}/", there, accept=(0, 24))
        self.run("rsync", "--archive", "--update", there, f"{self.left}/", accept=(0, 24))
