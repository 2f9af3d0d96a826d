//! What is said beside the log: positions, wishes, rosters, freezes and calls.

use aiemp_keys::{Hash, Signer};
use aiemp_node::core::Input;
use aiemp_protocol::{
    a2a::{
        binding::{self, Operation},
        transcode::to_cbor,
    },
    entry::Position,
    frame::Frame,
    freeze::{Brake, FreezeRecord},
    ids::{Audience, ContentHash, EntryHash, LogId},
    roster::{Role, SignedRoster},
    zone::Zone,
};
use serde_json::{Value, json};

use super::{LOCAL, attacker::Attacker, core};
use crate::{
    Violation,
    world::{Way, World},
};

type Played = Result<bool, Violation>;

/// How long Local's disk takes to answer.
const READ_MS: u64 = 6_500;

fn some_log(attacker: &mut Attacker, world: &World) -> LogId {
    let replication = core(world).replication();
    let logs: Vec<_> = replication.frontier().map(|at| at.log).collect();
    match attacker.rng.below(6) {
        0 => replication.own_log(Audience::All),
        1 => replication.own_log(Audience::Local),
        2 => LogId { author: Signer::from_seed([9; 32]).node_id(), generation: 0, audience: Audience::All },
        3 => LogId { generation: u64::MAX, ..attacker.log() },
        _ => attacker.rng.pick(&logs).copied().unwrap_or_else(|| attacker.log()),
    }
}

/// Says to hold what there is not, or nothing; taken if Local goes on with the session.
pub(super) fn frontier(attacker: &mut Attacker, world: &mut World) -> Played {
    let mut positions: Vec<_> = core(world).replication().frontier().collect();
    positions.retain(|at| at.log.audience == Audience::All && attacker.rng.chance(70));
    for _ in 0..attacker.rng.below(4) {
        let log = some_log(attacker, world);
        let (seq, hash) = (attacker.rng.next() % 5000, EntryHash(Hash::of_content(b"a head")));
        positions.push(Position { log, seq, hash });
    }
    let accusations = world.accusations;
    attacker.say(world, Frame::Frontier { positions })?;
    world.run_for(100)?;
    Ok(world.accusations == accusations)
}

/// Asks for entries of any log; taken if some came.
pub(super) fn fetch(attacker: &mut Attacker, world: &mut World) -> Played {
    let log = some_log(attacker, world);
    let from_seq = if attacker.rng.chance(80) { 1 + attacker.rng.next() % 9 } else { attacker.rng.next() };
    let count = if attacker.rng.chance(80) { 64 } else { u64::MAX };
    attacker.say(world, Frame::Fetch { log, from_seq, count })?;
    world.run_for(READ_MS)?;
    let entries = Attacker::heard(world).filter_map(|(_, _, bytes)| Frame::from_bytes(bytes).ok());
    let mut entries = entries.filter(|frame| matches!(frame, Frame::Entry { log: of, .. } if *of == log));
    let came = entries.next().is_some();
    if came && log.audience == Audience::Local {
        return Err("private stays private: entries of a private log were sent".to_owned());
    }
    Ok(came)
}

/// Asks for the bytes of a private payload by its digest; taken if some came.
pub(super) fn payload_wanted(attacker: &mut Attacker, world: &mut World) -> Played {
    let (hash, _) = attacker.guess(world);
    let hash = if attacker.rng.chance(80) { hash } else { ContentHash::of(b"whatever") };
    let shared = world.nodes[LOCAL].store.payload(hash, true).is_some();
    let offset = if attacker.rng.chance(70) { 0 } else { attacker.rng.next() };
    let wanted = Frame::PayloadWanted { hash, offset, shared: attacker.rng.chance(50) };
    attacker.say(world, wanted)?;
    world.run_for(READ_MS)?;
    let parts = Attacker::heard(world).filter_map(|(_, _, bytes)| Frame::from_bytes(bytes).ok());
    let mut parts = parts.filter(
        |frame| matches!(frame, Frame::PayloadPart { hash: of, bytes, .. } if *of == hash && !bytes.is_empty()),
    );
    Ok(!shared && parts.next().is_some())
}

/// A roster of the attacker's own, or an old one; taken if another one is in force.
pub(super) fn roster(attacker: &mut Attacker, world: &mut World) -> Played {
    let chain = world.nodes[LOCAL].rosters();
    let (before, now) = (chain.current().hash(), world.time());
    let mut next = chain.current().successor(now);
    match attacker.rng.below(6) {
        0 => next.members.iter_mut().for_each(|member| member.role = Role::Local),
        1 => next.executor = attacker.id(),
        2 => next.epoch += attacker.rng.next() % 50,
        3 => next.approvers = vec![attacker.signer.public()],
        4 => next.epoch = 1,
        _ => next.closed.clear(),
    }
    let signer = if attacker.rng.chance(50) { &attacker.signer } else { &Signer::from_seed([5; 32]) };
    let mut bytes = SignedRoster::sign(signer, next).to_bytes();
    match attacker.rng.below(4) {
        0 => bytes = chain.after(0).last().unwrap_or_default(),
        1 => bytes.truncate(attacker.rng.below(bytes.len())),
        _ => {}
    }
    attacker.say(world, Frame::Roster { bytes })?;
    world.run_for(50)?;
    Ok(core(world).replication().rosters().current().hash() != before)
}

/// Freezes itself, and says to freeze or lift others. Taken if Local keeps it; whether Local stands still must not
/// change.
pub(super) fn freeze(attacker: &mut Attacker, world: &mut World) -> Played {
    let local = world.nodes[LOCAL].id();
    let stopped = core(world).replication().is_stopped();
    let known = core(world).replication().freezes().clone();
    let mut records = Vec::new();
    for _ in 0..=attacker.rng.below(3) {
        let brake = if attacker.rng.chance(40) { Brake::Frozen } else { Brake::Lifted };
        let node = if attacker.rng.chance(50) { attacker.id() } else { local };
        let mut bytes = FreezeRecord { brake, node, at: world.time() }.sign(&attacker.signer, attacker.mesh);
        if attacker.rng.chance(20) {
            let at = attacker.rng.below(bytes.len());
            bytes[at] ^= 1;
        }
        records.push(bytes);
    }
    attacker.say(world, Frame::Freeze { records })?;
    if core(world).replication().is_stopped() != stopped {
        return Err(format!("frozen is frozen: Cloud's word made Local's standstill {}", !stopped));
    }
    Ok(*core(world).replication().freezes() != known)
}

/// Calls as agents do; taken if the answer is a result.
pub(super) fn call(attacker: &mut Attacker, world: &mut World) -> Played {
    let body = call_body(attacker, world);
    let request = (1 << 51) + attacker.number();
    world.input(LOCAL, Input::Called { request, peer: attacker.id(), body })?;
    let answer = Attacker::heard(world).filter(|(_, way, _)| *way == Way::Answer).last();
    let Some((_, _, bytes)) = answer else { return Err("progress: a call is not answered".to_owned()) };
    let Ok(answer) = binding::read_answer::<Value>(bytes) else { return Ok(false) };
    let private = attacker.named.filter(|file| file.zone == Zone::Private);
    if private.is_some_and(|file| answer.to_string().contains(&file.hash.to_string())) {
        return Err(format!("private stays private: {answer}"));
    }
    Ok(true)
}

fn call_body(attacker: &mut Attacker, world: &World) -> Vec<u8> {
    let file = match attacker.rng.below(3) {
        0 => attacker.foreign_file(world),
        _ => attacker.shared_file(world).unwrap_or_else(|| attacker.foreign_file(world)),
    };
    let id = match attacker.rng.below(4) {
        0 => "../../etc/passwd".to_owned(),
        1 => file.hash.to_string(),
        _ => file.to_string(),
    };
    let data = json!({ "file": id, "work": file.hash.to_string(), "approve": true });
    let message = json!({ "messageId": id, "role": "ROLE_USER", "taskId": id, "parts": [{ "data": data }] });
    let params = json!({ "id": id, "message": message, "pageSize": 50, "includeArtifacts": true });
    attacker.named = Some(file);
    let operation = Operation::EACH[attacker.rng.below(Operation::EACH.len())];
    let method = ["Approve", "tasks/approve", "PeersHeal", "ReleaseSecret", ""][attacker.rng.below(5)];
    let body = match attacker.rng.below(6) {
        0 => to_cbor(&json!({ "method": method, "version": "1.0", "params": params })),
        1 => binding::encode_call(operation, &json!({ "id": id })),
        2 => binding::encode_call(operation, &json!({})),
        _ => binding::encode_call(operation, &params),
    };
    let mut body = body.unwrap_or_default();
    if attacker.rng.chance(15) && !body.is_empty() {
        let at = attacker.rng.below(body.len());
        body[at] ^= 1 << attacker.rng.below(8);
    }
    body
}
