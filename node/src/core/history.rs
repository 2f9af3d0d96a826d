//! What files said at a time: told, or given back to them.

use std::collections::BTreeMap;

use aiemp_crdt::vault::{self, Event};
use aiemp_protocol::{ids::FileId, time::Timestamp, vault_path::VaultPath};

use super::{
    Core,
    output::Answer,
    work::{PastFiles, Reading},
};

/// Contents of one name that are told at once: a member may have made any number of them.
const CONTENTS_MAX: usize = 8;

impl Core {
    /// What was done to the files that ever lay at a path, and when it came here.
    pub(super) fn tell_history(&mut self, now: Timestamp, request: u64, path: &VaultPath) {
        let came = |event: &Event| self.replication.taken_at(now, event.entry.0, event.entry.1).unwrap_or(event.at);
        let events = self.vault.history(path).into_iter().map(|event| (came(&event), event));
        let events: Vec<_> = events.map(|(came, event)| (event, came)).collect();
        self.answer(request, if events.is_empty() { Answer::NotFound } else { Answer::History(events) });
    }

    pub(super) fn ask_past(
        &mut self,
        now: Timestamp,
        request: u64,
        path: Option<&VaultPath>,
        at: Timestamp,
        restore: bool,
    ) {
        let before = self.replication.taken_after(now, at);
        let mut files = match path {
            Some(path) => self.vault.lay_at(path, &before),
            None => self.vault.lay_anywhere(&before),
        };
        if files.is_empty() {
            return self.answer(request, Answer::NotFound);
        }
        let folder = path.map(|path| format!("{}/", path.key()));
        let is_below = |place: &VaultPath| folder.as_ref().is_none_or(|folder| place.key().starts_with(folder));
        let shared_name = files.iter().all(|(_, place)| !is_below(place));
        files.sort_by(|(file, path), (other, place)| (path, file).cmp(&(place, other)));
        // Of a folder the names are told, and the contents where they are wanted back.
        let (contents_max, files_max) = match (restore, shared_name || files.len() == 1) {
            (true, _) => (1, usize::MAX),
            (false, true) => (CONTENTS_MAX, CONTENTS_MAX),
            (false, false) => (0, usize::MAX),
        };
        let mut wanted = Vec::new();
        for (file, path) in &files {
            let contents = self.vault.contents_then(*file, &before).into_iter().take(contents_max);
            wanted.extend(contents.map(|base| (*file, path.clone(), base)));
        }
        wanted.truncate(files_max);
        let paths = match contents_max {
            0 => files.into_iter().map(|(_, path)| path).collect(),
            _ => wanted.iter().map(|(_, path, _)| path.clone()).collect(),
        };
        let (contents, left) = (BTreeMap::new(), Vec::new());
        let past = PastFiles { waiting: wanted.len(), restore, paths, contents, left };
        self.work.past_files.insert(request, past);
        for (number, (file, path, base)) in wanted.into_iter().enumerate() {
            let reading = self.work.reading(Reading::Past { request, number, file, path });
            self.vault_input(now, vault::Input::PastRequested { request: reading, file, base, before: before.clone() });
        }
        self.finish_past(request);
    }

    pub(super) fn past_read(
        &mut self,
        now: Timestamp,
        (request, number): (u64, usize),
        (file, path): (FileId, VaultPath),
        bytes: Option<Vec<u8>>,
    ) {
        let Some(past) = self.work.past_files.get_mut(&request) else { return };
        past.waiting -= 1;
        if past.restore {
            let cleared = bytes.and_then(|bytes| self.guard.clear_file(&path, file.zone.audience(), bytes).ok());
            match cleared.filter(|_| self.vault.may_write(file.zone)) {
                Some(content) => self.vault_input(now, vault::Input::RestoreRequested { file, path, content }),
                None => {
                    if let Some(past) = self.work.past_files.get_mut(&request) {
                        past.left.push(path);
                    }
                }
            }
        } else {
            past.contents.insert(number, bytes);
        }
        self.finish_past(request);
    }

    fn finish_past(&mut self, request: u64) {
        if self.work.past_files.get(&request).is_some_and(|past| past.waiting == 0)
            && let Some(PastFiles { paths, contents, left, .. }) = self.work.past_files.remove(&request)
        {
            let contents = contents.into_values().collect();
            self.answer(request, Answer::Past { paths, contents, left });
        }
    }
}
