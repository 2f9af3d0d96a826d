//! One level of encoding taken off: base64, hexadecimal digits, percent signs, and characters set apart by spaces.

/// What a part of a text says, decoded.
#[derive(Clone, Copy)]
pub(in crate::egress) struct Piece<'a> {
    /// Where the part begins.
    pub(in crate::egress) at: usize,
    pub(in crate::egress) bytes: &'a [u8],
}

/// The shortest secret that is known has eight bytes; these are as many in each encoding.
const DECODED_MIN: usize = 8;
const BASE64_MIN: usize = 11;
const HEX_MIN: usize = 16;
const SPACED_HEX_MIN: usize = 23;
const SPACED_MIN: usize = 15;

/// Lines of base64 are at least this long, but for the last one.
const WRAPPED_LINE_MIN: usize = 16;

/// How far a word with percent signs reaches back before the first of them, and how long it may be.
const PERCENT_BACK_MAX: usize = 256;
const PERCENT_WORD_MAX: usize = 4096;

const NONE: u8 = 0xff;

/// The value of each character of base64, standard and for addresses.
static SEXTETS: [u8; 256] = {
    let mut table = [NONE; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// Hexadecimal digits and what stands between pairs of them.
static SPACED_HEX: [bool; 256] = {
    let mut table = [false; 256];
    let set = b"0123456789abcdefABCDEF :-,\\x%\r\n\t";
    let mut at = 0;
    while at < set.len() {
        table[set[at] as usize] = true;
        at += 1;
    }
    table
};

/// Decodes every part of `text` that looks encoded, one after the other.
pub(in crate::egress) fn pieces(text: &[u8], mut found: impl FnMut(Piece<'_>)) {
    let mut buffer = Vec::new();
    let mut last = 0;
    runs(
        text,
        |byte| SEXTETS[usize::from(byte)] != NONE,
        b'+',
        BASE64_MIN,
        |start, end| {
            if start >= last {
                last = base64(text, start, end, &mut buffer, &mut found);
            }
        },
    );
    runs(
        text,
        |byte| SPACED_HEX[usize::from(byte)],
        b'\t',
        SPACED_HEX_MIN,
        |start, end| {
            spaced_hex(&text[start..end], start, &mut buffer, &mut found);
        },
    );
    percent(text, &mut buffer, &mut found);
    spaced(text, &mut buffer, &mut found);
}

/// Calls `found` with each run of at least `least` bytes of a class, none of which is less than `lowest`. Where there is
/// none it looks at eight bytes in `least`, all at once, and goes on behind the last that is too low.
pub(in crate::egress) fn runs(
    text: &[u8],
    class: impl Fn(u8) -> bool,
    lowest: u8,
    least: usize,
    mut found: impl FnMut(usize, usize),
) {
    /// One in each byte of a word, and the highest bit of each.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    #[cfg(test)]
    if crate::egress::plain::is_on() {
        return runs_plainly(text, class, least, found);
    }
    let mut from = 0;
    while let Some(window) = text.get(from..from + least) {
        let probe = from + least - 1;
        if let Some(word) = window.last_chunk() {
            let word = u64::from_le_bytes(*word);
            let high_enough = ((word & !HIGH) + u64::from(0x80 - lowest) * ONES) | word;
            let too_low = !high_enough & HIGH;
            if too_low != 0 {
                from += least - (too_low.leading_zeros() / 8) as usize;
                continue;
            }
        }
        if !class(text[probe]) {
            from = probe + 1;
            continue;
        }
        let back = text[from..probe].iter().rev().take_while(|byte| class(**byte)).count();
        let on = text[probe..].iter().take_while(|byte| class(**byte)).count();
        if back + on >= least {
            found(probe - back, probe + on);
        }
        from = probe + on + 1;
    }
}

/// The same, looking at every byte.
#[cfg(test)]
fn runs_plainly(text: &[u8], class: impl Fn(u8) -> bool, least: usize, mut found: impl FnMut(usize, usize)) {
    let mut start = 0;
    for at in 0..=text.len() {
        if text.get(at).is_none_or(|byte| !class(*byte)) {
            if at - start >= least {
                found(start, at);
            }
            start = at + 1;
        }
    }
}

/// Decodes a run and the lines that go on with it, and returns where they end.
fn base64(text: &[u8], start: usize, end: usize, buffer: &mut Vec<u8>, found: &mut impl FnMut(Piece<'_>)) -> usize {
    let mut lines = Vec::new();
    let end = join_lines(text, start, end, &mut lines);
    let run = if lines.is_empty() { &text[start..end] } else { &lines };
    let (mut digit, mut upper, mut lower) = (false, false, false);
    for byte in run {
        digit |= byte.is_ascii_digit();
        upper |= byte.is_ascii_uppercase();
        lower |= byte.is_ascii_lowercase();
    }
    if !(digit || upper && lower) {
        return end;
    }
    for phase in 0..4 {
        decode_base64(run.get(phase..).unwrap_or_default(), buffer);
        found(Piece { at: start, bytes: buffer });
    }
    runs(
        run,
        |byte| byte.is_ascii_hexdigit(),
        b'0',
        HEX_MIN,
        |first, last| {
            for phase in 0..2 {
                buffer.clear();
                buffer.extend(run[first + phase..last].chunks_exact(2).map(|pair| hex(pair[0]) << 4 | hex(pair[1])));
                found(Piece { at: start, bytes: buffer });
            }
        },
    );
    end
}

/// Joins the lines that a long run goes on over: all as long as the first, but for the last.
fn join_lines(text: &[u8], start: usize, mut end: usize, lines: &mut Vec<u8>) -> usize {
    let width = end - start;
    if width < WRAPPED_LINE_MIN {
        return end;
    }
    loop {
        let rest = &text[end..];
        let break_length = if rest.starts_with(b"\n") {
            1
        } else if rest.starts_with(b"\r\n") {
            2
        } else {
            return end;
        };
        let indent = rest[break_length..].iter().take(8).take_while(|byte| matches!(byte, b' ' | b'\t' | b'>')).count();
        let line = end + break_length + indent;
        let length =
            text[line..].iter().take(width + 1).take_while(|byte| SEXTETS[usize::from(**byte)] != NONE).count();
        if length == 0 || length > width {
            return end;
        }
        if lines.is_empty() {
            lines.extend_from_slice(&text[start..end]);
        }
        lines.extend_from_slice(&text[line..line + length]);
        end = line + length;
        if length < width {
            return end;
        }
    }
}

fn decode_base64(run: &[u8], buffer: &mut Vec<u8>) {
    buffer.clear();
    let sextet = |byte: u8| u32::from(SEXTETS[usize::from(byte)]);
    let (groups, rest) = run.as_chunks::<4>();
    for [a, b, c, d] in groups {
        let bits = sextet(*a) << 18 | sextet(*b) << 12 | sextet(*c) << 6 | sextet(*d);
        buffer.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    let bits = rest.iter().fold(0, |bits, byte| bits << 6 | sextet(*byte)) << (6 * (4 - rest.len()));
    let whole = rest.len() * 6 / 8;
    buffer.extend_from_slice(&u32::to_be_bytes(bits)[1..1 + whole]);
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A') + 10,
    }
}

/// Pairs of digits with up to four characters between them: `73:6b`, `73 6B`, `0x73, 0x6b`, `\x73\x6b`.
fn spaced_hex(run: &[u8], start: usize, buffer: &mut Vec<u8>, found: &mut impl FnMut(Piece<'_>)) {
    let mut at = 0;
    let mut first = 0;
    buffer.clear();
    while at < run.len() {
        let rest = &run[at..];
        let marked = if rest.starts_with(b"0x") || rest.starts_with(b"\\x") { 2 } else { 0 };
        let digits = rest[marked..].iter().take(3).take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits != 2 {
            emit(buffer, start + first, found);
            let skipped = marked + rest[marked..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count().max(1);
            at += skipped;
            first = at;
            continue;
        }
        buffer.push(hex(rest[marked]) << 4 | hex(rest[marked + 1]));
        at += marked + 2;
        let between = |byte: &&u8| !byte.is_ascii_hexdigit() && !matches!(byte, b'\\');
        at += run[at..].iter().take(4).take_while(between).count();
    }
    emit(buffer, start + first, found);
}

fn emit(buffer: &mut Vec<u8>, at: usize, found: &mut impl FnMut(Piece<'_>)) {
    if buffer.len() >= DECODED_MIN {
        found(Piece { at, bytes: buffer });
    }
    buffer.clear();
}

/// Words in which bytes stand as a percent sign and two digits.
fn percent(text: &[u8], buffer: &mut Vec<u8>, found: &mut impl FnMut(Piece<'_>)) {
    let mut from = 0;
    while let Some(sign) = memchr::memchr(b'%', &text[from..]).map(|at| from + at) {
        if !text[sign + 1..].iter().take(2).all(u8::is_ascii_hexdigit) {
            from = sign + 1;
            continue;
        }
        let inside = |byte: &&u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>');
        let back = text[from..sign].iter().rev().take(PERCENT_BACK_MAX).take_while(inside).count();
        let on = text[sign..].iter().take(PERCENT_WORD_MAX).take_while(inside).count();
        let word = &text[sign - back..sign + on];
        buffer.clear();
        let mut at = 0;
        while at < word.len() {
            match &word[at..] {
                [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    buffer.push(hex(*high) << 4 | hex(*low));
                    at += 3;
                }
                rest => {
                    buffer.push(rest[0]);
                    at += 1;
                }
            }
        }
        from = sign + on;
        emit(buffer, sign - back, found);
    }
}

#[inline]
const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// Characters set apart by one space each.
fn spaced(text: &[u8], buffer: &mut Vec<u8>, found: &mut impl FnMut(Piece<'_>)) {
    let space = |at: usize| text.get(at).is_some_and(u8::is_ascii_whitespace);
    let apart = |at: usize| space(at) && !space(at + 1) && space(at + 2);
    let mut at = 0;
    while at + SPACED_MIN <= text.len() {
        // The last four bytes of the shortest part that could begin at `at`: a part that begins up to here covers them.
        let probe = at + SPACED_MIN - 4;
        #[cfg(test)]
        let probe = if crate::egress::plain::is_on() { at + 1 } else { probe };
        let Some(&[a, b, c, d]) = text[probe..].first_chunk() else { return };
        let spaces = [is_space(a), is_space(b), is_space(c), is_space(d)];
        if !matches!(spaces, [true, false, true, _] | [_, true, false, true]) {
            at = probe;
            continue;
        }
        let mut first = probe + usize::from(!apart(probe));
        while first >= at + 2 && apart(first - 2) {
            first -= 2;
        }
        let mut end = first;
        buffer.clear();
        let alone = first.checked_sub(1).filter(|before| !space(*before) && before.checked_sub(1).is_none_or(space));
        buffer.extend(alone.map(|before| text[before]));
        while apart(end) {
            buffer.push(text[end + 1]);
            end += 2;
        }
        buffer.extend(text.get(end + 1).filter(|_| end + 2 >= text.len()));
        emit(buffer, alone.unwrap_or(first + 1), found);
        at = end + 1;
    }
}
