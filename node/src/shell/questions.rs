//! Between the control socket's words and the core's.

use std::collections::BTreeMap;

use aiemp_crdt::{
    conflict::Conflict,
    vault::{Choice, Deed, Event},
};
use aiemp_keys::NodeId;
use aiemp_protocol::{
    active::Finding,
    approval::{Outcome, Receipt},
    ids::Audience,
    replication::WaitReason,
    roster::Roster,
    time::Timestamp,
    vault_path::VaultPath,
};
use data_encoding::{BASE64, HEXLOWER};

use super::{
    control::{
        Request, ResolveChoice, Response, WireClaim, WireConflict, WireDraft, WireEvent, WireFound, WireLog, WirePeer,
        WireReceipt, WireSide, WireStatus, WireUsage, agent,
    },
    mesh,
};
use crate::core::{Answer, ClaimStanding, DraftSource, LogStanding, Question, Status};

/// What a request asks of the core; the text says why it asks nothing.
pub fn question(request: Request) -> Result<Question, String> {
    let bad = |what: &str| format!("{what} is not of the expected form");
    Ok(match request {
        Request::Drafts => Question::Drafts,
        Request::File { path } => Question::File(VaultPath::parse(&path).map_err(|error| error.to_string())?),
        Request::Conflicts => Question::Conflicts,
        Request::Claims => Question::Claims,
        Request::Resolve { id, choice } => Question::Resolve {
            id: id.parse().map_err(|_| bad("the id"))?,
            choice: match choice {
                ResolveChoice::Side(index) => Choice::Side(index),
                ResolveChoice::Both => Choice::Both,
                ResolveChoice::With(text) => Choice::With(BASE64.decode(text.as_bytes()).map_err(|_| bad("the text"))?),
            },
        },
        Request::Reject { file, reason } => {
            Question::Reject { file: file.parse().map_err(|_| bad("the file id"))?, reason }
        }
        Request::Tasks { .. } => return Err("tasks are asked of a member, not of this node".to_owned()),
        Request::Logs => Question::Logs,
        Request::Undo { author, since_ms } => Question::Undo {
            author: author.parse().map_err(|_| bad("the author"))?,
            since: Timestamp::from_millis(since_ms),
        },
        Request::History { path } => Question::History(VaultPath::parse(&path).map_err(|error| error.to_string())?),
        Request::Past { path, at_ms, restore } => Question::Past {
            path: match path.as_str() {
                "" => None,
                path => Some(VaultPath::parse(path).map_err(|error| error.to_string())?),
            },
            at: Timestamp::from_millis(at_ms),
            restore,
        },
        Request::Agent { session, what } => {
            Question::Agent { session: agent::session(&session)?, ask: agent::ask(what)? }
        }
        Request::Arrived(arrival) => Question::Arrived(Box::new(arrival.read()?)),
        Request::Status => Question::Status,
        Request::FillVault => return Err("the vault is filled by the node itself".to_owned()),
        Request::Senses { .. } => return Err("what the senses tell is for the node itself".to_owned()),
    })
}

/// What the core's answer looks like on the socket.
pub fn response(answer: Answer, roster: &Roster, me: NodeId, holds: usize) -> Response {
    let names = Names::of(roster);
    match answer {
        Answer::Drafts { drafts, receipts } => Response::Drafts {
            drafts: drafts.into_iter().map(|draft| names.draft(draft)).collect(),
            receipts: receipts.iter().map(receipt).collect(),
        },
        Answer::File(bytes) => Response::File { content: bytes.map(|bytes| BASE64.encode(&bytes)) },
        Answer::Conflicts { items, is_reading } => {
            Response::Conflicts { items: items.into_iter().map(|item| names.conflict(item)).collect(), is_reading }
        }
        Answer::Claims(claims) => {
            Response::Claims { items: claims.into_iter().map(|claim| names.claim(&claim)).collect() }
        }
        Answer::Undone { undone, left } => {
            Response::Undone { undone, left: left.iter().map(ToString::to_string).collect() }
        }
        Answer::History(events) => {
            Response::History { events: events.into_iter().map(|(event, came)| names.event(event, came)).collect() }
        }
        Answer::Past { paths, contents, left } => Response::Past {
            paths: paths.iter().map(ToString::to_string).collect(),
            contents: contents.iter().map(|bytes| bytes.as_ref().map(|bytes| BASE64.encode(bytes))).collect(),
            left: left.iter().map(ToString::to_string).collect(),
        },
        Answer::Agent(told) => Response::Agent(agent::told(told, |node| names.get(Some(node)))),
        Answer::Refused(why) => Response::BadRequest { message: why },
        Answer::Done => Response::Done,
        Answer::NotFound => Response::NotFound,
        Answer::Withheld(why) => Response::BadRequest { message: format!("what was given may not leave: {why}") },
        Answer::Logs(logs) => Response::Logs { logs: logs.into_iter().map(|log| names.log(&log)).collect() },
        Answer::Status(status) => Response::Status(Box::new(names.status(&status, roster, me, holds))),
    }
}

struct Names(BTreeMap<NodeId, String>);

impl Names {
    fn of(roster: &Roster) -> Self {
        Self(roster.members.iter().map(|member| (member.node, member.name.clone())).collect())
    }

    fn get(&self, node: Option<NodeId>) -> String {
        node.and_then(|node| self.0.get(&node).cloned()).unwrap_or_else(|| "a former member".to_owned())
    }

    fn draft(&self, draft: DraftSource) -> WireDraft {
        WireDraft {
            file: draft.file.to_string(),
            path: draft.path.to_string(),
            note: BASE64.encode(&draft.note),
            written: draft.written.iter().map(|run| (run.bytes, run.author.map(|who| self.get(Some(who))))).collect(),
            author: self.get(draft.author),
            created_ms: draft.created.as_millis(),
            blocked_by: draft.blocked_by,
            signature_asked: draft.signature_asked,
            standing: draft.standing.map(|standing| standing.to_string()),
        }
    }

    fn conflict(&self, item: Conflict) -> WireConflict {
        let side = |side: aiemp_crdt::conflict::Side| WireSide {
            node: self.get(side.node),
            text: side.text,
            hlc: side.hlc.to_string(),
        };
        WireConflict {
            id: item.id.to_string(),
            kind: item.kind.as_str().to_owned(),
            path: item.path.to_string(),
            field: item.field,
            line: item.line,
            base: item.base,
            sides: item.sides.into_iter().map(side).collect(),
            merged: item.merged,
            found: item.found.into_iter().map(found).collect(),
        }
    }

    fn claim(&self, claim: &ClaimStanding) -> WireClaim {
        WireClaim {
            work: claim.work.to_string(),
            node: self.get(Some(claim.node)),
            path: claim.path.to_string(),
            since: claim.since.to_string(),
            until: claim.until.map(|until| until.to_string()),
            others: claim.others.iter().map(ToString::to_string).collect(),
        }
    }

    fn event(&self, event: Event, came: Timestamp) -> WireEvent {
        let (what, path) = match event.what {
            Deed::Created(path) => ("created", Some(path)),
            Deed::Moved(path) => ("moved", Some(path)),
            Deed::Edited => ("edited", None),
            Deed::Replaced => ("replaced", None),
            Deed::Archived => ("archived", None),
            Deed::BroughtBack => ("brought_back", None),
        };
        WireEvent {
            at: event.at.to_string(),
            node: self.get(Some(event.author)),
            file: event.file.to_string(),
            what: what.to_owned(),
            path: path.map(|path| path.to_string()),
            came_ms: came.as_millis(),
        }
    }

    fn log(&self, standing: &LogStanding) -> WireLog {
        WireLog {
            author: self.get(Some(standing.log.author)),
            generation: standing.log.generation,
            audience: match standing.log.audience {
                Audience::All => "all",
                Audience::Local => "local",
            }
            .to_owned(),
            entries: standing.entries,
            known: standing.known,
            closed_at: standing.closed_at,
            frozen: standing.frozen.map(|reason| reason.as_str().to_owned()),
            waits: standing
                .waiting
                .map(WaitReason::as_str)
                .or(standing.lacks_past.then_some("past"))
                .or(standing.is_suspect.then_some("unshown"))
                .map(str::to_owned),
            used: WireUsage {
                entries_today: standing.usage.entries_today,
                bytes_today: standing.usage.bytes_today,
                bytes: standing.usage.bytes,
                files: standing.usage.files,
            },
        }
    }

    fn status(&self, status: &Status, roster: &Roster, me: NodeId, holds: usize) -> WireStatus {
        let connected: BTreeMap<_, _> = status.connected.iter().copied().collect();
        let peers = roster.members.iter().filter(|member| member.node != me).map(|member| WirePeer {
            name: member.name.clone(),
            connected: connected.contains_key(&member.node),
            lag_entries: connected.get(&member.node).copied().flatten(),
            waits: status.behind.contains(&member.node),
        });
        let frozen = status
            .frozen
            .iter()
            .map(|(log, reason)| format!("a log of {} is invalid: {}", self.get(Some(log.author)), reason.as_str()));
        let waiting = status
            .waiting
            .iter()
            .map(|(log, reason)| format!("a log of {} waits: {}", self.get(Some(log.author)), reason.as_str()));
        let absent = status.absent.iter().map(|(node, since)| mesh::absent(&self.get(Some(*node)), *since));
        WireStatus {
            waiting_logs: waiting.collect(),
            peers: peers.collect(),
            approvals_waiting: status.approvals_waiting,
            conflicts: status.conflicts,
            holds,
            files: status.files,
            frozen_logs: frozen.collect(),
            lacking: status.lacking.iter().map(ToString::to_string).collect(),
            vault: Vec::new(),
            progress: None,
            store: absent.collect(),
            brain: status.brain_waits.map(mesh::brain_waits),
            mail_in: None,
            senses: Vec::new(),
            unsynced: Vec::new(),
            unsynced_count: 0,
            settled: status.settled,
        }
    }
}

fn found(finding: Finding) -> WireFound {
    WireFound { line: finding.line, what: finding.kind.as_str().to_owned(), begins: finding.begins }
}

fn receipt(receipt: &Receipt) -> WireReceipt {
    let folder = match receipt.outcome {
        Outcome::Sent => "Done",
        Outcome::Accepted | Outcome::Unknown => "Approved",
        Outcome::Failed => "Pending_Approval",
    };
    WireReceipt {
        action: receipt.action.to_string(),
        work: receipt.work.to_string(),
        kind: receipt.kind.as_str().to_owned(),
        file: receipt.file.to_string(),
        nonce: HEXLOWER.encode(&receipt.nonce),
        outcome: receipt.outcome.as_str().to_owned(),
        at_ms: receipt.at.as_millis(),
        message_id: receipt.message_id.clone(),
        detail: receipt.detail.clone(),
        standing: receipt.standing.map(|standing| standing.to_string()),
        path: folder.to_owned(),
    }
}
