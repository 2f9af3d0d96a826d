use std::os::unix::fs::PermissionsExt as _;

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_767_781_800_000);
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    directory: tempfile::TempDir,
}

fn signer() -> Signer {
    Signer::from_seed([5; 32])
}

fn event(result: &str) -> AuditEvent {
    AuditEvent {
        action_type: "email_send".to_owned(),
        actor: "executor".to_owned(),
        target: masked("a@client.test"),
        parameters: BTreeMap::from([("hand".to_owned(), "outbox".to_owned())]),
        approval_status: "approved".to_owned(),
        approved_by: "human".to_owned(),
        result: result.to_owned(),
    }
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn three_lines() -> Self {
        let world = Self::new();
        let mut log = world.open().unwrap();
        log.append(AT, &event("one")).unwrap();
        log.append(AT, &event("two")).unwrap();
        drop(log);
        world.append("three");
        world
    }

    fn audit(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    fn file(&self) -> PathBuf {
        self.audit().join("executor/2026-01.jsonl")
    }

    fn open(&self) -> Result<AuditLog, AuditError> {
        AuditLog::open(&self.audit(), "executor", signer())
    }

    fn append(&self, result: &str) {
        self.open().unwrap().append(AT, &event(result)).unwrap();
    }

    fn verify(&self) -> Result<Verified, AuditError> {
        verify(&self.audit(), "executor", &signer().public())
    }

    fn broken_line(&self) -> usize {
        match self.verify() {
            Err(AuditError::BrokenAt(BrokenAt { line, .. })) => line,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_chain_goes_on_after_a_restart() {
    let world = World::three_lines();
    assert_eq!(world.verify().unwrap().lines.len(), 3);
    assert_eq!(fs::metadata(world.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(world.file()).unwrap();
    let start = "{\"timestamp\":\"2026-01-07T10:30:00Z\",\"action_type\":\"email_send\",\"actor\":\"executor\",\
                 \"target\":\"a***@client.test\",\"parameters\":{\"hand\":\"outbox\"},\
                 \"approval_status\":\"approved\",\"approved_by\":\"human\",\"result\":\"one\",\"prev\":null,\
                 \"hash\":\"";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_changed_a_missing_an_added_and_a_cut_off_line_are_found() {
    let world = World::three_lines();
    let text = fs::read_to_string(world.file()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let changed = text.replace("\"two\"", "\"six\"");
    let missing = format!("{}\n{}\n", lines[0], lines[2]);
    let added = format!("{text}{}\n", lines[1]);
    let spaced = text.replacen("{\"timestamp\"", "{ \"timestamp\"", 1);
    let cut_off = format!("{}\n", lines[0]);
    let first_gone = format!("{}\n{}\n", lines[1], lines[2]);
    let rewritten = {
        let other = World::new();
        other.append("forged");
        fs::read_to_string(other.file()).unwrap()
    };
    for (text, line) in [
        (changed, 2),
        (missing, 2),
        (added, 4),
        (spaced, 1),
        (format!("{text}half"), 4),
        (cut_off, 2),
        (first_gone, 1),
        (rewritten, 2),
        (String::new(), 1),
    ] {
        fs::write(world.file(), &text).unwrap();
        assert_eq!(world.broken_line(), line, "{text}");
    }
}

#[test]
fn every_flipped_bit_of_log_and_checkpoint_is_found() {
    let world = World::three_lines();
    for path in [world.file(), world.audit().join("executor/checkpoint")] {
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            assert!(world.verify().is_err(), "bit {bit} of {}", path.display());
        }
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(world.verify().unwrap().lines.len(), 3);
}

#[test]
fn what_a_crash_left_half_written_is_put_right_and_a_broken_line_stops_the_log() {
    let world = World::three_lines();
    let text = fs::read_to_string(world.file()).unwrap();
    let checkpoint = fs::read(world.audit().join("executor/checkpoint")).unwrap();
    // The line was not written, or half of it was.
    let two = text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    for left in [two.clone(), format!("{two}{{\"timestamp\":\"20")] {
        fs::write(world.file(), left).unwrap();
        drop(world.open().unwrap());
        assert_eq!(fs::read_to_string(world.file()).unwrap(), text);
    }
    fs::write(world.file(), &two).unwrap();
    assert_eq!(world.verify().unwrap().lines.len(), 3, "it stands in the checkpoint");
    world.append("four");
    assert_eq!(world.verify().unwrap().lines.len(), 4);
    fs::write(world.audit().join("executor/checkpoint"), checkpoint).unwrap();
    fs::write(world.file(), text.replace("\"three\"", "\"other\"")).unwrap();
    let expected = format!(
        "{}: line 3 does not fit the chain; keep the log for inspection and move its files away, a new chain begins",
        world.file().display()
    );
    assert_eq!(world.open().unwrap_err().to_string(), expected);
}

#[test]
fn a_log_without_its_checkpoint_or_with_a_strangers_does_not_verify() {
    let world = World::three_lines();
    let path = world.audit().join("executor/checkpoint");
    fs::remove_file(&path).unwrap();
    assert!(matches!(world.verify(), Err(AuditError::Checkpoint { .. })));
    let stranger = World::new();
    AuditLog::open(&stranger.audit(), "executor", Signer::from_seed([6; 32])).unwrap().append(AT, &event("x")).unwrap();
    fs::copy(stranger.audit().join("executor/checkpoint"), &path).unwrap();
    assert!(matches!(world.verify(), Err(AuditError::Checkpoint { .. })));
    assert!(world.open().is_err());
}

#[test]
fn months_go_when_all_of_their_lines_are_older_than_ninety_days() {
    let world = World::new();
    let mut log = world.open().unwrap();
    let mut at = AT;
    for _ in 0..200 {
        log.append(at, &event("sent")).unwrap();
        at = at + DAY;
    }
    drop(log);
    // The last line is of 2026-07-25, so what is of April or later is kept.
    let months: Vec<_> = files(&world.audit().join("executor")).unwrap().into_iter().map(|(month, _)| month).collect();
    assert_eq!(months, ["2026-04", "2026-05", "2026-06", "2026-07"]);
    assert_eq!(world.verify().unwrap().lines.len(), 30 + 31 + 30 + 25);
    fs::remove_file(world.audit().join("executor/2026-04.jsonl")).unwrap();
    assert_eq!(world.broken_line(), 1);
}

#[test]
fn addresses_show_one_letter_and_the_domain() {
    assert_eq!(masked("anna@client.test"), "a***@client.test");
    assert_eq!(masked("@x"), "****@x");
    assert_eq!(masked("no address"), "***");
}

#[test]
fn a_clock_that_was_set_back_over_months_keeps_the_chain() {
    let world = World::three_lines();
    let years = 10 * 365 * DAY;
    world.open().unwrap().append(AT + years, &event("ten years ahead")).unwrap();
    // Each in a process of its own, which has to find where the log ends.
    for at in [AT + DAY, AT, AT + years + DAY, AT + 40 * DAY] {
        world.open().unwrap().append(at, &event("later")).unwrap();
        world.verify().unwrap();
    }
    let lines = world.verify().unwrap().lines;
    assert!(lines.iter().any(|line| line.contains("2026-01-08T")), "each line says when it was written: {lines:?}");
    assert_eq!(lines.len(), 3 + 5, "a clock that is ahead makes no line old");
}
