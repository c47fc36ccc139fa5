//! What the router did for us, as one value.

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use crate::{MappingError, Method, PortWish, Protocol};

/// Each port that was wished, with what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingStatus {
    /// In the order of the wishes.
    pub ports: Vec<PortStatus>,
}

impl MappingStatus {
    /// The addresses at which others reach us now.
    pub fn external(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.mappings().map(|(wish, mapping)| (wish.protocol, mapping.external))
    }

    /// The ports that are open, in both families.
    pub fn mappings(&self) -> impl Iterator<Item = (&PortWish, &Mapping)> {
        self.ports.iter().flat_map(|port| {
            [&port.ipv4, &port.ipv6].into_iter().filter_map(|state| match state {
                PortState::Mapped(mapping) => Some((&port.wish, mapping)),
                PortState::Asking | PortState::Unneeded | PortState::Failed(_) | PortState::Off => None,
            })
        })
    }

    /// Whether anything is still being asked for the first time.
    pub fn is_settled(&self) -> bool {
        self.ports.iter().all(|port| ![&port.ipv4, &port.ipv6].contains(&&PortState::Asking))
    }
}

/// A wish, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// What was wished.
    pub wish: PortWish,
    /// The port in the router's IPv4 address.
    pub ipv4: PortState,
    /// The port in the router's IPv6 firewall.
    pub ipv6: PortState,
}

/// A port in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// The router was asked, or will be in a moment.
    Asking,
    /// It is open.
    Mapped(Mapping),
    /// This machine's own address is public: there is nothing to map.
    Unneeded,
    /// It is not open; it is tried again.
    Failed(MappingError),
    /// None of the chosen protocols is for this family, or the mapper ended.
    Off,
}

/// An open port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where others reach it.
    pub external: SocketAddr,
    /// What it leads to.
    pub internal: SocketAddr,
    /// How it was asked for.
    pub method: Method,
    /// Who opened it.
    pub gateway: IpAddr,
    /// When it ends unless it is renewed; `None` if the router keeps it until it is deleted.
    pub expires: Option<Instant>,
}
