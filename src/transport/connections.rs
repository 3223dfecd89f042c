//! How many connections there may be: in all, and from one address.
//!
//! Where all permits are taken, one that has not sent a request makes room for the next, the oldest first: whoever opens
//! connections and says nothing keeps out nobody who speaks.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::metrics::metrics;

/// Counts the connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Connections(Arc<Counted>);

struct Counted {
    open: Mutex<Open>,
    max: u32,
    /// 0: any number.
    max_per_address: u32,
    balancers: Vec<IpNet>,
}

#[derive(Default)]
struct Open {
    in_all: u32,
    by_address: HashMap<IpAddr, u32>,
    /// In the order in which they came; those that have spoken or ended are left out when they are come upon.
    silent: VecDeque<Arc<Standing>>,
}

/// Where a connection stands.
pub(super) struct Standing {
    /// None: an address that is not counted.
    address: Option<IpAddr>,
    /// Whether a request has come on it, or it has ended.
    pub spoken: AtomicBool,
    /// It is to make room.
    pub cut: CancellationToken,
}

/// The permit of a connection, until it is dropped.
pub(super) struct ConnectionPermit {
    connections: Connections,
    pub standing: Arc<Standing>,
}

/// Why a connection has no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    InAll,
    Address,
}

/// The file handles that are kept back for the database, the tenants' files, external calls and the logs.
const KEPT_BACK: u64 = 128;
/// However few handles there are, so many connections are taken.
const LEAST: u32 = 16;

// === impl Connections ===

impl Connections {
    pub(super) fn new(settings: &config::Server) -> Self {
        Self::with(settings, handles())
    }

    /// With no more than the file handles allow.
    fn with(settings: &config::Server, handles: Option<u64>) -> Self {
        let max = handles.map_or(u32::MAX, |handles| {
            u32::try_from(handles.saturating_sub(KEPT_BACK)).unwrap_or(u32::MAX).max(LEAST)
        });
        if max < settings.max_connections {
            tracing::warn!(
                wanted = settings.max_connections,
                max,
                "the process may open too few files for server.max_connections: raise its limit (ulimit -n)"
            );
        }
        Self(Arc::new(Counted {
            open: Mutex::default(),
            max: settings.max_connections.min(max),
            max_per_address: settings.max_connections_per_address,
            balancers: settings.balancers.clone(),
        }))
    }

    pub(super) fn permit(&self, address: IpAddr) -> Result<ConnectionPermit, Full> {
        let address = address.to_canonical();
        let is_counted = self.0.max_per_address > 0 && !self.0.balancers.iter().any(|net| net.contains(&address));
        let address = is_counted.then(|| network(address));
        let mut open = self.lock();
        if open.in_all >= self.0.max {
            metrics().refused_connection(Full::InAll.as_str());
            if !open.make_room(|_| true) {
                return Err(Full::InAll);
            }
        }
        if let Some(address) = address {
            let count = open.by_address.get(&address).copied().unwrap_or(0);
            if count >= self.0.max_per_address {
                metrics().refused_connection(Full::Address.as_str());
                if !open.make_room(|standing| standing.address == Some(address)) {
                    return Err(Full::Address);
                }
            }
            *open.by_address.entry(address).or_default() += 1;
        }
        open.in_all += 1;
        let standing = Arc::new(Standing { address, spoken: AtomicBool::new(false), cut: CancellationToken::new() });
        open.silent.push_back(standing.clone());
        if open.silent.len() > 2 * self.0.max as usize {
            open.silent.retain(|standing| !standing.spoken.load(Ordering::Relaxed));
        }
        drop(open);
        Ok(ConnectionPermit { connections: self.clone(), standing })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Cuts the oldest silent connection that `may` be cut, and counts it no more; false if there is none.
    fn make_room(&mut self, may: impl Fn(&Standing) -> bool) -> bool {
        self.silent.retain(|standing| !standing.spoken.load(Ordering::Relaxed));
        let Some(at) = self.silent.iter().position(|standing| may(standing)) else { return false };
        let Some(standing) = self.silent.remove(at) else { return false };
        standing.cut.cancel();
        self.end(&standing);
        true
    }

    /// The connection has ended, or is about to.
    fn end(&mut self, standing: &Standing) {
        self.in_all -= 1;
        if let Some(address) = standing.address
            && let Entry::Occupied(mut count) = self.by_address.entry(address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        self.standing.spoken.store(true, Ordering::Relaxed);
        // One that was cut to make room has been counted off then.
        if !self.standing.cut.is_cancelled() {
            open.end(&self.standing);
        }
    }
}

/// What counts as one address: a host has 2^64 of IPv6, a network of its own (RFC 4291, 2.5.1).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The file handles that this process may have, raised as far as it may raise them itself; None: any number.
fn handles() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not, what it has is enough to go on with.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

impl Full {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InAll => "in_all",
            Self::Address => "address",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: u32, per_address: u32, handles: Option<u64>) -> Connections {
        let settings = config::Server {
            max_connections: max,
            max_connections_per_address: per_address,
            balancers: vec!["10.0.0.0/8".parse().expect("a network")],
            ..config::Server::default()
        };
        Connections::with(&settings, handles)
    }

    /// The permit of a connection on which a request has come.
    fn permit(connections: &Connections, address: &str) -> Result<ConnectionPermit, Full> {
        silent(connections, address).inspect(|permit| permit.standing.spoken.store(true, Ordering::Relaxed))
    }

    fn silent(connections: &Connections, address: &str) -> Result<ConnectionPermit, Full> {
        connections.permit(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_so_many_and_all_have_so_many() {
        let connections = connections(5, 2, None);
        let held: Vec<_> = ["192.0.2.1", "192.0.2.1"].map(|a| permit(&connections, a).expect("a permit")).into();
        assert_eq!(permit(&connections, "192.0.2.1").err(), Some(Full::Address));
        assert_eq!(permit(&connections, "::ffff:192.0.2.1").err(), Some(Full::Address), "the same, written otherwise");
        let balanced: Vec<_> = (0..3).map(|_| permit(&connections, "10.0.0.1").expect("not counted")).collect();
        assert_eq!(permit(&connections, "192.0.2.2").err(), Some(Full::InAll));
        drop((held, balanced));
        let _one = permit(&connections, "2001:db8::1").expect("a permit");
        let _two = permit(&connections, "2001:db8::2").expect("a permit");
        assert_eq!(permit(&connections, "2001:db8::3").err(), Some(Full::Address), "one network");
        let open = connections.lock();
        assert_eq!((open.in_all, open.by_address.len()), (2, 1));
    }

    #[test]
    fn who_says_nothing_makes_room_the_oldest_first() {
        let connections = connections(3, 2, None);
        let speaks = permit(&connections, "192.0.2.1").expect("a permit");
        let first = silent(&connections, "192.0.2.1").expect("a permit");
        let other = silent(&connections, "192.0.2.2").expect("a permit");
        // The address is full: its own silent one goes, and not another's.
        let second = silent(&connections, "192.0.2.1").expect("room");
        assert_eq!(
            [&speaks, &first, &other, &second].map(|p| p.standing.cut.is_cancelled()),
            [false, true, false, false]
        );
        drop(first);
        // All permits are taken: the oldest silent one goes.
        let third = permit(&connections, "192.0.2.3").expect("room");
        assert!(other.standing.cut.is_cancelled() && !second.standing.cut.is_cancelled());
        drop((speaks, other, second, third));
        let open = connections.lock();
        assert_eq!((open.in_all, open.by_address.len()), (0, 0));
    }

    #[test]
    fn file_handles_are_kept_back() {
        assert_eq!(connections(1_000, 0, Some(256)).0.max, 128);
        assert_eq!(connections(1_000, 0, Some(20)).0.max, LEAST);
        assert_eq!(connections(1_000, 0, Some(1 << 20)).0.max, 1_000);
    }
}
