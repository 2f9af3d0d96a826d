//! Plain Markdown of which no two notes are alike; the figures of the guard's speed are measured on it too.

/// Numbers that look random and are the same in every run.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    const fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    pub(crate) fn of(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }

    pub(crate) fn hex(&mut self, length: usize) -> String {
        self.of(b"0123456789abcdef", length)
    }

    pub(crate) fn name(&mut self) -> &'static str {
        self.one(&[
            "Anna M\u{fc}ller",
            "\u{5f20}\u{4f1f}",
            "Zo\u{eb} \u{d8}sterg\u{e5}rd",
            "Fatima Al-Sayed",
            "Jos\u{e9} Nu\u{f1}ez",
            "\u{418}\u{432}\u{430}\u{43d}",
            "Bob Smith \u{1f600}",
        ])
    }

    pub(crate) fn sentence(&mut self) -> String {
        const WORDS: [&str; 60] = [
            "the",
            "invoice",
            "for",
            "our",
            "client",
            "will",
            "be",
            "sent",
            "on",
            "Monday",
            "and",
            "we",
            "need",
            "an",
            "answer",
            "before",
            "task",
            "password",
            "token",
            "secret",
            "key",
            "plan",
            "is",
            "ready",
            "to",
            "review",
            "with",
            "finance",
            "quarterly",
            "international",
            "account",
            "please",
            "confirm",
            "delivery",
            "by",
            "risk",
            "disk",
            "API",
            "key-value",
            "about",
            "able",
            "access",
            "meeting",
            "at",
            "10:30",
            "budget",
            "of",
            "5,000",
            "EUR",
            "draft",
            "approve",
            "it",
            "then",
            "archive",
            "\u{2014}",
            "gr\u{fc}n",
            "caf\u{e9}",
            "reply",
            "thread",
            "notes",
        ];
        let words: Vec<&str> = (0..6 + self.below(14)).map(|_| WORDS[self.below(WORDS.len())]).collect();
        words.join(" ") + self.one(&[".", ".", "?", ":", "!"]) + " "
    }

    pub(crate) fn paragraph(&mut self) -> String {
        (0..2 + self.below(5)).map(|_| self.sentence()).collect::<String>() + "\n\n"
    }
}

pub(crate) fn front_matter(draws: &mut Draws) -> String {
    format!(
        "---\ntype: email\nid: {}\nfrom: {} <a.b@example.org>\nsubject: Re: [Invoice] {}\ndate: 2026-0{}-1{}T0{}:21:0{}Z\nstatus: {}\n---\n\n",
        draws.hex(16),
        draws.name(),
        draws.sentence(),
        1 + draws.below(9),
        draws.below(9),
        draws.below(9),
        draws.below(9),
        draws.one(&["pending", "Done", "in_progress"]),
    )
}

/// Plain Markdown: a title, front matter, paragraphs and lists.
pub(crate) fn prose(number: u64) -> String {
    let mut draws = Draws(number ^ 0x5eed);
    let mut text = front_matter(&mut draws) + "# Plan\n\n";
    for _ in 0..2 + draws.below(3) {
        text += &draws.paragraph();
        text += &format!("- [ ] {}\n- [x] {}\n\n", draws.sentence(), draws.sentence());
    }
    text
}
