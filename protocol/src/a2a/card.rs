//! Agent cards: what each role offers, and how it is reached.

use ::a2a::{AgentCapabilities, AgentCard, AgentInterface, AgentSkill};

use super::binding::BINDING_URI;
use crate::action::ActionKind;

const DATA: &str = "application/json";
const TEXT: &str = "text/plain";

/// Cloud's card: it drafts actions of these kinds, and has no skill that sends.
///
/// `address` is the node's multiaddress with its peer id.
pub fn cloud_card(name: &str, address: &str, kinds: &[ActionKind]) -> AgentCard {
    let description = "Watches what comes in and prepares drafts for a person to decide on. It cannot send anything.";
    card(name, address, description, kinds.iter().map(|kind| drafting(*kind)).collect())
}

/// Local's card: it carries out announced drafts of these kinds once the person has decided.
///
/// `address` is the node's multiaddress with its peer id.
pub fn local_card(name: &str, address: &str, kinds: &[ActionKind]) -> AgentCard {
    let description = "Shows announced drafts to the person and carries out what they approve, once. \
                       No message can approve.";
    card(name, address, description, kinds.iter().map(|kind| sending(*kind)).collect())
}

fn card(name: &str, address: &str, description: &str, skills: Vec<AgentSkill>) -> AgentCard {
    AgentCard {
        name: name.to_owned(),
        description: description.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        supported_interfaces: vec![AgentInterface::new(address, BINDING_URI)],
        capabilities: AgentCapabilities {
            streaming: Some(false),
            push_notifications: Some(false),
            extensions: None,
            extended_agent_card: Some(false),
        },
        default_input_modes: vec![DATA.to_owned()],
        default_output_modes: vec![TEXT.to_owned()],
        skills,
        provider: None,
        documentation_url: None,
        icon_url: None,
        // Who calls is proved by the connection and the roster; a call carries no credentials.
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}

fn drafting(kind: ActionKind) -> AgentSkill {
    let what = noun(kind);
    skill(
        format!("draft-{}", kind.as_str()),
        format!("Draft {what}"),
        format!("Drafts {what} and announces the draft; a person decides on it elsewhere."),
        ["draft", kind.as_str()],
    )
}

fn sending(kind: ActionKind) -> AgentSkill {
    let (what, verb) = (noun(kind), verb(kind));
    skill(
        format!("send-{}", kind.as_str()),
        format!("{verb} {what}"),
        format!(
            "Takes the announcement of a draft of {what}. The task waits in TASK_STATE_AUTH_REQUIRED until the person \
             has decided, and is completed when it was done."
        ),
        ["send", kind.as_str()],
    )
}

fn skill(id: String, name: String, description: String, tags: [&str; 2]) -> AgentSkill {
    AgentSkill {
        id,
        name,
        description,
        tags: tags.map(str::to_owned).to_vec(),
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    }
}

const fn noun(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Email => "a mail",
        ActionKind::Post => "a post",
        ActionKind::Payment => "a payment",
        ActionKind::Tool => "a tool call",
        ActionKind::Http => "an HTTP call",
        ActionKind::A2a => "a message to an agent",
    }
}

const fn verb(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Email | ActionKind::A2a => "Send",
        ActionKind::Post => "Publish",
        ActionKind::Payment | ActionKind::Tool | ActionKind::Http => "Make",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW";

    #[test]
    fn cloud_offers_drafts_and_local_sends() {
        let ids = |card: AgentCard| card.skills.into_iter().map(|skill| skill.id).collect::<Vec<_>>();
        let kinds = [ActionKind::Email, ActionKind::Post];
        assert_eq!(ids(cloud_card("vm", ADDRESS, &kinds)), ["draft-email", "draft-post"]);
        assert_eq!(ids(local_card("laptop", ADDRESS, &kinds)), ["send-email", "send-post"]);
        assert!(ids(cloud_card("vm", ADDRESS, &ActionKind::EACH)).iter().all(|id| id.starts_with("draft-")));
    }

    #[test]
    fn the_card_names_the_binding_and_no_push_notifications() {
        let card = serde_json::to_value(local_card("laptop", ADDRESS, &ActionKind::EACH)).unwrap();
        assert_eq!(
            card["supportedInterfaces"],
            serde_json::json!([{ "url": ADDRESS, "protocolBinding": BINDING_URI, "protocolVersion": "1.0" }])
        );
        assert_eq!(card["capabilities"]["pushNotifications"], false);
        assert_eq!(card["capabilities"]["streaming"], false);
        let read: AgentCard = serde_json::from_value(card).expect("the official type reads it back");
        assert_eq!(read, local_card("laptop", ADDRESS, &ActionKind::EACH));
    }
}
