//! Wrong passphrases are slowed: the next one is tried after a second, then two, up to five minutes.
//!
//! The count lies in the home and survives the command. It only ever delays: where it cannot be read or written, or makes
//! no sense, the passphrase is tried at once, for nobody may be locked out of their own keys by a damaged file.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    time::Duration,
};

use aiemp_keys::private_file;
use aiemp_protocol::time::Timestamp;

const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(300);
/// From here on the delay stays the longest.
const DOUBLINGS_MAX: u32 = 9;
/// More than the two numbers of a count take.
const TEXT_BYTES_MAX: u64 = 64;

/// Wrong passphrases since the last right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wrong {
    times: u32,
    last: Timestamp,
}

impl Wrong {
    /// How long the next one waits. A last time that lies ahead, because the clock was set back, adds nothing.
    fn delay(self, now: Timestamp) -> Duration {
        let Some(doublings) = self.times.checked_sub(1) else { return Duration::ZERO };
        let delay = (DELAY_MIN * (1 << doublings.min(DOUBLINGS_MAX))).min(DELAY_MAX);
        delay.saturating_sub(now.since(self.last))
    }

    fn parse(text: &str) -> Option<Self> {
        let (times, last) = text.trim_end().split_once(' ')?;
        Some(Self { times: times.parse().ok()?, last: Timestamp::from_millis(last.parse().ok()?) })
    }
}

/// The count of one home, held by one command at a time: several at once wait for each other.
pub(super) struct Attempts(Option<File>);

impl Attempts {
    /// Takes the count that lies at a path.
    pub(super) fn at(path: &Path) -> Self {
        // Made here with owner and mode of its place.
        private_file::create_private(path, b"").ok();
        let file = private_file::open_private(path, OpenOptions::new().read(true).write(true)).ok();
        Self(file.filter(|file| file.lock().is_ok()))
    }

    /// How long to wait before the next attempt, and after how many wrong ones; none where it may be made at once.
    pub(super) fn delay(&mut self, now: Timestamp) -> Option<(Duration, u32)> {
        let wrong = self.read();
        let delay = wrong.delay(now);
        (!delay.is_zero()).then_some((delay, wrong.times))
    }

    /// Counts an attempt as wrong; called before it is made, so that ending the command does not undo it.
    pub(super) fn begin(&mut self, now: Timestamp) {
        let times = self.read().times.saturating_add(1);
        self.write(&format!("{times} {}\n", now.as_millis()));
    }

    /// Forgets the wrong ones: this one was right, or was none.
    pub(super) fn clear(&mut self) {
        self.write("");
    }

    fn read(&mut self) -> Wrong {
        let Some(file) = &mut self.0 else { return Wrong::default() };
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.take(TEXT_BYTES_MAX).read_to_string(&mut text));
        read.ok().and_then(|_| Wrong::parse(&text)).unwrap_or_default()
    }

    fn write(&mut self, text: &str) {
        let Some(file) = &mut self.0 else { return };
        let written = file
            .rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            tracing::debug!(%error, "wrong passphrases are not counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
    };

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_767_781_800_000);

    fn home() -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("attempts");
        (home, path)
    }

    /// Each attempt in a command of its own, made as soon as it may be; the seconds that each waited.
    fn waits(path: &Path, now: &mut Timestamp, times: usize) -> Vec<u64> {
        let one = |_| {
            let mut attempts = Attempts::at(path);
            let delay = attempts.delay(*now).map_or(Duration::ZERO, |(delay, _)| delay);
            *now = *now + delay;
            attempts.begin(*now);
            delay.as_secs()
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn wrong_passphrases_wait_longer_and_longer_and_a_right_one_clears() {
        let (_home, path) = home();
        let mut now = START;
        assert_eq!(waits(&path, &mut now, 12), [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let told = Attempts::at(&path).delay(now);
        assert_eq!(told, Some((Duration::from_secs(300), 12)));
        assert_eq!(Attempts::at(&path).delay(now + Duration::from_secs(299)), Some((Duration::from_secs(1), 12)));
        assert_eq!(Attempts::at(&path).delay(now + Duration::from_secs(300)), None, "time passes without a command");
        Attempts::at(&path).clear();
        assert_eq!(waits(&path, &mut now, 2), [0, 1]);
    }

    #[test]
    fn a_damaged_count_or_a_clock_that_was_set_back_locks_nobody_out() {
        let (home, path) = home();
        for text in ["", "x", "7", "-1 3", "99999999999999999999 1", "3 x", "\u{0}\u{0}"] {
            fs::remove_file(&path).ok();
            private_file::write_private(&path, text.as_bytes()).unwrap();
            assert_eq!(Attempts::at(&path).delay(START), None, "{text:?}");
        }
        private_file::write_private(&path, &[0xff; 5000]).unwrap();
        assert_eq!(waits(&path, &mut START.clone(), 2), [0, 1], "it counts anew");
        let year = Duration::from_secs(365 * 86_400);
        private_file::write_private(&path, format!("4000000000 {}\n", (START + year).as_millis()).as_bytes()).unwrap();
        assert_eq!(Attempts::at(&path).delay(START), Some((DELAY_MAX, 4_000_000_000)), "never longer than the longest");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(waits(&path, &mut START.clone(), 2), [0, 0]);
        assert_eq!(waits(&home.path().join("absent/attempts"), &mut START.clone(), 2), [0, 0]);
    }

    #[test]
    fn a_count_that_is_exchanged_for_a_link_overwrites_nothing() {
        let (home, path) = home();
        private_file::write_private(&path, b"").unwrap();
        let (other, link) = (home.path().join("other"), home.path().join("link"));
        private_file::write_private(&other, b"not a count").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &path, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            for _ in 0..300 {
                Attempts::at(&path).begin(START);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(fs::read(&other).unwrap(), b"not a count");
    }

    #[test]
    fn commands_that_run_at_once_do_not_share_one_attempt() {
        let (_home, path) = home();
        let mut first = Attempts::at(&path);
        first.begin(START);
        let second = std::thread::spawn(move || Attempts::at(&path).delay(START));
        drop(first);
        assert_eq!(second.join().unwrap(), Some((DELAY_MIN, 1)), "it saw the other's");
    }
}
