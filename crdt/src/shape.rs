//! How the text of a file is understood where edits of several nodes come together.

use aiemp_protocol::{ids::FileId, vault_path::VaultPath, zone::Zone};

/// Folders of the files that programs only add to, by their canonical keys.
const DAY_LOG_FOLDERS: [&str; 2] = ["logs/", "private/logs/"];

/// Files that follow each other at one place, each made after the one before was put away or renamed: as many as are
/// known for day logs. Whoever makes more makes ordinary notes.
pub(crate) const DAY_LOGS_AT_PATH_MAX: usize = 16;

/// What the text of a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Front matter and a text.
    #[default]
    Note,
    /// A day log whose entries are lines.
    Lines,
    /// A day log that may be one JSON array, whose entries are its elements.
    Array,
    /// A JSON file that may be an object in which a program keeps its state.
    State,
}

impl Shape {
    /// The shape of a day log at this place; none where there is no day log.
    pub fn of_day_log(path: &VaultPath) -> Option<Self> {
        let key = path.key();
        if !DAY_LOG_FOLDERS.iter().any(|folder| key.starts_with(folder)) {
            return None;
        }
        match path.extension().as_str() {
            "jsonl" | "log" | "md" => Some(Self::Lines),
            "json" => Some(Self::Array),
            _ => None,
        }
    }

    /// The shape that a day log has for life: its id follows from this place alone.
    pub(crate) fn of_file(file: FileId, path: &VaultPath) -> Option<Self> {
        Self::of_day_log(path).filter(|_| day_logs_at(file.zone, path).any(|id| id == file))
    }

    /// The shape of what is no day log, by the name that it has.
    pub fn of_name(path: &VaultPath) -> Self {
        if path.extension() == "json" { Self::State } else { Self::Note }
    }

    /// Whether it is a day log's.
    pub const fn is_day_log(self) -> bool {
        matches!(self, Self::Lines | Self::Array)
    }
}

/// The ids of the day logs of a place: nodes that each make one for themselves make one file.
pub(crate) fn day_logs_at(zone: Zone, path: &VaultPath) -> impl Iterator<Item = FileId> {
    let first = FileId::at_path(zone, &path.key());
    std::iter::successors(Some(first), |id| Some(id.beside(id.zone))).take(DAY_LOGS_AT_PATH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_day_log_by_its_folder_its_ending_and_its_id() {
        let path = |text: &str| VaultPath::parse(text).expect("a path");
        let shape = |text: &str| Shape::of_day_log(&path(text));
        assert_eq!(shape("Logs/2026-01-07.json"), Some(Shape::Array));
        assert_eq!(shape("logs/mail/2026-01-07.JSONL"), Some(Shape::Lines));
        assert_eq!(shape("Private/Logs/bank.log"), Some(Shape::Lines));
        assert_eq!(shape("Logs/2026-01-07.md"), Some(Shape::Lines));
        for other in ["Logs.json", "Plans/Logs/a.json", "Logs/scan.pdf", "Plans/a.json"] {
            assert_eq!(shape(other), None, "{other}");
        }
        let log = path("Logs/a.json");
        let made = FileId::at_path(Zone::Drafts, &log.key());
        assert_eq!(Shape::of_file(made, &path("logs/A.json")), Some(Shape::Array), "another spelling of the place");
        let next = made.beside(Zone::Drafts);
        assert_eq!(Shape::of_file(next, &log), Some(Shape::Array), "made after the first was put away");
        assert_eq!(Shape::of_file(made, &path("Logs/b.json")), None);
        let adopted_before = FileId::adopted(Zone::Drafts, &log.key(), aiemp_protocol::ids::ContentHash::of(b"[]"));
        assert_eq!(Shape::of_file(adopted_before, &log), None, "it goes on as it began");
    }
}
