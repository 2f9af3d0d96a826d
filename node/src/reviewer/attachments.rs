//! The files that a draft wants sent along: looked at once when drafts are read, taken once when one is approved.

use std::collections::{BTreeMap, btree_map::Entry};

use aiemp_protocol::{
    action::{Action, AttachmentInfo, AttachmentSource, Marks, spelt},
    ids::{Audience, ContentHash},
    vault_path::VaultPath,
    zone::{Claimants, Zone},
};
use anyhow::Result;

use crate::fault::Fault;

/// Asks the node for a file of the vault.
pub(super) type Fetch<'a> = &'a mut dyn FnMut(&str) -> Result<Option<Vec<u8>>>;

/// What the files of the vault are. Each is asked for once, however many lines and drafts name it, and no content is
/// kept: memory holds one file at a time.
pub(super) struct Files<'a> {
    fetch: Fetch<'a>,
    known: BTreeMap<String, Option<AttachmentInfo>>,
    failed: Option<anyhow::Error>,
}

impl<'a> Files<'a> {
    pub(super) fn new(fetch: Fetch<'a>) -> Self {
        Self { fetch, known: BTreeMap::new(), failed: None }
    }

    pub(super) fn info(&mut self, path: &str) -> Option<AttachmentInfo> {
        if let Some(known) = self.known.get(path) {
            return known.clone();
        }
        let fetched = (self.fetch)(path).unwrap_or_else(|error| {
            self.failed.get_or_insert(error);
            None
        });
        let info = fetched.map(|bytes| AttachmentInfo {
            length: bytes.len() as u64,
            hash: ContentHash::of(&bytes),
            media_type: media_type(path).to_owned(),
        });
        self.known.insert(path.to_owned(), info.clone());
        info
    }

    /// Why the node could not be asked, which says nothing about a draft.
    pub(super) const fn failure(&mut self) -> Option<anyhow::Error> {
        self.failed.take()
    }
}

/// Where the attachments lie, for the person to see. What has no zone nobody else may read.
pub(super) fn sources(paths: Vec<VaultPath>, claimants: &impl Claimants) -> Vec<AttachmentSource> {
    let is_private =
        |path: &VaultPath| Zone::of(path, claimants).map_or(true, |zone| zone.audience() == Audience::Local);
    paths.into_iter().map(|path| AttachmentSource { is_private: is_private(&path), path }).collect()
}

/// The contents of an action's attachments, in its order; each is what the action names, or none is given.
pub(super) fn contents(action: &Action, marks: &Marks, fetch: Fetch<'_>) -> Result<Vec<Vec<u8>>> {
    let mut held: BTreeMap<ContentHash, Vec<u8>> = BTreeMap::new();
    let mut contents = Vec::new();
    for (listed, AttachmentSource { path, .. }) in action.content.attachments().iter().zip(&marks.attachment_sources) {
        if let Entry::Vacant(missing) = held.entry(listed.hash) {
            let bytes = fetch(path.as_str())?.filter(|bytes| ContentHash::of(bytes) == listed.hash);
            missing.insert(bytes.ok_or_else(|| changed(path))?);
        }
        contents.extend(held.get(&listed.hash).cloned());
    }
    Ok(contents)
}

fn changed(path: &VaultPath) -> Fault {
    Fault::operator(
        "changed",
        format!("the attachment {} changed while the draft was read; nothing is approved", spelt(path)),
        "Run `aiemp-node approvals` and read the draft again under its new ID.",
    )
}

/// The media type that a file's extension stands for; what is unknown is bytes.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default().to_lowercase().as_str() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "txt" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" => "text/html",
        "zip" => "application/zip",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::{Hash, NodeId};
    use aiemp_protocol::{
        action::{Attachment, Content, Post},
        ids::WorkId,
    };

    use super::*;

    struct NoClaimants;

    impl Claimants for NoClaimants {
        fn claimant(&self, _: &str) -> Option<NodeId> {
            None
        }
    }

    fn marks(texts: &[&str]) -> Marks {
        let paths = texts.iter().map(|text| VaultPath::parse(text).expect("a path")).collect();
        Marks { attachment_sources: sources(paths, &NoClaimants), ..Marks::default() }
    }

    #[test]
    fn what_only_local_reads_is_shown_as_private() {
        let texts =
            ["Inbox/report.pdf", "Private/report.pdf", "INBOX./x", "report.pdf", "In_Progress/nobody/x", "Done/x"];
        let marks = marks(&texts);
        let seen: Vec<_> = marks.attachment_sources.iter().map(|one| (one.path.as_str(), one.is_private)).collect();
        assert_eq!(seen, texts.into_iter().zip([false, true, false, true, true, false]).collect::<Vec<_>>());
    }

    fn post(contents: &[&[u8]]) -> Action {
        let attachment = |bytes: &&[u8]| Attachment {
            name: "a.pdf".to_owned(),
            media_type: "application/pdf".to_owned(),
            length: bytes.len() as u64,
            hash: ContentHash::of(bytes),
        };
        let attachments = contents.iter().map(attachment).collect();
        let content =
            Content::Post(Post { hand: "x".to_owned(), network: "x".to_owned(), text: String::new(), attachments });
        let hash = Hash::of_content(b"any");
        Action { file: hash, work: WorkId(hash), content }
    }

    #[test]
    fn a_file_is_asked_for_once_however_many_drafts_name_it() {
        let mut asked = Vec::new();
        let mut fetch = |path: &str| {
            asked.push(path.to_owned());
            Ok((path == "In/a.pdf").then(|| b"content".to_vec()))
        };
        let mut files = Files::new(&mut fetch);
        for _ in 0..3 {
            let info = files.info("In/a.pdf").expect("it is there");
            assert_eq!((info.length, info.hash), (7, ContentHash::of(b"content")));
            assert_eq!(info.media_type, "application/pdf");
            assert_eq!(files.info("In/gone.pdf"), None);
        }
        assert_eq!(asked, ["In/a.pdf", "In/gone.pdf"]);
    }

    #[test]
    fn contents_are_those_of_the_action_in_its_order_each_fetched_once() {
        let mut asked = 0;
        let mut fetch = |path: &str| {
            asked += 1;
            Ok(Some(path.as_bytes().to_vec()))
        };
        let action = post(&[b"b.pdf", b"a.pdf", b"b.pdf"]);
        let taken = contents(&action, &marks(&["b.pdf", "a.pdf", "b.pdf"]), &mut fetch).expect("all are there");
        assert_eq!(taken, [b"b.pdf", b"a.pdf", b"b.pdf"]);
        assert_eq!(asked, 2);
    }

    #[test]
    fn a_file_that_changed_since_it_was_shown_is_not_taken() {
        let action = post(&[b"as shown"]);
        for now in [Some(b"another".to_vec()), None] {
            let refused = contents(&action, &marks(&["In/a.pdf"]), &mut |_| Ok(now.clone())).expect_err("refused");
            assert_eq!(
                refused.to_string(),
                "the attachment In/a.pdf changed while the draft was read; nothing is approved\n  \
                 Run `aiemp-node approvals` and read the draft again under its new ID."
            );
        }
    }
}
