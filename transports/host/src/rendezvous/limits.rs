//! What a rendezvous point takes and keeps.

use std::time::Duration;

/// Limits of a rendezvous point. What is kept takes at most `registrations` times (`record` + 1 kB): 50 MB by
/// default. Cookies take nothing: they carry all that is to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RendezvousLimits {
    /// Namespaces served, by their beginning: `les/` serves every namespace that starts with it. Others are told
    /// `E_INVALID_NAMESPACE`. Empty: all are served.
    pub namespaces: Vec<String>,
    /// Namespaces with registrations at one time.
    pub live_namespaces: usize,
    /// Registrations in all.
    pub registrations: usize,
    /// Registrations of one peer.
    pub per_peer: usize,
    /// Registrations in one namespace.
    pub per_namespace: usize,
    /// Registrations made from one IPv4 address or IPv6 /64. The loopback is exempt.
    pub per_address: usize,
    /// Shortest time that is registered for.
    pub min_ttl: Duration,
    /// Longest time that is registered for.
    pub max_ttl: Duration,
    /// Addresses in one record.
    pub addresses: usize,
    /// Bytes of one signed record.
    pub record: usize,
    /// Registrations in one answer; who wants more comes again with the cookie.
    pub page: usize,
    /// Requests taken in one minute, from all peers.
    pub requests_per_minute: u32,
    /// Requests taken from one peer in one minute.
    pub requests_per_peer: u32,
    /// Requests taken from one IPv4 address or IPv6 /64 in one minute. The loopback is exempt.
    pub requests_per_address: u32,
}

impl Default for RendezvousLimits {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            live_namespaces: 256,
            registrations: 10_000,
            per_peer: 16,
            per_namespace: 4_000,
            per_address: 64,
            // The specification recommends two hours, which a phone or a desktop often does not last.
            min_ttl: Duration::from_secs(2 * 60),
            max_ttl: Duration::from_secs(72 * 60 * 60),
            addresses: 32,
            record: 4 * 1024,
            page: 100,
            requests_per_minute: 6_000,
            requests_per_peer: 60,
            requests_per_address: 600,
        }
    }
}

impl RendezvousLimits {
    /// Whether registrations in `namespace` are taken.
    pub(crate) fn serves(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|prefix| namespace.starts_with(prefix))
    }
}
