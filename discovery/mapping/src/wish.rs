//! What is wanted of the router: ports, protocols to ask in, and how often.

use std::{fmt, str::FromStr, time::Duration};

use crate::MappingConfigError;

/// Most ports that one [`Mapper`](crate::Mapper) asks for; routers often keep only a hundred for all homes' devices.
pub const MAX_PORTS: usize = 16;

/// A port that others are to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortWish {
    /// Which kind of packets.
    pub protocol: Protocol,
    /// Where we listen; the same port is wished outside.
    pub internal: u16,
    /// What the router's list shows, behind "Causeway".
    pub name: &'static str,
}

/// The transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The protocol's number in IP headers, as PCP names it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A protocol that routers are asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Port Control Protocol (RFC 6887), for IPv4 and for the IPv6 firewall.
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886), IPv4 only.
    Pmp,
    /// UPnP Internet Gateway Device, IPv4 only.
    Upnp,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::Pmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// The protocols that may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Methods {
    /// Each in turn until one works: PCP, NAT-PMP, UPnP.
    #[default]
    Any,
    /// Only this one.
    Only(Method),
}

impl Methods {
    /// In the order in which they are tried.
    pub(crate) fn for_ipv4(self) -> Vec<Method> {
        match self {
            Self::Any => vec![Method::Pcp, Method::Pmp, Method::Upnp],
            Self::Only(method) => vec![method],
        }
    }

    /// Only PCP opens ports of an IPv6 firewall here.
    pub(crate) fn for_ipv6(self) -> Vec<Method> {
        match self {
            Self::Any | Self::Only(Method::Pcp) => vec![Method::Pcp],
            Self::Only(Method::Pmp | Method::Upnp) => Vec::new(),
        }
    }
}

impl FromStr for Methods {
    type Err = MappingConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "pcp" => Ok(Self::Only(Method::Pcp)),
            "pmp" => Ok(Self::Only(Method::Pmp)),
            "upnp" => Ok(Self::Only(Method::Upnp)),
            other => Err(MappingConfigError::Methods { text: other.chars().take(SHOWN).collect() }),
        }
    }
}

/// So much of a wrong word is shown again.
const SHOWN: usize = 32;

/// How often the router is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The first wait for an answer to a packet; each further one is twice as long (RFC 6886, 3.1).
    pub first_wait: Duration,
    /// How long devices may take to answer a UPnP search.
    pub search: Duration,
    /// The longest that a request over HTTP takes.
    pub http: Duration,
    /// Between two questions whether the router was restarted or has another address.
    pub check: Duration,
    /// UPnP cannot tell that a router was restarted: a mapping is renewed at least this often.
    pub upnp_refresh: Duration,
    /// No mapping is renewed more often (RFC 6887, 11.2.1: four seconds).
    pub least_pause: Duration,
    /// The first wait after a refusal or silence; each further one is twice as long.
    pub first_retry: Duration,
    /// The longest wait after a refusal or silence.
    pub last_retry: Duration,
    /// After a restart of the router was noticed, the next is believed only so much later.
    pub reset_pause: Duration,
    /// Between two looks at our routes.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(250),
            search: Duration::from_secs(3),
            http: Duration::from_secs(4),
            check: Duration::from_secs(60),
            upnp_refresh: Duration::from_secs(5 * 60),
            least_pause: Duration::from_secs(4),
            first_retry: Duration::from_secs(15),
            last_retry: Duration::from_secs(15 * 60),
            reset_pause: Duration::from_secs(30),
            look: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_the_flag_writes_them() {
        assert_eq!("any".parse(), Ok(Methods::Any));
        assert_eq!("upnp".parse(), Ok(Methods::Only(Method::Upnp)));
        assert_eq!("pmp".parse(), Ok(Methods::Only(Method::Pmp)));
        assert_eq!("pcp".parse(), Ok(Methods::Only(Method::Pcp)));
        let wrong = "x".repeat(100).parse::<Methods>();
        assert_eq!(wrong, Err(MappingConfigError::Methods { text: "x".repeat(SHOWN) }));
    }
}
