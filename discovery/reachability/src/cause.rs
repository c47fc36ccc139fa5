//! Why a listener is reached or not: the rows of the advice.

use std::net::IpAddr;

/// Why a listener is reached or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Others dialed it and got through.
    DialedBack,
    /// Others dialed a port that the router opened, and got through.
    MappedAndDialedBack {
        /// How the router was asked.
        method: String,
        /// The port outside.
        port: u16,
    },
    /// The router opened a port, and nobody has tested it.
    MappedUntested {
        /// How the router was asked.
        method: String,
        /// The port outside.
        port: u16,
    },
    /// Strangers came by themselves.
    StrangersCame,
    /// The same port for every peer, and none opened.
    EndpointIndependent,
    /// Another port for every peer (symmetric).
    EndpointDependent,
    /// The router's address outside is not the home's alone.
    Shared {
        /// That address, where it is known.
        outside: Option<IpAddr>,
    },
    /// A global IPv6 address, and nobody gets through.
    Ipv6Firewall,
    /// A public IPv4 address, and nobody gets through.
    Ipv4Firewall,
    /// UDP does not work here.
    UdpBlocked,
    /// Nothing works here.
    CaptivePortal,
    /// The user's own setting.
    OwnSetting {
        /// The setting, as it is written on the command line.
        setting: String,
    },
    /// Nobody gets through, and it is not known why.
    NotReached,
    /// libp2p's port at the same address shows it.
    Neighbour,
    /// Nobody has tested it.
    Untested,
}

impl Cause {
    /// Which of several causes a person should hear of first: the lowest. `shared`: IPv4 cannot be helped, so what can
    /// be done for IPv6 is worth most.
    pub(crate) fn urgency(&self, shared: bool) -> u8 {
        match self {
            Self::OwnSetting { .. } => 0,
            Self::CaptivePortal => 1,
            Self::UdpBlocked => 2,
            Self::Ipv6Firewall if shared => 3,
            Self::Shared { .. } => 4,
            Self::EndpointDependent => 5,
            Self::EndpointIndependent => 6,
            Self::Ipv4Firewall => 7,
            Self::Ipv6Firewall => 8,
            Self::NotReached => 9,
            Self::MappedUntested { .. } => 10,
            Self::Neighbour | Self::Untested => 11,
            Self::StrangersCame | Self::DialedBack | Self::MappedAndDialedBack { .. } => 12,
        }
    }
}
