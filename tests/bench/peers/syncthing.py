"""Two Syncthings that know only each other. The watch delay is the shortest that whole seconds allow."""
import copy
import xml.etree.ElementTree as xml

from peer import Peer

DELAY_S = 1
# Each side's ports for the other Syncthing and for its own interface.
PORTS = {"left": (4105, 4106), "right": (4107, 4108)}
ALONE = {"globalAnnounceEnabled": "false", "localAnnounceEnabled": "false", "relaysEnabled": "false",
         "natEnabled": "false", "startBrowser": "false", "crashReportingEnabled": "false",
         "urAccepted": "-1", "autoUpgradeIntervalH": "0", "reconnectionIntervalS": "1", "setLowPriority": "false"}


class Syncthing(Peer):
    title, program = "Syncthing", "syncthing"
    setting = f"watch delay {DELAY_S} s"

    def home(self, side):
        return f"--home={self.room / ('syncthing-' + side)}"

    def prepare(self):
        self.environment.update(STNOUPGRADE="1", STNORESTART="1")
        names = {}
        for side in PORTS:
            self.run("syncthing", "generate", self.home(side), "--no-default-folder", "--skip-port-probing")
            names[side] = self.run("syncthing", self.home(side), "--device-id")[1].split()[-1]
        for side in PORTS:
            self.configure(side, names)

    def configure(self, side, names):
        path = self.room / f"syncthing-{side}" / "config.xml"
        tree = xml.parse(path)
        top = tree.getroot()
        options = top.find("options")
        for key, value in {**ALONE, "listenAddress": f"tcp://127.0.0.1:{PORTS[side][0]}"}.items():
            for old in options.findall(key):
                options.remove(old)
            xml.SubElement(options, key).text = value
        top.find("gui/address").text = f"127.0.0.1:{PORTS[side][1]}"
        for old in top.findall("device") + top.findall("folder"):
            top.remove(old)
        # Conflict copies and the rest are as Syncthing sets them for a new folder.
        folder = copy.deepcopy(top.find("defaults/folder"))
        for old in folder.findall("device"):
            folder.remove(old)
        folder.attrib.update(id="vault", path=str(getattr(self, side)), fsWatcherEnabled="true",
                             fsWatcherDelayS=str(DELAY_S))
        top.append(folder)
        for other, name in names.items():
            device = xml.SubElement(top, "device", id=name, name=other)
            xml.SubElement(device, "address").text = f"tcp://127.0.0.1:{PORTS[other][0]}"
            xml.SubElement(folder, "device", id=name)
        tree.write(path)

    def start(self):
        for side in PORTS:
            self.serve(side, "syncthing", "serve", self.home(side), "--no-browser", "--no-restart")
        for side, ports in PORTS.items():
            self.listening(side, ports[1])

    def reports(self):
        """The second files that it puts beside a note."""
        return [path.read_text(errors="replace") for side in (self.left, self.right)
                for path in side.rglob("*.sync-conflict-*")]
