"""git as vault scripts use it: commit all, pull with a merge, push; each side in its turn.

After a pull that ends in a conflict a side does nothing more until its owner has decided.
"""
from peer import Peer

PORT = 4104


class Git(Peer):
    title, program, called = "git", "git", True

    def prepare(self):
        self.environment.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
        self.blocked = {}
        self.run("git", "init", "-q", "--bare", "-b", "main", self.room / "hub.git")
        for side in (self.left, self.right):
            self.run("git", "init", "-q", "-b", "main", cwd=side)
            for key, value in (("user.name", "bench"), ("user.email", "bench@example.org"),
                               ("pull.rebase", "false"), ("gc.auto", "0")):
                self.run("git", "config", key, value, cwd=side)
            self.run("git", "remote", "add", "origin", f"git://127.0.0.1:{PORT}/hub.git", cwd=side)

    def start(self):
        self.serve("hub", "git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={PORT}", "--export-all",
                   f"--base-path={self.room}", "--enable=receive-pack")
        self.listening("hub", PORT)

    def one_side(self, side):
        if side in self.blocked:
            return
        self.run("git", "add", "--all", cwd=side)
        self.run("git", "commit", "-q", "-m", "notes", cwd=side, accept=(0, 1))
        if self.run("git", "ls-remote", "--heads", "origin", cwd=side)[1]:
            code, said = self.run("git", "pull", "-q", "--no-edit", "--allow-unrelated-histories", "origin", "main",
                                  cwd=side, accept=None)
            if code:
                self.blocked[side] = said
                return
        self.run("git", "push", "-q", "origin", "HEAD:main", cwd=side, accept=None)

    def turn(self):
        self.one_side(self.left)
        self.one_side(self.right)

    def reports(self):
        return list(self.blocked.values())
