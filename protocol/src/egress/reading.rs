//! A text that rules read: what they learn of it at one place is kept for the next, so that many anchors in one long
//! run cost no more than the run.

use super::{entropy::Window, gate::NEAR, rule::Class};

/// Runs kept for each class; a token reads three, one after the other.
const KEPT: usize = 4;

/// A text, and what is known of it.
pub(super) struct Reading<'a> {
    pub(super) text: &'a [u8],
    /// By class, the runs that were measured last, and where the next one is kept.
    runs: [([Run; KEPT], usize); Class::COUNT],
    contexts: Vec<Context>,
    /// The window whose entropy was asked for last, if one was.
    window: Option<Box<Window>>,
}

/// Words that a value may stand near, and for each its length and its places in the text.
struct Context {
    words: &'static [&'static str],
    places: Vec<(usize, Vec<usize>)>,
}

/// Bytes of one class.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    /// Whether the byte at its end is of another class, or the text ends there.
    closed: bool,
}

impl<'a> Reading<'a> {
    pub(super) const fn of(text: &'a [u8]) -> Self {
        const NONE: Run = Run { start: usize::MAX, end: 0, closed: true };
        Self { text, runs: [([NONE; KEPT], 0); Class::COUNT], contexts: Vec::new(), window: None }
    }

    /// How many bytes of a class stand at `at`, at most `most`.
    pub(super) fn run(&mut self, class: Class, at: usize, most: usize) -> usize {
        #[cfg(test)]
        if super::plain::is_on() {
            return super::rule::run(class, &self.text[at..], most);
        }
        let (runs, next) = &mut self.runs[class as usize];
        let kept = runs.iter().position(|run| run.start <= at && at <= run.end);
        let slot = kept.unwrap_or_else(|| {
            *next = (*next + 1) % KEPT;
            runs[*next] = Run { start: at, end: at, closed: false };
            *next
        });
        let run = &mut runs[slot];
        let wanted = at + most;
        while !run.closed && run.end < wanted {
            run.closed = !self.text.get(run.end).is_some_and(|byte| class.has(*byte));
            run.end += usize::from(!run.closed);
        }
        run.end.min(wanted) - at
    }

    /// The entropy of the bytes from `start` to `end`, in tenths of a bit for each.
    pub(super) fn entropy_tenths(&mut self, start: usize, end: usize) -> u32 {
        self.window.get_or_insert_with(|| Box::new(Window::empty())).tenths(self.text, start, end)
    }

    /// Whether one of these words, lower case, stands in any case near the value from `start` to `end`.
    pub(super) fn has_near(&mut self, words: &'static [&'static str], start: usize, end: usize) -> bool {
        let text = self.text;
        #[cfg(test)]
        if super::plain::is_on() {
            let around = text[start.saturating_sub(NEAR)..text.len().min(end + NEAR)].to_ascii_lowercase();
            return words.iter().any(|word| super::gate::contains(&around, word.as_bytes()));
        }
        let known = self.contexts.iter().position(|context| std::ptr::eq(context.words, words));
        let index = known.unwrap_or_else(|| {
            let places = words.iter().map(|word| (word.len(), places(text, word.as_bytes()))).collect();
            self.contexts.push(Context { words, places });
            self.contexts.len() - 1
        });
        let (from, to) = (start.saturating_sub(NEAR), text.len().min(end + NEAR));
        self.contexts[index].places.iter().any(|(length, places)| {
            places.get(places.partition_point(|place| *place < from)).is_some_and(|place| place + length <= to)
        })
    }
}

fn places(text: &[u8], word: &[u8]) -> Vec<usize> {
    let windows = text.windows(word.len()).enumerate();
    windows.filter(|(_, window)| window.eq_ignore_ascii_case(word)).map(|(at, _)| at).collect()
}
