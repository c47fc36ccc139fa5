//! Allow and deny lists of peers and networks, one meaning of them for both stacks.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use causeway_wire::{NodeKey, PeerId};

use crate::{node_key, parse_peer_id};

/// An IP network; one address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    /// With all bits behind the prefix zero; never an IPv4 address mapped into IPv6.
    network: IpAddr,
    prefix: u8,
}

/// What is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network; it should look like 203.0.113.0/24, 2001:db8::/32 or 203.0.113.7")]
pub struct InvalidSubnet(String);

/// What is neither a peer nor a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither a peer nor a network; it should look like 16Uiu2…, 203.0.113.0/24, or a node key of 128 hex \
     characters"
)]
pub struct InvalidListed(String);

impl Subnet {
    /// The network of `ip` with a prefix of so many bits; `None` if the address has fewer.
    pub fn new(ip: IpAddr, prefix: u8) -> Option<Self> {
        let (ip, prefix) = match ip.to_canonical() {
            IpAddr::V4(mapped) if ip.is_ipv6() => (IpAddr::V4(mapped), prefix.checked_sub(96)?),
            same => (same, prefix),
        };
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then(|| Self { network: masked(ip, prefix), prefix })
    }

    /// Whether `ip` is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        masked(ip.to_canonical(), self.prefix) == self.network
    }
}

/// `ip` with only the first `prefix` bits; an address with fewer stays as it is.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let hidden = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !hidden))
        }
        IpAddr::V6(ip) => {
            let hidden = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !hidden))
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| invalid())?;
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        Self::new(ip, prefix.unwrap_or(whole)).ok_or_else(invalid)
    }
}

/// One line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A peer by its id. A node key, and a libp2p id made from one, mean the same peer on both stacks.
    Peer(PeerId),
    /// Everybody in a network.
    Subnet(Subnet),
}

impl FromStr for Listed {
    type Err = InvalidListed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(subnet) = text.parse() {
            return Ok(Self::Subnet(subnet));
        }
        let hex = text.strip_prefix("0x").unwrap_or(text);
        if hex.len() == 128
            && let Ok(key) = hex.parse()
        {
            return Ok(Self::Peer(PeerId::devp2p(NodeKey(key))));
        }
        parse_peer_id(text).map(Self::Peer).ok_or_else(|| InvalidListed(text.to_owned()))
    }
}

/// Who is let in and who is not, in both directions. Without entries everybody is.
///
/// A peer that is denied is never let in. A network that is denied is refused before any handshake, so an allowed
/// peer in it is refused too; an allowed network within it is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Allowed networks are exceptions to denied ones and are exempt from the limits per address.
    pub allow: Vec<Listed>,
    /// Denied ones.
    pub deny: Vec<Listed>,
    /// Whether nobody else than the allowed is let in.
    pub only_allowed: bool,
}

/// Why the lists refuse somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The peer is denied.
    #[error("the peer is on our deny list")]
    Peer,
    /// The network is denied.
    #[error("{0} is on our deny list")]
    Subnet(Subnet),
    /// Only the allowed are let in, and it is not among them.
    #[error("it is not on our allow list, and nobody else is let in")]
    NotAllowed,
}

/// [`Lists`] made ready to be asked at every connection: the cost does not grow with the number of entries.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    allow: Set,
    deny: Set,
    only_allowed: bool,
}

/// The rules of a host, for those who look at them without being told when they change.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedRules(Arc<RwLock<Arc<Rules>>>);

impl SharedRules {
    pub(crate) fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

#[derive(Clone, Debug, Default)]
struct Set {
    keys: HashSet<NodeKey>,
    /// Peers without a node key.
    ids: HashSet<PeerId>,
    /// By length of the prefix.
    networks: BTreeMap<u8, HashSet<IpAddr>>,
}

impl Set {
    fn new(listed: &[Listed]) -> Self {
        let mut set = Self::default();
        for one in listed {
            match one {
                Listed::Peer(peer) => match node_key(peer) {
                    Some(key) => drop(set.keys.insert(key)),
                    None => drop(set.ids.insert(*peer)),
                },
                Listed::Subnet(Subnet { network, prefix }) => {
                    set.networks.entry(*prefix).or_default().insert(*network);
                }
            }
        }
        set
    }

    fn has_peer(&self, peer: &PeerId) -> bool {
        let named = || node_key(peer).is_some_and(|key| self.keys.contains(&key));
        self.ids.contains(peer) || (!self.keys.is_empty() && named())
    }

    fn subnet_of(&self, ip: IpAddr) -> Option<Subnet> {
        let ip = ip.to_canonical();
        self.networks.iter().find_map(|(prefix, networks)| {
            let network = masked(ip, *prefix);
            networks.contains(&network).then_some(Subnet { network, prefix: *prefix })
        })
    }
}

impl Rules {
    /// What `lists` mean.
    pub fn new(lists: &Lists) -> Self {
        Self { allow: Set::new(&lists.allow), deny: Set::new(&lists.deny), only_allowed: lists.only_allowed }
    }

    /// Whether somebody from `ip` may show who he is.
    ///
    /// # Errors
    /// If whoever it is would be refused.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), Denied> {
        if self.exempts(ip) {
            return Ok(());
        }
        if let Some(subnet) = self.deny.subnet_of(ip) {
            return Err(Denied::Subnet(subnet));
        }
        let nobody = self.allow.keys.is_empty() && self.allow.ids.is_empty();
        if self.only_allowed && nobody { Err(Denied::NotAllowed) } else { Ok(()) }
    }

    /// Whether this peer may be connected, from or at `ip` if that is known.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn check(&self, peer: &PeerId, ip: Option<IpAddr>) -> Result<(), Denied> {
        if self.deny.has_peer(peer) {
            return Err(Denied::Peer);
        }
        if let Some(ip) = ip {
            self.check_ip(ip)?;
        }
        if !self.only_allowed || self.allow.has_peer(peer) || ip.is_some_and(|ip| self.exempts(ip)) {
            Ok(())
        } else {
            Err(Denied::NotAllowed)
        }
    }

    /// Whether the limits per address do not concern `ip`.
    pub fn exempts(&self, ip: IpAddr) -> bool {
        self.allow.subnet_of(ip).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peer_id_of, peer_id_text};

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("ip")
    }

    fn listed(texts: &[&str]) -> Vec<Listed> {
        texts.iter().map(|text| text.parse().expect("listed")).collect()
    }

    #[test]
    fn networks_are_read_and_contain_their_addresses() {
        for (text, shown, inside, outside) in [
            ("203.0.113.77/24", "203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.7/32", "::ffff:203.0.113.7", "203.0.113.8"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24", "203.0.113.1", "::cb00:7101"),
            ("2001:db8:1:ff00::/56", "2001:db8:1:ff00::/56", "2001:db8:1:ffff::1", "2001:db8:1:fe00::1"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "::/0", "2001:db8::1", "0.0.0.0"),
        ] {
            let subnet: Subnet = text.parse().expect(text);
            assert_eq!(subnet.to_string(), shown);
            assert!(subnet.contains(ip(inside)), "{text}");
            assert!(!subnet.contains(ip(outside)), "{text}");
        }
        for text in
            ["", "203.0.113.0/33", "2001:db8::/129", "203.0.113.0/-1", "::ffff:1.2.3.4/90", "a/8", "1/"]
        {
            assert_eq!(text.parse::<Subnet>(), Err(InvalidSubnet(text.to_owned())));
        }
    }

    #[test]
    fn a_denied_peer_is_denied_on_both_stacks_and_everywhere() {
        let light = peer_id_of(&[7; 32]).expect("key");
        let full = PeerId::devp2p(node_key(&light).expect("secp256k1"));
        for text in [peer_id_text(&light), peer_id_text(&full).replace("0x", "")] {
            let lists = Lists { deny: listed(&[&text]), allow: listed(&["10.0.0.0/8"]), only_allowed: false };
            let rules = Rules::new(&lists);

            assert_eq!(rules.check(&light, Some(ip("10.0.0.1"))), Err(Denied::Peer), "{text}");
            assert_eq!(rules.check(&full, None), Err(Denied::Peer), "{text}");
            assert_eq!(rules.check(&peer_id_of(&[8; 32]).expect("key"), None), Ok(()));
        }
    }

    #[test]
    fn an_allowed_network_is_an_exception_to_a_denied_one() {
        let lists = Lists {
            deny: listed(&["203.0.113.0/24", "2001:db8::/32"]),
            allow: listed(&["203.0.113.128/25"]),
            only_allowed: false,
        };
        let rules = Rules::new(&lists);

        let denied = "203.0.113.0/24".parse().expect("subnet");
        assert_eq!(rules.check_ip(ip("203.0.113.1")), Err(Denied::Subnet(denied)));
        assert_eq!(rules.check_ip(ip("203.0.113.129")), Ok(()));
        assert!(rules.check_ip(ip("2001:db8:77::1")).is_err());
        assert_eq!(rules.check_ip(ip("192.0.2.1")), Ok(()));
        assert!(rules.exempts(ip("203.0.113.129")) && !rules.exempts(ip("192.0.2.1")));
    }

    #[test]
    fn a_closed_house_lets_only_the_allowed_in() {
        let (friend, stranger) = (peer_id_of(&[7; 32]).expect("key"), peer_id_of(&[8; 32]).expect("key"));
        let by_network =
            Rules::new(&Lists { allow: listed(&["10.0.0.0/8"]), deny: Vec::new(), only_allowed: true });
        assert_eq!(by_network.check_ip(ip("192.0.2.1")), Err(Denied::NotAllowed));
        assert_eq!(by_network.check(&stranger, Some(ip("10.1.1.1"))), Ok(()));

        let by_peer =
            Rules::new(&Lists { allow: vec![Listed::Peer(friend)], deny: Vec::new(), only_allowed: true });
        assert_eq!(by_peer.check_ip(ip("192.0.2.1")), Ok(()), "it may be the friend");
        assert_eq!(by_peer.check(&friend, Some(ip("192.0.2.1"))), Ok(()));
        assert_eq!(by_peer.check(&stranger, Some(ip("192.0.2.1"))), Err(Denied::NotAllowed));
    }

    #[test]
    fn what_is_neither_peer_nor_network_is_named() {
        assert_eq!("nobody".parse::<Listed>(), Err(InvalidListed("nobody".to_owned())));
    }
}
