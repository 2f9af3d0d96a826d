//! Shannon's entropy of the frequencies of bytes, in a window that is moved along a text.

use std::sync::LazyLock;

use super::gate::COUNTED_MAX;

/// Parts of a bit that are counted: whole numbers, so that a window that was moved says what a new one says.
const PARTS: f64 = (1_u64 << 32) as f64;

/// By a count, the count times its logarithm.
static WEIGHTS: LazyLock<[i64; COUNTED_MAX + 1]> = LazyLock::new(|| {
    std::array::from_fn(|count| if count == 0 { 0 } else { (count as f64 * (count as f64).log2() * PARTS) as i64 })
});

/// The bytes of one window, counted.
pub(super) struct Window {
    start: usize,
    end: usize,
    counts: [u16; 256],
    /// The weights of all counts.
    sum: i64,
}

impl Window {
    pub(super) const fn empty() -> Self {
        Self { start: 0, end: 0, counts: [0; 256], sum: 0 }
    }

    /// The entropy of `text[start..end]` in tenths of a bit for each byte; at most [`COUNTED_MAX`] bytes.
    ///
    /// A window that begins a little behind the last one costs what it differs by: a text full of beginnings of values
    /// is not counted anew from each of them.
    pub(super) fn tenths(&mut self, text: &[u8], start: usize, end: usize) -> u32 {
        let overlaps = self.start <= start && start < self.end && self.end <= end;
        #[cfg(test)]
        let overlaps = overlaps && !super::plain::is_on();
        if overlaps {
            text[self.start..start].iter().for_each(|byte| self.count(*byte, u16::wrapping_sub));
        } else {
            *self = Self::empty();
            self.end = start;
        }
        text[self.end..end].iter().for_each(|byte| self.count(*byte, u16::wrapping_add));
        (self.start, self.end) = (start, end);
        let length = (end - start) as f64;
        let bits = if start < end { length.log2() - self.sum as f64 / PARTS / length } else { 0.0 };
        (bits * 10.0) as u32
    }

    fn count(&mut self, byte: u8, step: impl Fn(u16, u16) -> u16) {
        let weights = &*WEIGHTS;
        let count = &mut self.counts[usize::from(byte)];
        self.sum -= weights[usize::from(*count)];
        *count = step(*count, 1);
        self.sum += weights[usize::from(*count)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> u32 {
        Window::empty().tenths(text, 0, text.len())
    }

    #[test]
    fn entropy_counts_what_differs() {
        assert_eq!(of(b"aaaaaaaa"), 0);
        assert_eq!(of(b"abababab"), 10);
        assert_eq!(of(b"abcdefgh"), 30);
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn a_window_that_is_moved_says_what_a_new_one_says() {
        let text: Vec<u8> = (0..2000_u32).map(|at| (at * at / 7 % 61) as u8).collect();
        let mut moved = Window::empty();
        for (start, end) in (0..1700).map(|at| (at * 3 % 1700, at * 3 % 1700 + 1 + at % COUNTED_MAX)) {
            assert_eq!(moved.tenths(&text, start, end), of(&text[start..end]), "{start}..{end}");
        }
        for start in 0..1700 {
            assert_eq!(moved.tenths(&text, start, start + COUNTED_MAX), of(&text[start..start + COUNTED_MAX]));
        }
    }
}
