"""unison over its socket, asking nobody: what conflicts stays as it is on both sides."""
from peer import Peer

PORT = 4103


class Unison(Peer):
    title, program, called = "unison", "unison", True

    def prepare(self):
        self.skipped = []

    def start(self):
        self.serve("right", "unison", "-socket", PORT, "-host", "127.0.0.1")
        self.listening("right", PORT)

    def turn(self):
        # 1 and 2 say that something was skipped, as a conflict is, or failed.
        code, said = self.run("unison", self.left, f"socket://127.0.0.1:{PORT}/{self.right}", "-ui", "text", "-batch",
                              "-auto", "-terse", "-confirmbigdel=false", accept=(0, 1, 2))
        self.skipped = [said] if code else []

    def reports(self):
        return self.skipped

    def version(self):
        return self.run("unison", "-version")[1].split()[2]
