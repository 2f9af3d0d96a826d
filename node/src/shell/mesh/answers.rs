//! What commands ask over the control socket, and what they are told.

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

impl Mesh {
    pub(super) async fn asked(&mut self, request: control::Request, answer: oneshot::Sender<Response>) -> Result<()> {
        if let control::Request::Tasks { peer } = request {
            return self.ask_for_tasks(&peer, answer).await;
        }
        if let control::Request::Senses { troubles } = request {
            self.senses = troubles;
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
            (status.unsynced, status.unsynced_count) =
                self.unsynced.listed(&self.config.vault, std::time::Instant::now());
            status.progress = self.progress();
            status.brain = status.brain.take().or_else(|| self.brain_failed.as_deref().map(troubles::brain));
            status.mail_in = self.mail_in.trouble();
            status.senses.clone_from(&self.senses);
            status.store.extend(troubles::of_store(&self.home, self.payloads_lost));
        }
        // The asker may have gone away.
        back.send(response).ok();
    }
}
