//! What commands ask over the control socket, and what they are told.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::sync::oneshot;

use super::{Mesh, troubles};
use crate::{
    config::Config,
    core::{Answer, Input, Trouble, TroubleClass},
    shell::{
        control::{self, Response},
        holds, questions,
    },
};

/// Having told nothing for so long, the process with the senses does not run.
const SENSES_SILENT: Duration = Duration::from_secs(60);

/// How long a brain that failed is noted.
const BRAIN_FAILED: Duration = Duration::from_secs(3_600);

/// What the process with the senses told last.
#[derive(Debug)]
pub(super) struct Senses {
    told: Instant,
    /// By what they are with.
    troubles: BTreeMap<String, control::WireTrouble>,
}

impl Default for Senses {
    fn default() -> Self {
        Self { told: Instant::now(), troubles: BTreeMap::new() }
    }
}

impl Senses {
    fn troubles(&self) -> Vec<control::WireTrouble> {
        if self.is_silent() { vec![troubles::senses_absent()] } else { self.troubles.values().cloned().collect() }
    }

    fn is_silent(&self) -> bool {
        self.told.elapsed() > SENSES_SILENT
    }

    fn to_note(&self, config: &Config) -> Vec<Trouble> {
        if self.is_silent() {
            return vec![noted("senses", TroubleClass::System, troubles::senses_absent())];
        }
        let class = |name: &str| match name.split(' ').next() {
            Some("drop") => TroubleClass::Data,
            Some("webhook") => TroubleClass::Authentication,
            Some("watcher") => TroubleClass::Logic,
            Some(_) | None => TroubleClass::System,
        };
        // Of those that are configured, whoever speaks for them.
        let told = self.troubles.iter().filter(|(name, _)| config.is_sense(name));
        told.map(|(name, trouble)| noted(name, class(name), trouble.clone())).collect()
    }
}

fn noted(name: &str, class: TroubleClass, trouble: control::WireTrouble) -> Trouble {
    Trouble { name: name.to_owned(), class, what: trouble.what, fix: trouble.fix }
}

impl Mesh {
    /// What is worth a note in the vault: what somebody who looks at the vault alone would not learn.
    pub(super) fn troubles_to_note(&self) -> Vec<Trouble> {
        // Where nothing more is asked of it, it may be well again.
        let failed = self.brain.failed.as_ref().filter(|(_, _, at)| at.elapsed() < BRAIN_FAILED);
        let brain = failed.map(|(class, why, _)| noted("brain", *class, troubles::brain(why)));
        let mailbox = self.mail_in.trouble().map(|trouble| noted("mailbox", self.mail_in.class(), trouble));
        let senses = if self.config.has_senses() { self.senses.to_note(&self.config) } else { Vec::new() };
        brain.into_iter().chain(mailbox).chain(senses).collect()
    }

    pub(super) async fn asked(&mut self, request: control::Request, answer: oneshot::Sender<Response>) -> Result<()> {
        if let control::Request::Tasks { peer } = request {
            return self.ask_for_tasks(&peer, answer).await;
        }
        if let control::Request::Senses { troubles } = request {
            self.senses = Senses { told: Instant::now(), troubles };
            answer.send(Response::Done).ok();
            return Ok(());
        }
        if matches!(request, control::Request::FillVault) {
            return self.fill_vault(answer).await;
        }
        match questions::question(request) {
            Ok(question) => {
                self.next_request += 1;
                let request = self.next_request;
                self.answers.insert(request, answer);
                self.handle(Input::Asked { request, question }).await
            }
            Err(message) => {
                answer.send(Response::BadRequest { message }).ok();
                Ok(())
            }
        }
    }

    /// Hands an answer of the core to whoever asked, with what the shell knows.
    pub(super) fn answered(&mut self, request: u64, answer: Answer) {
        let Some(back) = self.answers.remove(&request) else { return };
        let holds = holds::count(&self.home);
        let roster = self.core.replication().rosters().current();
        let mut response = questions::response(answer, roster, self.me, holds);
        if let Response::Status(status) = &mut response {
            status.settled &= self.rescans.is_idle();
            status.vault = self.troubles();
            (status.unsynced, status.unsynced_count) = self.unsynced.listed(&self.config.vault, Instant::now());
            status.progress = self.progress();
            // What somebody has to see to comes before what is waited for.
            let is_refused = matches!(self.brain.failed, Some((TroubleClass::Authentication, ..)));
            if is_refused || status.brain.is_none() {
                status.brain = self.brain.failed.as_ref().map(|(_, why, _)| troubles::brain(why));
            }
            status.mail_in = self.mail_in.trouble();
            status.senses = if self.config.has_senses() { self.senses.troubles() } else { Vec::new() };
            status.store.extend(troubles::of_store(&self.home, self.payloads_lost));
        }
        // The asker may have gone away.
        back.send(response).ok();
    }
}
