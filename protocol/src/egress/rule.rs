//! What one kind of credential looks like, and how it is told from text that only resembles it.

use super::{gate::Gate, reading::Reading};

/// How many bytes behind an anchor a broken value may take.
pub(super) const BROKEN_BYTES_MAX: usize = 320;

/// One kind of credential as its provider publishes it.
///
/// A rule is tried where one of its anchors stands. It then reads its parts from left to right, each as far as it goes
/// and never back, so a place costs at most the longest value.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Stable name; several rules may share one.
    pub(super) kind: &'static str,
    /// What has to stand there, literally.
    pub(super) anchors: &'static [&'static str],
    /// Whether the anchors are words of the context, in any case, instead of a part of the value.
    pub(super) context: bool,
    /// What stands before the anchor and belongs to the value, with its least and greatest length.
    before: Option<(Class, usize, usize)>,
    parts: &'static [Part],
    gates: &'static [Gate],
    #[cfg(test)]
    pub(super) found: &'static [&'static str],
    #[cfg(test)]
    pub(super) clean: &'static [&'static str],
}

/// A piece of a value.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// As many bytes of a class as stand there, from the least to the greatest number.
    Run(Class, usize, usize),
    /// These bytes.
    Text(&'static str),
    /// Quotes and white space, `:` or `=`, quotes and white space: the value begins behind them.
    Assign,
    /// The same, with up to three words in front.
    Named,
}

/// Bytes that may stand in a part.
#[derive(Clone, Copy)]
pub(super) enum Class {
    Digit,
    Hex,
    Alnum,
    LowerDigit,
    UpperDigit,
    Base32,
    /// Letters, digits, `-` and `_`.
    Url,
    /// Those and `.`.
    Dotted,
    /// Those and `~`, `%`, `+`, `/`, `=`.
    Wide,
    Base64,
    /// What no quote, bracket or white space ends.
    Password,
    /// The user or password of an address.
    Userinfo,
    /// Capital letters and spaces: the title of an armour.
    Title,
    Space,
    /// What ends at white space.
    Visible,
}

impl Class {
    /// How many classes there are.
    pub(super) const COUNT: usize = Self::Visible as usize + 1;

    pub(super) const fn has(self, byte: u8) -> bool {
        /// A bit for each class, by byte.
        static CLASSES: [u16; 256] = {
            let mut table = [0; 256];
            let mut byte = 0;
            while byte < 256 {
                let mut class = 0;
                while class < Class::COUNT {
                    table[byte] |= (Class::EVERY[class].holds(byte as u8) as u16) << class;
                    class += 1;
                }
                byte += 1;
            }
            table
        };
        CLASSES[byte as usize] >> self as u16 & 1 == 1
    }

    /// Every class, in order.
    const EVERY: [Self; Self::COUNT] = [
        Self::Digit,
        Self::Hex,
        Self::Alnum,
        Self::LowerDigit,
        Self::UpperDigit,
        Self::Base32,
        Self::Url,
        Self::Dotted,
        Self::Wide,
        Self::Base64,
        Self::Password,
        Self::Userinfo,
        Self::Title,
        Self::Space,
        Self::Visible,
    ];

    const fn holds(self, byte: u8) -> bool {
        match self {
            Self::Digit => byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Alnum => byte.is_ascii_alphanumeric(),
            Self::LowerDigit => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
            Self::UpperDigit => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => Self::Url.holds(byte) || byte == b'.',
            Self::Wide => Self::Dotted.holds(byte) || matches!(byte, b'~' | b'%' | b'+' | b'/' | b'='),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Password => {
                byte.is_ascii_graphic()
                    && !matches!(
                        byte,
                        b'"' | b'\''
                            | b'`'
                            | b','
                            | b';'
                            | b'<'
                            | b'>'
                            | b'('
                            | b')'
                            | b'['
                            | b']'
                            | b'{'
                            | b'}'
                            | b'|'
                    )
            }
            Self::Userinfo => {
                byte.is_ascii_graphic()
                    && !matches!(byte, b'/' | b':' | b'@' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>')
            }
            Self::Title => byte.is_ascii_uppercase() || byte == b' ',
            Self::Space => byte.is_ascii_whitespace(),
            Self::Visible => byte.is_ascii_graphic(),
        }
    }
}

/// Where a value stands in a text.
#[derive(Clone, Copy)]
pub(super) struct Match {
    /// First byte of the value.
    pub(super) start: usize,
    /// First byte of its random part.
    pub(super) body: usize,
    /// First byte behind it.
    pub(super) end: usize,
}

impl Rule {
    /// A kind whose values begin with an anchor.
    pub(super) const fn prefix(kind: &'static str, anchors: &'static [&'static str], parts: &'static [Part]) -> Self {
        Self {
            kind,
            anchors,
            context: false,
            before: None,
            parts,
            gates: &[],
            #[cfg(test)]
            found: &[],
            #[cfg(test)]
            clean: &[],
        }
    }

    /// A kind whose values are known by the name that they are given.
    pub(super) const fn named(kind: &'static str, names: &'static [&'static str], parts: &'static [Part]) -> Self {
        let mut rule = Self::prefix(kind, names, parts);
        rule.context = true;
        rule
    }

    /// A part of the value stands before the anchor.
    pub(super) const fn behind(mut self, class: Class, least: usize, most: usize) -> Self {
        self.before = Some((class, least, most));
        self
    }

    /// What a value has to pass besides.
    pub(super) const fn gated(mut self, gates: &'static [Gate]) -> Self {
        self.gates = gates;
        self
    }

    /// Texts that hold a value of this kind, and texts like them in which no rule may see one. Braces stand for
    /// made-up characters, so that the table itself holds no value.
    #[cfg(test)]
    pub(super) const fn like(mut self, found: &'static [&'static str], clean: &'static [&'static str]) -> Self {
        self.found = found;
        self.clean = clean;
        self
    }

    #[cfg(not(test))]
    pub(super) const fn like(self, _found: &'static [&'static str], _clean: &'static [&'static str]) -> Self {
        self
    }

    /// Reads a value at an anchor. `gap` says whether white space was taken out before a byte of `text`.
    ///
    /// # Errors
    ///
    /// The place where the reading stopped.
    pub(super) fn read(
        &self,
        reading: &mut Reading<'_>,
        anchor: usize,
        end: usize,
        gap: impl Fn(usize) -> bool,
    ) -> Result<Match, usize> {
        let text = reading.text;
        let start = self.beginning(text, anchor).ok_or(anchor)?;
        let mut found = Match { start, body: anchor, end };
        let mut exact = None;
        for part in self.parts {
            exact = None;
            match part {
                Part::Run(class, least, most) => {
                    let length = reading.run(*class, found.end, *most);
                    if length < *least {
                        return Err(found.end + length);
                    }
                    if least == most {
                        exact = Some(*class);
                    }
                    found.body = found.end;
                    found.end += length;
                }
                Part::Text(literal) => {
                    if !text[found.end..].starts_with(literal.as_bytes()) {
                        return Err(found.end);
                    }
                    found.end += literal.len();
                }
                Part::Assign | Part::Named => {
                    let named = matches!(part, Part::Named);
                    found.end = assigned(text, found.end, named).ok_or(found.end)?;
                    found.start = found.end;
                }
            }
        }
        let runs_on = |class: Class| {
            text.get(found.end)
                .is_some_and(|next| (class.has(*next) || next.is_ascii_alphanumeric()) && !gap(found.end))
        };
        if exact.is_some_and(runs_on) {
            return Err(found.end);
        }
        if self.gates.iter().chain(&[Gate::NoPlaceholder]).all(|gate| gate.passes(reading, &mut found)) {
            Ok(found)
        } else {
            Err(found.end)
        }
    }

    /// Whether the first part, if it is a run, could be as long as it has to be without the white space in it: a cheap
    /// test before all that stands there is put together.
    pub(super) fn may_go_on(&self, behind: &[u8]) -> bool {
        #[cfg(test)]
        if super::plain::is_on() {
            return true;
        }
        let Some(Part::Run(class, least, _)) = self.parts.first() else { return true };
        let stops = |byte: &&u8| class.has(**byte) || byte.is_ascii_whitespace() || **byte == b'=';
        let within = behind.iter().take(BROKEN_BYTES_MAX).take_while(stops);
        within.filter(|byte| class.has(**byte)).take(*least).count() == *least
    }

    /// Whether a value that white space breaks could be told from the words behind it.
    pub(super) fn may_be_broken(&self) -> bool {
        !self.context || matches!(self.parts.last(), Some(Part::Run(_, least, most)) if least == most)
    }

    /// Where the value begins whose anchor stands at `anchor`, unless it is the middle of a longer word.
    fn beginning(&self, text: &[u8], anchor: usize) -> Option<usize> {
        if self.context {
            return Some(anchor);
        }
        let (class, least, most) = self.before.unwrap_or((Class::Alnum, 0, 0));
        let length = text[..anchor].iter().rev().take(most + 1).take_while(|byte| class.has(**byte)).count();
        let start = anchor.checked_sub(length.min(most))?;
        let escaped = start >= 2 && text[start - 2] == b'\\' && matches!(text[start - 1], b'n' | b'r' | b't');
        let joined = start > 0 && text[start - 1].is_ascii_alphanumeric() && !escaped;
        (length >= least && !joined).then_some(start)
    }
}

/// How many bytes of a class stand at the beginning of `text`, at most `most`.
pub(super) fn run(class: Class, text: &[u8], most: usize) -> usize {
    text.iter().take(most).take_while(|byte| class.has(**byte)).count()
}

const NAMED_MAX: usize = 32;
const QUOTES_MAX: usize = 8;

/// Where the value begins that is assigned to the name that ends at `at`.
fn assigned(text: &[u8], at: usize, named: bool) -> Option<usize> {
    let quote = |byte: u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'*' | b'\\' | b']');
    let word = |byte: u8| quote(byte) || Class::Dotted.has(byte);
    let skipped = if named {
        text[at..].iter().take(NAMED_MAX).take_while(|byte| word(**byte)).count()
    } else {
        text[at..].iter().take(QUOTES_MAX).take_while(|byte| quote(**byte)).count()
    };
    let sign = at + skipped;
    if !matches!(text.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let behind = |byte: u8| quote(byte) || matches!(byte, b':' | b'=' | b'>');
    Some(sign + text[sign..].iter().take(QUOTES_MAX).take_while(|byte| behind(**byte)).count())
}
