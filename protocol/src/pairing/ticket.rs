//! The ticket that a person carries from Cloud to Local, and what Cloud keeps of it.

use std::{fmt, str::FromStr};

use aiemp_keys::{
    Hash, NodeId, Signer,
    cbor::{self, Fields, Value},
};
use data_encoding::{Encoding, Specification};
use thiserror::Error;

use crate::{
    ids::MeshId,
    limits::{CLOCK_BEHIND_MAX, TICKET_LIFETIME},
    time::Timestamp,
};

const PREFIX: &str = "aiemp1";

/// Cloud's key and addresses with a one-time secret. Text form: `aiemp1` and lower-case base32.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Who invited.
    pub cloud: NodeId,
    /// Where it listens, as multiaddresses.
    pub addresses: Vec<String>,
    /// 128 bits, good for one pairing.
    pub secret: [u8; 16],
    /// After this it is void.
    pub expires: Timestamp,
}

/// Why text is no usable ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// It is not a ticket, or a part of it is missing or altered.
    #[error("this is not a whole ticket; copy the line that `aiemp-node pair invite` printed, all of it")]
    Form,
    /// It expired.
    #[error("the ticket expired at {0}; run `aiemp-node pair invite` on the Cloud node again")]
    Expired(Timestamp),
    /// No ticket made now could be good for so long: one of the two clocks is wrong.
    #[error(
        "the ticket is good until {expires}, and here it is {now}: a ticket is good for ten minutes, so the clock of one \
         of the two machines is wrong; set it right, then run `aiemp-node pair invite` again"
    )]
    Clock {
        /// The end that it names.
        expires: Timestamp,
        /// The time here.
        now: Timestamp,
    },
}

impl Ticket {
    /// A new ticket with a secret of fresh randomness.
    pub fn new(cloud: NodeId, addresses: Vec<String>, secret: [u8; 16], now: Timestamp) -> Self {
        Self { cloud, addresses, secret, expires: now + TICKET_LIFETIME }
    }

    /// Fails when it expired, and when this clock is so far behind that nobody can tell: a roster signed now would be of
    /// another time too.
    pub fn check(&self, now: Timestamp) -> Result<(), TicketError> {
        let expires = self.expires;
        if expires < now {
            return Err(TicketError::Expired(expires));
        }
        if expires > now + TICKET_LIFETIME + CLOCK_BEHIND_MAX {
            return Err(TicketError::Clock { expires, now });
        }
        Ok(())
    }

    /// The one-time identity to dial with: who holds it holds the secret.
    pub fn dial_key(&self) -> Signer {
        let parts = [self.cloud.to_value(), cbor::bytes(&self.secret)];
        Signer::from_seed(*Hash::labelled("aiemp-node 2026 pairing dial key", parts).as_bytes())
    }

    /// What Cloud keeps: enough to admit the holder, not enough to be one.
    pub fn invite(&self) -> Invite {
        Invite { dialer: self.dial_key().node_id(), expires: self.expires, mesh: None }
    }
}

fn base32() -> Encoding {
    let mut form = Specification::new();
    form.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    form.encoding().expect("RFC 4648 base32 in lower case")
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = cbor::array(self.addresses.iter().map(|address| cbor::text(address)));
        let body = cbor::encode(&cbor::array([
            self.cloud.to_value(),
            addresses,
            cbor::bytes(&self.secret),
            cbor::uint(self.expires.as_millis()),
        ]));
        let check = Hash::labelled("aiemp-node 2026 ticket check", [cbor::bytes(&body)]);
        let whole = cbor::array([Value::Bytes(body), cbor::bytes(&check.as_bytes()[..4])]);
        write!(f, "{PREFIX}{}", base32().encode(&cbor::encode(&whole)))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?}, expires {})", self.cloud, self.expires)
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text.trim()).ok_or(TicketError::Form)
    }
}

fn read(text: &str) -> Option<Ticket> {
    let bytes = base32().decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
    let mut whole = Fields::decode(&bytes, "ticket").ok()?;
    let body = whole.bytes().ok()?;
    let check = whole.bytes().ok()?;
    whole.end().ok()?;
    if Hash::labelled("aiemp-node 2026 ticket check", [cbor::bytes(&body)]).as_bytes()[..4] != check {
        return None;
    }
    let mut fields = Fields::decode(&body, "ticket").ok()?;
    let cloud = NodeId::read(&mut fields).ok()?;
    let addresses = fields.list_of(|value| value.into_text().map_err(|_| cbor::CborError::Malformed)).ok()?;
    let secret = fields.fixed().ok()?;
    let expires = Timestamp::from_millis(fields.uint().ok()?);
    fields.end().ok()?;
    Some(Ticket { cloud, addresses, secret, expires })
}

/// An open invitation as Cloud keeps it: `[dialer, expires]`, or `[dialer, expires, mesh]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The one-time identity that may dial.
    pub dialer: NodeId,
    /// Until when.
    pub expires: Timestamp,
    /// The one mesh that it is for; any, where none was named.
    pub mesh: Option<MeshId>,
}

impl Invite {
    /// The form on disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        let open = [self.dialer.to_value(), cbor::uint(self.expires.as_millis())];
        cbor::encode(&cbor::array(open.into_iter().chain(self.mesh.map(MeshId::to_value))))
    }

    /// Reads the form on disk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, cbor::CborError> {
        let mut fields = Fields::decode(bytes, "invite")?;
        let dialer = NodeId::read(&mut fields)?;
        let expires = Timestamp::from_millis(fields.uint()?);
        let mesh = if fields.is_at_end() { None } else { Some(MeshId::read(&mut fields)?) };
        fields.end()?;
        Ok(Self { dialer, expires, mesh })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        let cloud = Signer::from_seed([5; 32]).node_id();
        Ticket::new(cloud, vec!["/ip4/192.0.2.7/tcp/4001".into()], [9; 16], Timestamp::from_millis(1_000))
    }

    #[test]
    fn text_form_reads_back_and_names_the_same_dialer() {
        let read: Ticket = ticket().to_string().parse().expect("reads");
        assert_eq!(read, ticket());
        assert_eq!(read.dial_key().node_id(), ticket().invite().dialer);
    }

    #[test]
    fn an_invitation_reads_back_with_its_mesh_and_without() {
        let mesh = MeshId::founded_by(&Signer::from_seed([1; 32]).public());
        for invite in [ticket().invite(), Invite { mesh: Some(mesh), ..ticket().invite() }] {
            assert_eq!(Invite::from_bytes(&invite.to_bytes()), Ok(invite));
        }
    }

    #[test]
    fn an_altered_or_cut_ticket_is_refused() {
        let text = ticket().to_string();
        for index in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[index] = if bytes[index] == b'b' { b'c' } else { b'b' };
            assert!(String::from_utf8(bytes).expect("ascii").parse::<Ticket>().is_err(), "{index}");
            assert!(text[..index].parse::<Ticket>().is_err());
        }
        assert!(matches!(ticket().check(Timestamp::from_millis(601_001)), Err(TicketError::Expired(_))));
    }

    #[test]
    fn a_clock_ten_years_off_takes_no_ticket() {
        let years = std::time::Duration::from_secs(10 * 365 * 86_400);
        let made = Timestamp::from_millis(1_767_781_800_000);
        let ticket = Ticket::new(ticket().cloud, Vec::new(), [9; 16], made);
        ticket.check(made).expect("with the same clock");
        ticket.check(made.earlier_by(std::time::Duration::from_secs(240))).expect("a few minutes are no matter");
        assert!(matches!(ticket.check(made + years), Err(TicketError::Expired(_))));
        let told = ticket.check(made.earlier_by(years)).unwrap_err().to_string();
        assert!(told.contains("clock of one of the two machines is wrong; set it right"), "{told}");
    }
}
