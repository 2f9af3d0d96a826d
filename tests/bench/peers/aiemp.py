"""aiemp-node: a Local on the left, a Cloud on the right, paired by a ticket."""
import json
import time

from peer import Peer

PORT = 4101
NODES = {"left": "local", "right": "cloud"}


class Aiemp(Peer):
    title = "aiemp-node"

    def __init__(self, room, binary):
        super().__init__(room, binary)
        self.program = binary

    def home(self, side):
        return self.room / NODES[side]

    def node(self, side):
        listen = ("--listen", f"/ip4/127.0.0.1/tcp/{PORT}") if side == "right" else ()
        self.serve(side, self.binary, "--role", NODES[side], "--home", self.home(side), *listen)

    def prepare(self):
        for side in NODES:
            self.home(side).mkdir(mode=0o700)
            self.run(self.binary, "init", "--role", NODES[side], "--name", NODES[side], "--home", self.home(side),
                     "--vault", getattr(self, side), "--unprotected-keys")
        self.node("right")
        self.listening("right", PORT)
        self.run(self.binary, "pair", "accept", self.ticket(), "--home", self.home("left"), "--yes")
        self.stop()

    def ticket(self):
        """The port is open a moment before the node takes commands."""
        for _ in range(50):
            code, said = self.run(self.binary, "pair", "invite", "--home", self.home("right"), accept=None)
            if code == 0:
                return max(said.split(), key=len)
            time.sleep(0.1)
        raise RuntimeError(f"no ticket: {said[-400:]}")

    def start(self):
        self.node("right")
        self.listening("right", PORT)
        self.node("left")

    def reports(self):
        """What a person is asked on Local, and what stands in it."""
        asked = json.loads(self.conflicts("list"))
        if not asked["complete"]:
            raise RuntimeError("the node still reads its notes: its conflicts may be more than it lists")
        return [self.conflicts("show", item["id"]) for item in asked["items"]]

    def conflicts(self, *words):
        return self.run(self.binary, "conflicts", *words, "--json", "--home", self.home("left"))[1]
