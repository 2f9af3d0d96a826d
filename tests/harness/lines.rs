//! A note as its lines, for whoever edits it at random.

/// The lines of a note, each with its end.
pub struct Lines {
    /// All lines, those of the front matter among them.
    pub lines: Vec<String>,
    /// The line that ends the front matter.
    pub fence: Option<usize>,
    /// The first line of the body.
    pub body: usize,
}

impl Lines {
    /// Cuts a text into its lines.
    pub fn of(text: &str) -> Lines {
        let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let fence = lines.iter().skip(1).position(|line| line == "---\n").map(|at| at + 1);
        let fence = fence.filter(|_| lines.first().is_some_and(|line| line == "---\n"));
        Lines { lines, fence, body: fence.map_or(0, |at| at + 1) }
    }

    /// Sets a field of the front matter that ends at line `fence`.
    pub fn set_field(&mut self, fence: usize, key: &str, value: &str) {
        let line = format!("{key}: {value}\n");
        let found = self.lines[..fence].iter().position(|line| line.split(':').next() == Some(key));
        match found {
            Some(at) => self.lines[at] = line,
            None => self.lines.insert(fence, line),
        }
    }

    /// Moves the place of the line at `at` to the start of the body, where `word` stands in its stead.
    pub fn move_to_top(&mut self, at: usize, word: &str) {
        self.lines.remove(at);
        self.lines.insert(self.body.min(self.lines.len()), format!("{word}\n"));
    }
}
