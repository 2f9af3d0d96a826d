//! What looking costs: linear on whatever comes, and the figure for clean text.

use super::*;

fn known_secrets() -> Guard {
    let mut set = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
    for number in 0..32_usize {
        let secret: String = expand("{A60}").chars().skip(number % 7).take(12 + 4 * (number % 10)).collect();
        set.add(&format!("secret {number}"), format!("{number}{secret}").as_bytes()).unwrap();
    }
    Guard::new(set)
}

/// Texts that a hostile peer may send to keep the guard busy.
fn hostile(length: usize) -> Vec<(&'static str, Vec<u8>)> {
    let fill = |unit: &str| unit.as_bytes().iter().copied().cycle().take(length).collect::<Vec<u8>>();
    let twice = data_encoding::BASE64.encode(data_encoding::BASE64.encode(&fill("hello guard")).as_bytes());
    vec![
        ("base64 of base64", twice.into_bytes().into_iter().take(length).collect()),
        ("invisible", fill("a\u{200b}")),
        ("full width", fill("\u{ff41}\u{fdfa}")),
        ("spaces", fill(" ")),
        ("single characters", fill("a ")),
        ("zero bytes", fill("a\0")),
        ("hex pairs", fill("5e:")),
        ("percent", fill("%41")),
        ("anchors", fill("-sk-")),
        ("broken anchors", fill("-sk-a1\n")),
        ("titles", fill("-----BEGIN PRIVATE KEY-----")),
        ("names", fill("password api_key=")),
        ("listed words", fill("abandon ability able ")),
        ("slashes", fill("://:")),
        ("tokens", fill("eyJhbGciOiJIUzI1NiJ9.")),
        ("broken tokens", fill("sl.a1\n")),
        ("tokens in tokens", fill("sl.")),
        ("headers in headers", fill("_eyJ")),
        ("broken keys", fill("sk-proj-a1\n")),
        ("signatures", fill("sig=aB3xQ")),
        ("lists of words", fill(&("abandon ability able ".repeat(12) + "x "))),
        ("short lines", fill("QUJDREVGR0hJSktMTU5P\n")),
    ]
}

#[test]
fn hostile_text_is_looked_at_without_a_panic_and_hits_are_bounded() {
    let guard = known_secrets();
    for (name, text) in hostile(100_000) {
        assert!(guard.hits(&text).len() <= 1024, "{name}");
    }
    let many = expand("glpat-{w20}\n").repeat(3000);
    assert_eq!(guard.hits(many.as_bytes()).len(), 1024);
    assert!(guard.check_payload(Role::Cloud, many.as_bytes()).is_err());
}

/// What this thread has computed so far, in nanoseconds: others that share the core do not count.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn worked_ns() -> u64 {
    // The kernel brings its count up to date when a thread gives way.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn hostile_text_costs_time_in_proportion_to_its_length() {
    // Unoptimised code is slower by a factor, not by a power.
    let length = if cfg!(debug_assertions) { 1 << 14 } else { 1 << 20 };
    let guard = known_secrets();
    let cost = |text: &[u8]| {
        let once = || {
            let start = worked_ns();
            assert!(guard.hits(text).len() <= 1024);
            worked_ns() - start
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    for ((name, short), (_, long)) in hostile(length).into_iter().zip(hostile(4 * length)) {
        let (short, long) = (cost(&short), cost(&long));
        assert!(long <= 6 * short + 5_000_000, "{name}: {short} ns, of four times as much {long} ns");
    }
}

#[cfg(not(debug_assertions))]
#[test]
#[expect(clippy::print_stderr, reason = "a measurement")]
fn prints_how_fast_text_is_looked_at() {
    let rate = |guard: &Guard, text: &[u8], rounds: u32| {
        let best = (0..rounds).map(|_| {
            let start = worked_ns();
            let hits = guard.hits(text).len();
            (worked_ns() - start, hits)
        });
        let (time, hits) = best.min().unwrap();
        (text.len() as f64 * 1e3 / time as f64, hits)
    };
    let guard = known_secrets();
    let prose: String = (0..4000).map(prose::prose).collect();
    let notes: String = (0..4000).map(notes::note).collect();
    for (name, text) in [("clean Markdown", &prose), ("notes of every kind", &notes)] {
        let (speed, hits) = rate(&guard, text.as_bytes(), 5);
        eprintln!("{name}: {speed:.0} MB/s over {} bytes, {hits} hits", text.len());
    }
    for (name, text) in hostile(1 << 20) {
        eprintln!("hostile, {name}: {:.1} MB/s", rate(&guard, &text, 2).0);
    }
}
