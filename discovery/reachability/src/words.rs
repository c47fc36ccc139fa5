//! The words for the user: what is the case, and what can be done (deploy guide, section 10).

use std::net::IpAddr;

use crate::{Carrier, Cause, Transport};

/// What the words are about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) transport: Transport,
    /// Our port.
    pub(crate) port: u16,
    /// Whether the other carrier listens at a port with this number, too.
    pub(crate) both: bool,
    /// Where the router's forwarding should lead.
    pub(crate) lan: Option<IpAddr>,
    /// Hole punches that were tried and that worked.
    pub(crate) punched: (u64, u64),
    /// How many dialed, and whether they got through.
    pub(crate) dialed: Option<(u32, bool)>,
}

/// Nothing has to be done.
const DIRECT: &str = "Others reach you directly. Nothing to do.";

/// What a person can do.
pub(crate) fn advice(cause: &Cause, about: &About) -> String {
    let About { transport, port, .. } = about;
    let carrier = transport.carrier();
    let here = about.lan.map_or_else(|| "this machine".to_owned(), |lan| lan.to_string());
    match cause {
        Cause::DialedBack | Cause::StrangersCame => DIRECT.to_owned(),
        Cause::MappedAndDialedBack { port, .. } => {
            format!("{DIRECT} Your router opened port {port} automatically.")
        }
        Cause::MappedUntested { port, .. } => {
            format!(
                "Your router opened port {port} automatically. Nothing to do; other nodes have yet to test it."
            )
        }
        Cause::EndpointIndependent => format!(
            "Works through hole punching for most. For best results enable UPnP or forward {} to {here}.",
            about.ports()
        ),
        Cause::EndpointDependent => format!(
            "Your router changes ports per destination; some devices will use a relay. Forwarding {carrier} {port} \
             fixes this."
        ),
        Cause::Shared { .. } => {
            "Your provider shares one address among many homes (CGNAT) or there are two routers. \
                                 Port forwarding here will not help; use IPv6, ask the provider for a public \
                                 address, or stay relayed."
                .to_owned()
        }
        Cause::Ipv6Firewall => {
            format!("Allow {carrier} {port} inbound to this machine in the router's IPv6 firewall.")
        }
        Cause::Ipv4Firewall => {
            format!("Allow {carrier} {port} inbound to this machine in its firewall, or its provider's.")
        }
        Cause::UdpBlocked => "This network blocks UDP; using WebSocket over TCP. Slower, works.".to_owned(),
        Cause::CaptivePortal => "Sign in to this network first.".to_owned(),
        Cause::OwnSetting { setting } => {
            format!("Your setting {setting} makes listener {transport} unreachable.")
        }
        Cause::NotReached => format!("Enable UPnP or forward {} to {here}.", about.ports()),
        Cause::Neighbour | Cause::Untested => "Nothing to do yet: other nodes have to test it.".to_owned(),
    }
}

/// What is the case.
pub(crate) fn why(cause: &Cause, about: &About) -> String {
    let dialed = match about.dialed {
        Some((peers @ ..=1, through)) => format!("{peers} peer dialed it and {}", outcome(through)),
        Some((peers, through)) => format!("{peers} peers dialed it and {}", outcome(through)),
        None => "nobody has tested it".to_owned(),
    };
    let punched = match about.punched {
        (0, _) => String::new(),
        (tried, worked) => format!("; {worked} of {tried} hole punches worked"),
    };
    match cause {
        Cause::DialedBack => dialed,
        Cause::MappedAndDialedBack { method, port } => {
            format!("the router opened port {port} by {method}; {dialed}")
        }
        Cause::MappedUntested { method, port } => {
            format!("the router opened port {port} by {method}; {dialed}")
        }
        Cause::StrangersCame => "peers that we do not know came by themselves".to_owned(),
        Cause::EndpointIndependent => format!(
            "behind a router that keeps one port for all destinations, and has none opened; {dialed}{punched}"
        ),
        Cause::EndpointDependent => {
            format!("behind a router that takes another port for each destination; {dialed}{punched}")
        }
        Cause::Shared { outside: Some(outside) } => {
            format!("the router's address outside, {outside}, is not public; {dialed}{punched}")
        }
        Cause::Shared { outside: None } => {
            format!("the router has no public address outside; {dialed}{punched}")
        }
        Cause::Ipv6Firewall => format!("the IPv6 address is global; {dialed}{punched}"),
        Cause::Ipv4Firewall => format!("the address is public; {dialed}{punched}"),
        Cause::UdpBlocked => "nothing that was asked over UDP was answered, and TCP works".to_owned(),
        Cause::CaptivePortal => "nothing gets through, over TCP or UDP".to_owned(),
        Cause::OwnSetting { .. } => "only this machine reaches the address that it is bound to".to_owned(),
        Cause::NotReached => format!("{dialed}{punched}"),
        Cause::Neighbour => "libp2p's port at the same address was tested, this one cannot be".to_owned(),
        Cause::Untested => dialed,
    }
}

fn outcome(through: bool) -> &'static str {
    if through { "got through" } else { "did not get through" }
}

impl About {
    /// What is to be forwarded.
    fn ports(&self) -> String {
        let (port, carrier) = (self.port, self.transport.carrier());
        if self.both {
            format!("{} {port} and {} {port}", Carrier::Udp, Carrier::Tcp)
        } else {
            format!("{carrier} {port}")
        }
    }
}
