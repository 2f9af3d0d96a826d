//! Tickets: text that people copy.

use std::time::Duration;

use aiemp_protocol::{
    limits::TICKET_LIFETIME,
    pairing::{Offered, PairingError, Ticket, TicketError},
};

use super::objects::ticket;
use crate::mesh::{NOW, owner};

#[test]
fn a_ticket_ends_with_its_time() {
    let ends = NOW + TICKET_LIFETIME;
    assert_eq!(ticket().check(ends), Ok(()));
    let late = ends + Duration::from_millis(1);
    assert_eq!(ticket().check(late), Err(TicketError::Expired(ends)));
    let owner = owner(10);
    let begun = Offered::begin(ticket(), owner.executor(), owner.rosters.clone(), [1; 32], late);
    assert_eq!(begun.err(), Some(PairingError::Ticket(TicketError::Expired(ends))));
}

#[test]
fn only_white_space_around_a_ticket_is_passed_over() {
    let text = ticket().to_string();
    for copied in [format!(" {text}"), format!("{text}\n"), format!("\t{text}\r\n")] {
        assert_eq!(copied.parse(), Ok(ticket()), "{copied:?}");
    }
    let (head, tail) = text.split_at(40);
    for broken in [
        text.to_uppercase(),
        text[1..].to_owned(),
        text.replacen("aiemp1", "aiemp2", 1),
        format!("{head} {tail}"),
        format!("{head}\n{tail}"),
        format!("{text}="),
        format!("{text}{text}"),
    ] {
        assert_eq!(broken.parse::<Ticket>(), Err(TicketError::Form), "{broken:?}");
    }
}

#[test]
fn the_dial_key_follows_from_the_secret_and_the_cloud_key_both() {
    let dialer = |ticket: Ticket| ticket.invite().dialer;
    let other_secret = Ticket { secret: [4; 16], ..ticket() };
    let other_cloud = Ticket { cloud: owner(50).executor(), ..ticket() };
    assert_ne!(dialer(other_secret), dialer(ticket()));
    assert_ne!(dialer(other_cloud), dialer(ticket()));
    let other_address = Ticket { addresses: Vec::new(), ..ticket() };
    assert_eq!(dialer(other_address), dialer(ticket()), "an address is no secret");
}
