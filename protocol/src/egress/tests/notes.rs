//! Notes as real vaults have them, in which nothing is to be held.

use super::{
    prose::{Draws, front_matter},
    *,
};

impl Draws {
    fn digits(&mut self, length: usize) -> String {
        self.of(b"0123456789", length)
    }

    fn alnum(&mut self, length: usize) -> String {
        self.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", length)
    }

    fn base64(&mut self, length: usize) -> String {
        self.of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", length)
    }

    fn base64_lines(&mut self, lines: usize, width: usize) -> String {
        (0..lines).map(|_| self.base64(width) + "\n").collect()
    }

    fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|length| self.hex(length)).join("-")
    }
}

/// A note of one of the kinds that vaults hold.
pub(crate) fn note(number: u64) -> String {
    let mut draws = Draws(number);
    let d = &mut draws;
    let middle = match number % 20 {
        0 => mail(d),
        1 => log(d),
        2 => tracking(d),
        3 => format!("![scan](data:image/png;base64,{}=)\n", {
            let length = 400 + d.below(3000);
            d.base64(length)
        }),
        4 => format!(
            "Invoice INV-2026-{}\nIBAN: DE{} {} {} {} {} 00\nBIC: COBADEFFXXX\n+49 (0)30 {}\n",
            d.digits(5),
            d.digits(2),
            d.digits(4),
            d.digits(4),
            d.digits(4),
            d.digits(4),
            d.digits(8)
        ),
        5 => code(d),
        6 => armour(d),
        7 => signed_mail(d),
        8 => format!(
            "commit {}\nMerge: {} {}\nindex {}..{} 100644\n{}  release.tar.gz\n",
            d.hex(40),
            d.hex(7),
            d.hex(7),
            d.hex(7),
            d.hex(7),
            d.hex(64)
        ),
        9 => format!(
            "request {} trace {} span {}\nETag: \"{}\"\nbuild sha256:{}\n",
            d.uuid(),
            d.hex(32),
            d.hex(16),
            d.hex(32),
            d.hex(64)
        ),
        10..=16 => middle_of_services(d, number % 20),
        _ => d.paragraph(),
    };
    front_matter(d) + &d.paragraph() + &middle + "\n" + &d.paragraph()
}

/// What the services that people use put into their notes.
fn middle_of_services(d: &mut Draws, kind: u64) -> String {
    match kind {
        10 => format!(
            "https://docs.google.com/document/d/1{}/edit?usp=sharing\nhttps://www.youtube.com/watch?v={}\nhttps://us02web.zoom.us/j/{}?pwd={}.1\n",
            d.alnum(43),
            d.alnum(11),
            d.digits(11),
            d.alnum(31)
        ),
        11 => (0..10)
            .map(|_| format!("| {} | {} | {} | {} |\n", d.name(), d.digits(6), d.hex(12), d.one(&["paid", "open"])))
            .collect(),
        12 => format!(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{} anna@laptop\nSHA256:{}\nMD5:{}\n",
            d.base64(44),
            d.base64(43),
            (0..16).map(|_| d.hex(2)).collect::<Vec<_>>().join(":")
        ),
        13 => format!(
            "Your code is {}. Reset your password: https://shop.example/reset/{}\nPassword: (unchanged)\nPassword: ask Anna, she has 2 of them\n",
            d.digits(6),
            d.alnum(32)
        ),
        14 => format!(
            "AWS account {}, arn:aws:iam::{}:role/x, AKIAIOSFODNN7EXAMPLE, s3://bucket-{}/\nsid AC{}\nprice_1{} pk_live_{}\n",
            d.digits(12),
            d.digits(12),
            d.hex(8),
            d.hex(32),
            d.alnum(23),
            d.alnum(24)
        ),
        15 => format!(
            "set OPENAI_API_KEY=<your key>, api_key: ${{API_KEY}}, token: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-..., password = getpass()\nclient_id: {}.apps.googleusercontent.com\n",
            d.digits(12)
        ),
        _ => format!(
            "bc1q{} 0x{} txid {}\n5{} kWh\n",
            d.of(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l", 38),
            d.hex(40),
            d.hex(64),
            d.digits(3)
        ),
    }
}

fn mail(d: &mut Draws) -> String {
    format!(
        "Message-ID: <CA{}={}@mail.gmail.com>\nReferences: <{}.{}@x.example> <{}@eu-west-1.amazonses.com>\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1;\n h=from:to:subject;\n bh={}=;\n b={}\n  {}\n  {}==\nARC-Seal: i=1; a=rsa-sha256; cv=none; b={}\nX-Google-Smtp-Source: AGHT+{}\nX-Gm-Message-State: AO{}\nReceived: by 2002:a05:{}:b0:{}:{} with SMTP id {}\n\n{}",
        d.alnum(31),
        d.alnum(34),
        d.digits(10),
        d.digits(5),
        d.hex(60),
        d.base64(43),
        d.base64(64),
        d.base64(64),
        d.base64(60),
        d.base64(300),
        d.base64(54),
        d.alnum(80),
        d.digits(4),
        d.hex(3),
        d.hex(4),
        d.alnum(20),
        d.paragraph()
    )
}

fn log(d: &mut Draws) -> String {
    let lines: Vec<String> = (0..20)
        .map(|_| {
            format!(
                "  {{\"timestamp\": \"2026-01-0{}T08:00:00Z\", \"action\": \"email_send\", \"actor\": \"{}\", \"id\": \"{}\", \"hash\": \"{}\", \"message_id\": \"{}\", \"parameters\": {{\"token_count\": {}, \"password_reset\": false}}, \"result\": \"success\"}}",
                1 + d.below(8), d.name(), d.uuid(), d.hex(64), d.hex(16), d.digits(4)
            )
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn tracking(d: &mut Draws) -> String {
    format!(
        "https://click.example.com/ls/click?upn={}-2F{}-2B{}-3D-3D_{}\nhttps://www.example.com/?utm_source=newsletter&utm_medium=email&utm_id={}&mc_cid={}&mc_eid={}&fbclid=IwAR{}&gclid=Cj0KCQ{}&redirect=https%3A%2F%2Fexample.org%2Fa%3Fb%3D{}\nhttps://list.example/unsubscribe/{}/{}?e={}\n",
        d.alnum(90),
        d.alnum(40),
        d.alnum(30),
        d.alnum(200),
        d.digits(9),
        d.hex(10),
        d.hex(10),
        d.alnum(57),
        d.alnum(80),
        d.alnum(40),
        d.uuid(),
        d.hex(40),
        d.alnum(64)
    )
}

fn code(d: &mut Draws) -> String {
    format!(
        "```python\nimport os\npassword = os.environ[\"SMTP_PASSWORD\"]\napi_key = config.get('api_key')\nsecret_key: str = Field(default=None)\nCOMMIT = \"{}\"\nclient = Client(token=os.getenv('HF_TOKEN'), base_url=\"http://localhost:{}\")\n```\n\n```json\n{{\"integrity\": \"sha512-{}==\", \"password\": null, \"access_token\": \"\"}}\n```\n",
        d.hex(40),
        8000 + d.below(999),
        d.base64(86)
    )
}

fn armour(d: &mut Draws) -> String {
    let title = d.one(&["PGP PUBLIC KEY BLOCK", "PGP SIGNATURE", "CERTIFICATE", "PGP MESSAGE", "PUBLIC KEY", "PKCS7"]);
    format!(
        "-----BEGIN {title}-----\n\n{}{}\n={}\n-----END {title}-----\n",
        d.base64_lines(12, 64),
        d.base64(40),
        d.base64(4)
    )
}

fn signed_mail(d: &mut Draws) -> String {
    format!(
        "Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n\n{}{}==\n\nContent-Type: image/jpeg\nContent-ID: <{}>\n\n/9j/4AAQSkZJRgABAQ{}\n{}\n",
        d.base64_lines(30, 76),
        d.base64(22),
        d.uuid(),
        d.base64(58),
        d.base64_lines(40, 76)
    )
}

#[test]
fn at_most_one_clean_note_in_a_thousand_is_held() {
    const NOTES: u64 = 10_000;
    let guard = guard();
    let held: Vec<String> = (0..NOTES)
        .filter_map(|number| {
            let hits = guard.hits(note(number).as_bytes());
            (!hits.is_empty()).then(|| format!("note {number}, kind {}: {hits:?}", number % 20))
        })
        .collect();
    assert!(held.len() as u64 * 1000 <= NOTES, "{} held\n{}", held.len(), held.join("\n"));
}
