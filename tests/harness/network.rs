//! Sessions between nodes: streams that keep order and lose nothing, until the session breaks.

use std::collections::BTreeMap;

use crate::random::Rng;

/// One way of a link.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    last_arrival: u64,
}

/// Two nodes that can reach each other.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The number of the session that stands; frames of other sessions are gone.
    pub session: Option<u64>,
    /// No session before this time: a partition.
    pub blocked_until: u64,
    /// Nor before this one, whatever else happens to the link: one of its ends is away or asleep.
    pub parted_until: u64,
    ways: BTreeMap<usize, Way>,
}

/// All links, by their two ends, the lower first.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The links there are.
    pub links: BTreeMap<(usize, usize), Link>,
    /// Whether frames are also lost, repeated and reordered, which no stream does.
    pub lossy: bool,
    next_session: u64,
}

/// The ends of a link in the order of the map's keys.
pub fn ends(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

impl Network {
    /// Opens a session on a link that has none; its number.
    pub fn open(&mut self, link: (usize, usize)) -> Option<u64> {
        let link = self.links.get_mut(&link)?;
        if link.session.is_some() {
            return None;
        }
        self.next_session += 1;
        link.session = Some(self.next_session);
        link.ways.clear();
        link.session
    }

    /// Breaks the session of a link; whether there was one.
    pub fn cut(&mut self, link: (usize, usize)) -> bool {
        self.links.get_mut(&link).and_then(|link| link.session.take()).is_some()
    }

    /// The session between two nodes.
    pub fn session(&self, one: usize, other: usize) -> Option<u64> {
        self.links.get(&ends(one, other))?.session
    }

    /// When a frame sent now arrives: once, in order; or as a lossy path has it.
    pub fn arrivals(&mut self, rng: &mut Rng, now: u64, from: usize, to: usize) -> Vec<u64> {
        let Some(link) = self.links.get_mut(&ends(from, to)) else { return Vec::new() };
        let delay = rng.delay_ms();
        if self.lossy {
            return match rng.below(20) {
                0..=2 => Vec::new(),
                3 => vec![now + delay, now + delay + rng.delay_ms()],
                _ => vec![now + delay],
            };
        }
        let way = link.ways.entry(to).or_default();
        way.last_arrival = way.last_arrival.max(now + delay);
        vec![way.last_arrival]
    }
}
