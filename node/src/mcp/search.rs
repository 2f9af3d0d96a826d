//! Finding notes by words. The files are looked through where they lie, and what is found is read through the node, so that
//! the ceiling and the guard hold for every line that is told.

use std::{fs, io::Read as _};

use aiemp_protocol::limits::NOTE_BYTES_MAX;

use super::Door;

/// Lines of one note that are told.
const LINES_MAX: usize = 3;
/// Characters of one line that are told.
const LINE_CHARS_MAX: usize = 200;

impl Door {
    /// Notes in which all words stand, those with the last paths first, with the lines in which any stands.
    pub(super) fn search(&self, words: &str, folder: String, limit: usize) -> Result<String, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        if words.is_empty() {
            return Err("give at least one word".to_owned());
        }
        let mut found = Vec::new();
        for path in self.notes(folder)?.iter().rev() {
            if found.len() == limit {
                break;
            }
            if !self.on_disk(path).is_some_and(|text| has_all(&words, path, &text)) {
                continue;
            }
            // Held back, or another text by now.
            let Ok((text, _)) = self.note(path) else { continue };
            if has_all(&words, path, &text) {
                found.push(excerpt(&words, path, &text));
            }
        }
        Ok(found.join("\n"))
    }

    fn on_disk(&self, path: &str) -> Option<String> {
        let mut text = Vec::new();
        let file = fs::File::open(self.vault.join(path)).ok()?;
        file.take(NOTE_BYTES_MAX as u64).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

fn has_all(words: &[String], path: &str, text: &str) -> bool {
    let (path, text) = (path.to_lowercase(), text.to_lowercase());
    words.iter().all(|word| text.contains(word) || path.contains(word))
}

fn excerpt(words: &[String], path: &str, text: &str) -> String {
    let has_any = |line: &&str| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    };
    let lines = text.lines().filter(has_any).take(LINES_MAX);
    let lines = lines.map(|line| format!("    {}", line.chars().take(LINE_CHARS_MAX).collect::<String>()));
    [path.to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_words_have_to_stand_there_in_any_case() {
        let words = ["invoice".to_owned(), "élan".to_owned()];
        assert!(has_all(&words, "Plans/INVOICE.md", "one\nÉlan 4\n"));
        assert!(!has_all(&words, "Plans/a.md", "invoice"));
        let told = excerpt(&words, "Plans/a.md", "x\nAn Invoice\ny\ninvoice 2\ninvoice 3\ninvoice 4\n");
        assert_eq!(told, "Plans/a.md\n    An Invoice\n    invoice 2\n    invoice 3");
    }
}
