//! Why a port is not open, and what a person can do.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use crate::{MAX_PORTS, Method, PortWish};

/// The configuration cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingConfigError {
    /// More ports than are asked for.
    #[error("{count} ports to map; at most {MAX_PORTS}")]
    TooManyPorts {
        /// How many were named.
        count: usize,
    },
    /// A port without a number: it is not bound yet.
    #[error("port 0 of {name:?} cannot be mapped; bind it first")]
    PortZero {
        /// Whose port.
        name: &'static str,
    },
    /// A mapping must outlive the pause between renewals.
    #[error("a lifetime of {seconds} s; from 1 s to 24 h")]
    Lifetime {
        /// What was asked.
        seconds: u64,
    },
    /// No such word.
    #[error("{text:?} is none of any, upnp, pmp, pcp")]
    Methods {
        /// What was written.
        text: String,
    },
}

/// Why a port is not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// This machine has no route to the outside in this family.
    #[error("no router: this machine has no default route")]
    NoGateway,
    /// Silence, or an answer that says the protocol is not spoken.
    #[error("the router at {gateway} does not answer {method}")]
    NoAnswer {
        /// The router.
        gateway: IpAddr,
        /// The protocol that was tried last.
        method: Method,
    },
    /// The router knows the protocol and says no.
    #[error("the router at {gateway} refuses to open ports by {method}")]
    NotAllowed {
        /// The router.
        gateway: IpAddr,
        /// In which protocol.
        method: Method,
    },
    /// The router has no room for a further mapping.
    #[error("the router at {gateway} has no room for further ports by {method}")]
    Full {
        /// The router.
        gateway: IpAddr,
        /// In which protocol.
        method: Method,
    },
    /// Another device of the home has the port, and the router gives no other.
    #[error("port {port} of the router at {gateway} belongs to another device")]
    PortTaken {
        /// The router.
        gateway: IpAddr,
        /// The outside port.
        port: u16,
    },
    /// The router says that it has no address outside: it is offline, or it does not count the one it has. miniupnpd
    /// speaks so while its address is private: by UPnP it has 0.0.0.0, by NAT-PMP its network failed, by PCP it has
    /// no room.
    #[error("the router at {gateway} has no public address outside")]
    NoOutsideAddress {
        /// The router.
        gateway: IpAddr,
    },
    /// The router's own outside address is not public: the provider shares one, or there is a second router.
    #[error("the router at {gateway} has the address {external} outside, which is not public")]
    DoubleNat {
        /// The router.
        gateway: IpAddr,
        /// Where the port is open, for whoever is between the two routers.
        external: SocketAddr,
    },
    /// The router sees another address of ours than we do: something translates between us and it.
    #[error("there is a further router between this machine and the one at {gateway}")]
    NotNextToGateway {
        /// The router that answered.
        gateway: IpAddr,
    },
    /// The router answers, but not as the protocol says.
    #[error("the router at {gateway} answers {method} wrongly: {what}")]
    BadAnswer {
        /// The router.
        gateway: IpAddr,
        /// In which protocol.
        method: Method,
        /// What is wrong with it.
        what: BadAnswer,
    },
    /// Our side: no socket, no route.
    #[error("{method} could not be sent to the router at {gateway}: {kind}")]
    Link {
        /// The router.
        gateway: IpAddr,
        /// In which protocol.
        method: Method,
        /// What the system said.
        kind: io::ErrorKind,
    },
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// A number for which the protocol has no meaning, or one that says our question was wrong.
    #[error("result {0}")]
    Result(u16),
    /// A mapping that ends at once.
    #[error("a mapping without a lifetime")]
    NoLifetime,
    /// A mapping of port 0.
    #[error("a mapping of port 0")]
    NoPort,
    /// An address of the wrong kind.
    #[error("an outside address that cannot be one")]
    Address,
    /// More bytes than such an answer has.
    #[error("an answer that is too long")]
    TooLong,
    /// Not the format of the protocol.
    #[error("not in the protocol's format")]
    Format,
}

/// What a person can do about a shared or private outside address.
const NO_PUBLIC_ADDRESS: &str = "Your provider shares one address among many homes (CGNAT) or there are two routers. \
    Port forwarding here will not help; use IPv6, ask the provider for a public address, or stay relayed.";

impl MappingError {
    /// What a person can do, in a sentence or two.
    pub fn advice(&self, wish: &PortWish, internal: Option<IpAddr>) -> String {
        let PortWish { protocol, internal: port, name: _ } = wish;
        let here = internal.map_or_else(|| "this machine".to_owned(), |address| address.to_string());
        match self {
            Self::NoGateway => "Connect this machine to a network with a router.".to_owned(),
            Self::NoAnswer { .. } => format!(
                "Enable UPnP, NAT-PMP or PCP in the router, or forward {protocol} {port} to {here} there."
            ),
            Self::NotAllowed { gateway, .. } => format!(
                "Allow this machine to open ports in the router at {gateway} (often \"UPnP\" or \"secure mode\"), \
                 or forward {protocol} {port} to {here} there."
            ),
            Self::Full { gateway, .. } => {
                format!("Delete port mappings that nobody needs in the router at {gateway}, or restart it.")
            }
            Self::PortTaken { port: taken, .. } => format!(
                "Choose another port than {taken}, or delete the other device's mapping in the router."
            ),
            Self::NoOutsideAddress { .. } => {
                format!("If the router is online, it is like this: {NO_PUBLIC_ADDRESS}")
            }
            Self::DoubleNat { .. } => NO_PUBLIC_ADDRESS.to_owned(),
            Self::NotNextToGateway { .. } => {
                format!("Forward {protocol} {port} in each router between this machine and the outside.")
            }
            Self::BadAnswer { .. } | Self::Link { .. } => {
                format!("Forward {protocol} {port} to {here} in the router by hand.")
            }
        }
    }

    /// Whether another port could still be mapped by the same protocol.
    pub(crate) fn is_about_one_port(&self) -> bool {
        matches!(self, Self::PortTaken { .. })
    }

    /// Of two protocols' errors, the one that tells a person more.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::NoGateway => 0,
            Self::NoAnswer { .. } => 1,
            Self::Link { .. } => 2,
            Self::BadAnswer { .. } => 3,
            Self::NotNextToGateway { .. } => 4,
            Self::Full { .. } => 5,
            Self::NoOutsideAddress { .. } => 6,
            Self::PortTaken { .. } => 7,
            Self::NotAllowed { .. } => 8,
            Self::DoubleNat { .. } => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;

    /// What miniupnpd 2.3.1 answers while its outside address is private.
    #[test]
    fn a_private_outside_address_is_seen_through() {
        let gateway = [192, 168, 1, 1].into();
        let by_pcp = MappingError::Full { gateway, method: Method::Pcp };
        let by_others = MappingError::NoOutsideAddress { gateway };

        let told = by_pcp.or_worse(by_others.clone()).or_worse(by_others.clone());

        assert_eq!(told, by_others);
    }

    #[test]
    fn advice_names_port_and_machine() {
        let wish = PortWish { protocol: Protocol::Udp, internal: 4001, name: "quic" };
        let gateway = [192, 168, 1, 1].into();
        let error = MappingError::NoAnswer { gateway, method: Method::Upnp };

        let advice = error.advice(&wish, Some([192, 168, 1, 10].into()));

        assert!(advice.ends_with("forward UDP 4001 to 192.168.1.10 there."), "{advice}");
        assert!(MappingError::NoOutsideAddress { gateway }.advice(&wish, None).contains("CGNAT"));
    }
}
