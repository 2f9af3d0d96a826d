//! What commands ask over the control socket, and what they are told.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::oneshot;

use super::{Mesh, troubles};
use crate::{
    core::{Answer, Input},
    shell::{
        control::{self, Response},
        holds, questions,
    },
};

/// Having told nothing for so long, the process with the senses does not run.
const SENSES_SILENT: Duration = Duration::from_secs(60);

/// What the process with the senses told last.
#[derive(Debug)]
pub(super) struct Senses {
    told: Instant,
    troubles: Vec<control::WireTrouble>,
}

impl Default for Senses {
    fn default() -> Self {
        Self { told: Instant::now(), troubles: Vec::new() }
    }
}

impl Senses {
    fn troubles(&self) -> Vec<control::WireTrouble> {
        let is_silent = self.told.elapsed() > SENSES_SILENT;
        if is_silent { vec![troubles::senses_absent()] } else { self.troubles.clone() }
    }
}

impl Mesh {
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
            status.brain = status.brain.take().or_else(|| self.brain_failed.as_deref().map(troubles::brain));
            status.mail_in = self.mail_in.trouble();
            status.senses = if self.config.has_senses() { self.senses.troubles() } else { Vec::new() };
            status.store.extend(troubles::of_store(&self.home, self.payloads_lost));
        }
        // The asker may have gone away.
        back.send(response).ok();
    }
}
