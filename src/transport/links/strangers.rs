//! Who asks for links that are none: how many, from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::connections::network;

/// Counts the refused tokens of each address within a minute.
#[derive(Default)]
pub(super) struct Strangers(Mutex<HashMap<IpAddr, Count>>);

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    refused: u32,
}

/// The refused tokens of an address within a minute that are told no more than that they are none.
const MAX_REFUSED: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// The addresses that are counted; the one that began first makes room.
const MAX_ADDRESSES: usize = 4_096;

// === impl Strangers ===

impl Strangers {
    /// Counts one more of the address; whether it has had too many.
    pub(super) fn refused(&self, address: IpAddr, now: Instant) -> bool {
        let address = network(address.to_canonical());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_ADDRESSES && !counts.contains_key(&address) {
            counts.retain(|_, count| now < count.since + WINDOW);
            let first = counts.iter().min_by_key(|(_, count)| count.since).map(|(address, _)| *address);
            if let Some(first) = first.filter(|_| counts.len() >= MAX_ADDRESSES) {
                counts.remove(&first);
            }
        }
        let count = counts.entry(address).or_insert(Count { since: now, refused: 0 });
        if now >= count.since + WINDOW {
            *count = Count { since: now, refused: 0 };
        }
        count.refused = count.refused.saturating_add(1);
        count.refused > MAX_REFUSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_in_a_minute_and_so_many_addresses_are_counted() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let refused = |address: &str, at| strangers.refused(address.parse().expect("an address"), at);
        for _ in 0..MAX_REFUSED {
            assert!(!refused("2001:db8::1", now));
        }
        assert!(refused("2001:db8::2", now), "one network");
        assert!(!refused("192.0.2.1", now) && !refused("2001:db8::1", now + WINDOW));
        for n in 0..2 * u32::try_from(MAX_ADDRESSES).expect("few") {
            assert!(!strangers.refused(std::net::Ipv4Addr::from_bits(n).into(), now));
        }
        assert_eq!(strangers.0.lock().expect("unpoisoned").len(), MAX_ADDRESSES);
    }
}
