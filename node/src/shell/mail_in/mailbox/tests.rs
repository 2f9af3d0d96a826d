use std::collections::{BTreeMap, BTreeSet};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{executor::smtp::Security, shell::vault_disk::Intake};

/// What a server has, and what it does with some of it.
#[derive(Clone, Default)]
struct Shop {
    mails: BTreeMap<u32, String>,
    /// It says NO when one of these is asked for.
    refuses: BTreeSet<u32>,
    /// It says that it gave these out, and did not.
    keeps: BTreeSet<u32>,
}

impl Shop {
    fn with(uids: impl Iterator<Item = u32>) -> Self {
        let mails = uids.map(|uid| (uid, format!("Subject: {uid}\r\n\r\nHello\r\n"))).collect();
        Self { mails, ..Self::default() }
    }

    async fn open(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shop = self.clone();
                tokio::spawn(async move { shop.serve(stream).await });
            }
        });
        port
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"* OK ready\r\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let mut words = line.trim_end().splitn(5, ' ');
            let (tag, _, _, uids, what) = (words.next(), words.next(), words.next(), words.next(), words.next());
            let answer = self.answer(uids.unwrap_or_default(), what.unwrap_or_default());
            let end = if answer.is_some() { "OK done" } else { "NO cannot" };
            let answer = format!("{}{} {end}\r\n", answer.unwrap_or_default(), tag.unwrap_or_default());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            line.clear();
        }
    }

    fn answer(&self, uids: &str, what: &str) -> Option<String> {
        let first: Option<u32> = uids.strip_suffix(":*").map(|first| first.parse().unwrap());
        let asked: BTreeSet<u32> = uids.split(',').filter_map(|uid| uid.parse().ok()).collect();
        let is_asked = |uid: &&u32| first.map_or(asked.contains(*uid), |first| **uid >= first);
        let asked: Vec<_> = self.mails.keys().filter(is_asked).collect();
        if what.contains("SIZE") {
            let one = |uid: &&u32| format!("* {uid} FETCH (UID {uid} RFC822.SIZE {})\r\n", self.mails[*uid].len());
            return Some(asked.iter().map(one).collect());
        }
        if asked.iter().any(|uid| self.refuses.contains(uid)) {
            return None;
        }
        let one = |uid: &&&u32| {
            let mail = &self.mails[**uid];
            format!("* {uid} FETCH (UID {uid} BODY[]<0> {{{}}}\r\n{mail})\r\n", mail.len())
        };
        Some(asked.iter().filter(|uid| !self.keeps.contains(uid)).map(|uid| one(&uid)).collect())
    }
}

/// Takes up what a shop has, with as many connections as it takes; how far it came after each, and what lies in Inbox.
async fn taken_up(shop: Shop) -> (Vec<u32>, Vec<String>) {
    let vault = tempfile::tempdir().unwrap();
    let port = shop.open().await;
    let place = Place {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Plain,
        tls: Arc::new(tls::client_config(None).unwrap()),
        patience: Duration::from_secs(10),
    };
    let mailbox = Mailbox {
        place,
        username: "me".to_owned(),
        credential: Credential::Password(Secret::new("secret".to_owned())),
        folder: "INBOX".to_owned(),
    };
    let intake = Arc::new(Intake::open(vault.path()).unwrap());
    let delivery = Delivery { intake: Some(intake), vault: vault.path().to_owned(), floor_megabytes: 0 };
    let taking =
        Taking { mailbox: Arc::new(mailbox), delivery, noted: vault.path().join("noted"), trouble: Trouble::default() };
    let (inbox, taken) = (vault.path().join("Inbox"), Arc::new(std::sync::Mutex::new(BTreeSet::new())));
    let into = Arc::clone(&taken);
    let mesh = tokio::spawn(async move {
        loop {
            for entry in std::fs::read_dir(&inbox).into_iter().flatten().flatten() {
                let mail = std::fs::read_to_string(entry.path()).unwrap_or_default();
                if entry.file_name().to_string_lossy().starts_with("MAIL_") {
                    let subject = mail.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
                    into.lock().unwrap().insert(subject.to_owned());
                    std::fs::remove_file(entry.path()).ok();
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    let (mut position, mut tries, mut came) = (Position { validity: 1, uid: 0 }, Tries::default(), Vec::new());
    for _ in 0..TRIES_MAX + 4 {
        let mut connection = Connection::open(&taking.mailbox.place).await.unwrap();
        while taking.take_up(&mut connection, &mut position, &mut tries).await.is_ok_and(|is_more| is_more) {}
        came.push(position.uid);
    }
    sleep(Duration::from_millis(50)).await;
    mesh.abort();
    let taken = taken.lock().unwrap().iter().cloned().collect();
    (came, taken)
}

#[tokio::test]
async fn all_mails_are_taken_up_in_batches() {
    let (came, taken) = taken_up(Shop::with(1..=150)).await;
    assert_eq!((came[0], taken.len()), (150, 150));
}

#[tokio::test]
async fn a_mail_that_is_refused_or_kept_back_holds_up_no_other_and_a_note_stands_for_it() {
    let refuses = Shop { refuses: [3].into(), ..Shop::with(1..=5) };
    let keeps = Shop { keeps: [3].into(), ..Shop::with(1..=5) };
    for shop in [refuses, keeps] {
        let (came, taken) = taken_up(shop).await;
        assert_eq!(came.last(), Some(&5), "{came:?}");
        assert!(came.iter().filter(|uid| **uid == 2).count() >= 6, "it is tried for a while: {came:?}");
        assert_eq!(taken, ["1", "2", "4", "5", "A mail that cannot be read"]);
    }
}

#[tokio::test]
async fn a_number_that_no_mail_can_have_does_not_end_it() {
    let (came, taken) = taken_up(Shop::with([1, 2, u32::MAX].into_iter())).await;
    assert_eq!((came[0], taken), (2, vec!["1".to_owned(), "2".to_owned()]));
}

#[test]
fn a_batch_is_bounded_and_a_large_mail_comes_alone() {
    let mut listed: BTreeMap<u32, usize> = (1..=100).map(|uid| (uid, 10)).collect();
    listed.insert(50, RAW_BYTES_MAX + 1);
    listed.insert(51, FETCHED_BYTES_MAX);
    let mut batches = Vec::new();
    while let Some(batch) = next_batch(&mut listed, FETCHED_MAX) {
        batches.push((batch[0].0, batch.len()));
    }
    assert_eq!(batches, [(1, 49), (50, 1), (51, 1), (52, 49)]);
}
