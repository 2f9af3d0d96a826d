//! The network seen from outside: what Local puts on the wire, captured between two network namespaces.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::Signal;

use crate::{
    deploy::skip,
    node::{Pair, signal},
};

const CLOUD: &str = "10.77.0.1";
const LOCAL: &str = "10.77.0.2";
const PORT: u16 = 4001;
const ELSEWHERE: &str = "198.51.100.7";

/// Tells each frame of an interface on a line: direction, protocol, source, destination, ports, and whether it opens a
/// connection.
const CAPTURE: &str = r#"
import socket, struct, sys
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
frames.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    frame, address = frames.recvfrom(65535)
    way = "out" if address[2] == 4 else "in"
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0806:
        continue
    if kind != 0x0800:
        print(way, hex(kind), "-", frame[0:6].hex(), 0, 0, "-", flush=True)
        continue
    header = (frame[14] & 15) * 4
    source, to = (socket.inet_ntoa(frame[at:at + 4]) for at in (26, 30))
    body = frame[14 + header:]
    ports = struct.unpack("!HH", body[:4]) if frame[23] in (6, 17) else (0, 0)
    opens = "syn" if frame[23] == 6 and body[13] & 0x12 == 0x02 else "-"
    print(way, {6: "tcp", 17: "udp"}.get(frame[23], frame[23]), source, to, *ports, opens, flush=True)
"#;

/// Two namespaces and the cable between them, taken away at the end.
struct Cable {
    cloud: String,
    local: String,
}

impl Cable {
    /// None where this machine does not let the test lay it, with the reason.
    fn lay() -> Result<Self, String> {
        let id = std::process::id();
        let cable = Self { cloud: format!("aiemp-c{id}"), local: format!("aiemp-l{id}") };
        let (near, far) = (format!("ac{id}"), format!("al{id}"));
        ip(&["netns", "add", &cable.cloud])?;
        ip(&["netns", "add", &cable.local])?;
        ip(&[
            "link",
            "add",
            &near,
            "netns",
            &cable.cloud,
            "type",
            "veth",
            "peer",
            "name",
            &far,
            "netns",
            &cable.local,
        ])?;
        for (namespace, link, address) in [(&cable.cloud, &near, CLOUD), (&cable.local, &far, LOCAL)] {
            // What the kernel says by itself on a new link is no word of the node.
            let quiet = "for all in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $all; done";
            ip(&["netns", "exec", namespace, "sh", "-c", quiet])?;
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", link])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", link, "up"])?;
        }
        // Whatever Local sends to anybody leaves by the cable.
        ip(&["-n", &cable.local, "route", "add", "default", "via", CLOUD])?;
        Ok(cable)
    }

    fn capture(&self, dir: &Path) -> (Child, PathBuf) {
        let told = dir.join("frames");
        let link = format!("al{}", std::process::id());
        let child = python(&self.local, &["-u", "-c", CAPTURE, &link])
            .stdout(File::create(&told).expect("a file for frames"))
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the capture starts");
        (child, told)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for namespace in [&self.cloud, &self.local] {
            ip(&["netns", "delete", namespace]).ok();
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    let said = || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(said()) }
}

fn python(namespace: &str, args: &[&str]) -> Command {
    let python = std::env::var_os("AIEMP_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(python).args(args);
    command
}

fn frames(told: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(told).expect("the frames");
    text.lines().skip(1).map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// Connections that Local opened.
fn opened(told: &Path) -> usize {
    frames(told).iter().filter(|frame| frame[0] == "out" && frame[6] == "syn").count()
}

#[test]
fn local_speaks_to_its_pinned_peer_by_one_connection_and_to_nobody_else() {
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        return skip("packets between network namespaces are captured by `./test.sh --all` alone");
    }
    let cable = match Cable::lay() {
        Ok(cable) => cable,
        Err(why) => return skip(&format!("packets were not captured, for no network namespace can be made: {why}")),
    };
    let mut pair = Pair::strangers();
    (pair.cloud.namespace, pair.local.namespace) = (Some(cable.cloud.clone()), Some(cable.local.clone()));
    pair.cloud.configure(&format!("listen = [\"/ip4/{CLOUD}/tcp/{PORT}\"]\n[brain]\nkind = \"template\"\n"));
    let (mut capture, told) = cable.capture(pair.dir());
    pair.wait("the capture begins", |_| fs::read(&told).is_ok_and(|text| text.starts_with(b"ready")));
    pair.pair(&[]);
    let to_pair = opened(&told);
    pair.local.start();
    let mail = b"From: Client <client@client.test>\r\nTo: me@example.test\r\nSubject: Order\r\n\
                 Date: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <order@client.test>\r\n\r\nHello\r\n";
    pair.cloud.drop_mail("order.eml", mail);
    pair.wait("a draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    let id = pair.local.approvals_in("pending").remove(0);
    pair.local.must(&["approvals", "approve", &id]);
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
    pair.wait("it is filed at both", |pair| {
        [&pair.cloud, &pair.local].iter().all(|node| node.named("Done/email", "REPLY_", ".md").len() == 1)
    });
    pair.local.stop();

    assert_eq!((to_pair, opened(&told)), (1, 2), "one connection to pair, and one that stays");
    let (peer, port) = (CLOUD.to_owned(), PORT.to_string());
    for frame in frames(&told) {
        let [way, protocol, from, to, from_port, to_port, _] = &frame[..] else { panic!("{frame:?}") };
        let (other, other_port) = if way == "out" { (to, to_port) } else { (from, from_port) };
        assert_eq!((protocol.as_str(), other, other_port), ("tcp", &peer, &port), "{frame:?}");
    }
    // The capture sees what goes to others: a word to a name server, and one to everybody.
    let word = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('198.51.100.7', 53)); \
                s.sendto(b'x', ('224.0.0.251', 5353))";
    let said = python(&cable.local, &["-c", word]).status().expect("python runs");
    assert!(said.success());
    pair.wait("both words are seen", |_| {
        let to: Vec<_> =
            frames(&told).into_iter().filter(|frame| frame[1] == "udp").map(|frame| frame[3].clone()).collect();
        to.contains(&ELSEWHERE.to_owned()) && to.contains(&"224.0.0.251".to_owned())
    });
    signal(capture.id(), Signal::TERM);
    capture.wait().expect("the capture ends");
}
