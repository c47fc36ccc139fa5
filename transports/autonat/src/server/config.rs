//! What a server is willing to do, and how much of it.

use std::time::Duration;

use crate::{Scope, Transport};

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether requests are served from the start. Default: no; the protocol is then not advertised.
    pub enabled: bool,
    /// Which IP addresses are dialed. Default: global ones.
    pub scope: Scope,
    /// What the swarm's transports can dial. Default: TCP and QUIC.
    pub transports: Vec<Transport>,
    /// Whether there is a way into the IPv4 internet. Default: yes.
    pub ipv4: bool,
    /// Whether there is a way into the IPv6 internet. Default: yes. An address that cannot be dialed for the server's
    /// own lack of IPv6 would be told to be unreachable.
    pub ipv6: bool,
    /// How many requests.
    pub limits: Limits,
    /// How long they may take.
    pub patience: Patience,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            scope: Scope::Global,
            transports: vec![Transport::Tcp, Transport::Quic],
            ipv4: true,
            ipv6: true,
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

/// How many requests are served. Those beyond are answered with `E_REQUEST_REJECTED` before they are read.
///
/// What is remembered for it: the accepted requests of the last minute, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in a minute. Default: 60. More than 6,000 counts as 6,000.
    pub per_minute: usize,
    /// Of them by one peer. Default: 6.
    pub per_peer: usize,
    /// Of them from one IPv4 /24 or IPv6 /64. Default: 12.
    pub per_network: usize,
    /// Of them from one IPv6 /48. Default: 24.
    pub per_site: usize,
    /// Dials in a minute that are paid for, to other IP addresses than the asker's. Default: 12.
    pub paid_per_minute: usize,
    /// Of them into one IPv4 /24 or IPv6 /48. Default: 4.
    pub paid_per_target: usize,
    /// Requests under way. Default: 32.
    pub concurrent: usize,
    /// Of them by one peer. Default: 2.
    pub concurrent_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_minute: 60,
            per_peer: 6,
            per_network: 12,
            per_site: 24,
            paid_per_minute: 12,
            paid_per_target: 4,
            concurrent: 32,
            concurrent_per_peer: 2,
        }
    }
}

/// How long each step may take. Clients give up after some 15 seconds in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the request was read. Default: 5 s.
    pub request: Duration,
    /// Until all the data was paid. Default: 10 s.
    pub payment: Duration,
    /// Longest random pause between payment and dial, so that many servers that were asked at once do not dial at
    /// once. Default: 3 s.
    pub pause: Duration,
    /// For the dial. Default: 8 s. The swarm's transport may go on for as long as it likes, its slot is not free
    /// before.
    pub dial: Duration,
    /// For handing over the nonce. Default: 5 s.
    pub dial_back: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            payment: Duration::from_secs(10),
            pause: Duration::from_secs(3),
            dial: Duration::from_secs(8),
            dial_back: Duration::from_secs(5),
        }
    }
}
