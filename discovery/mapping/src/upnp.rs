//! UPnP Internet Gateway Device: finds the router's service and asks it.
//!
//! SSDP finds a location, the description there names the service, SOAP over HTTP asks it. The crate `igd-next` does
//! that too; but it fetches whatever an answer to the search names before the caller can judge it, and bounds bodies
//! only at a mebibyte. Here nothing but the router, or a neighbour by its private address, is ever connected to.

mod description;
mod http;
mod soap;
mod ssdp;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tracing::debug;

use self::soap::{Action, Fault};
use crate::{BadAnswer, MappingError, Method, Pace, Path, keeper::Ask, keeper::Granted};

/// Devices that are asked for their description in one search.
const MAX_DEVICES: usize = 4;
/// Other outside ports that are tried when the wished one belongs to somebody else.
const OTHER_PORTS: usize = 3;
/// Outside ports are drawn from here on.
const FIRST_OTHER_PORT: u16 = 20_000;

/// UPnP's codes (WANIPConnection:2, 2.5): the port is somebody else's, in three ways to say it.
const CONFLICT: u16 = 718;
const CONFLICT_WITH_OTHER: u16 = 729;
const NO_PORT_AVAILABLE: u16 = 728;
/// Only mappings without an end are made.
const ONLY_PERMANENT: u16 = 725;
/// Inside and outside must be the same.
const SAME_PORT: u16 = 724;
const NOT_AUTHORIZED: u16 = 606;

/// The service of a router that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    service: &'static str,
    control: Location,
}

/// An address of HTTP, without names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    address: SocketAddrV4,
    /// With the slash at its start.
    path: String,
}

/// Maps a port; gives the device that was found, to be used again.
pub(crate) async fn map(
    ask: &Ask,
    pace: Pace,
    device: Option<Device>,
) -> (Result<Granted, MappingError>, Option<Device>) {
    let device = match device {
        Some(device) => device,
        None => match find(&ask.path, pace).await {
            Ok(device) => device,
            Err(error) => return (Err(error), None),
        },
    };
    let result = map_at(&device, ask, pace).await;
    // A device that does not answer may have another port or description after a restart.
    let gone = matches!(
        result,
        Err(MappingError::Link { .. } | MappingError::NoAnswer { .. } | MappingError::BadAnswer { .. })
    );
    (result, (!gone).then_some(device))
}

/// Deletes the mapping of an outside port.
pub(crate) async fn delete(device: &Device, ask: &Ask, pace: Pace) -> Result<(), MappingError> {
    let action = Action::delete(ask.wish.protocol, ask.external.port());
    call(device, &ask.path, &action, pace).await?.map(|_| ()).map_err(|fault| refused(ask, fault))
}

/// The router's outside address.
pub(crate) async fn external_address(
    device: &Device,
    path: &Path,
    pace: Pace,
) -> Result<Ipv4Addr, MappingError> {
    let answer = call(device, path, &Action::external_address(), pace).await?;
    let gateway = path.gateway();
    match answer {
        Ok(answer) => match answer.text("NewExternalIPAddress").map(str::trim) {
            // Some say nothing while they are not connected.
            Some("") | None => Err(MappingError::NoOutsideAddress { gateway }),
            Some(text) => text.parse().map_err(|_| bad(path, BadAnswer::Address)),
        },
        Err(Fault(NOT_AUTHORIZED)) => Err(MappingError::NotAllowed { gateway, method: Method::Upnp }),
        Err(Fault(_)) => Err(MappingError::NoOutsideAddress { gateway }),
    }
}

async fn map_at(device: &Device, ask: &Ask, pace: Pace) -> Result<Granted, MappingError> {
    let address = external_address(device, &ask.path, pace).await?;
    let IpAddr::V4(internal) = ask.path.address else {
        return Err(bad(&ask.path, BadAnswer::Address));
    };
    let internal = SocketAddrV4::new(internal, ask.wish.internal);
    let (mut port, mut lifetime) = (ask.external.port(), ask.lifetime);
    let mut others = OTHER_PORTS;
    loop {
        let action = Action::add(&ask.wish, port, internal, lifetime);
        match call(device, &ask.path, &action, pace).await? {
            Ok(_) => {
                let external = SocketAddr::new(address.into(), port);
                let lifetime = (lifetime > 0).then(|| Duration::from_secs(lifetime.into()));
                return Ok(Granted { external, lifetime, epoch: None });
            }
            Err(Fault(ONLY_PERMANENT)) if lifetime > 0 => lifetime = 0,
            Err(Fault(CONFLICT | CONFLICT_WITH_OTHER)) if others > 0 => {
                others -= 1;
                port = rand::random_range(FIRST_OTHER_PORT..=u16::MAX);
            }
            Err(fault) => return Err(refused(ask, fault)),
        }
    }
}

fn refused(ask: &Ask, Fault(code): Fault) -> MappingError {
    let (gateway, method) = (ask.path.gateway(), Method::Upnp);
    match code {
        CONFLICT | CONFLICT_WITH_OTHER | SAME_PORT => {
            MappingError::PortTaken { gateway, port: ask.external.port() }
        }
        NO_PORT_AVAILABLE => MappingError::Full { gateway, method },
        NOT_AUTHORIZED => MappingError::NotAllowed { gateway, method },
        other => bad(&ask.path, BadAnswer::Result(other)),
    }
}

/// Searches the router by itself, then among all devices of the network.
pub(crate) async fn find(path: &Path, pace: Pace) -> Result<Device, MappingError> {
    let gateway = path.gateway();
    let mut worst = MappingError::NoAnswer { gateway, method: Method::Upnp };
    for to in &path.search {
        let wait = if to.ip().is_multicast() { pace.search } else { pace.first_wait * 4 };
        let locations = match ssdp::search(path, *to, wait).await {
            Ok(locations) => locations,
            Err(error) => {
                let kind = error.kind();
                worst = worst.or_worse(MappingError::Link { gateway, method: Method::Upnp, kind });
                continue;
            }
        };
        for location in locations.into_iter().take(MAX_DEVICES) {
            match describe(&location, path, pace).await {
                Ok(device) => return Ok(device),
                Err(error) => {
                    debug!(%error, "passed over a UPnP device");
                    worst = worst.or_worse(error);
                }
            }
        }
    }
    Err(worst)
}

/// Reads a device's description. Of several connections, the one that is connected is taken, else the first.
async fn describe(location: &Location, path: &Path, pace: Pace) -> Result<Device, MappingError> {
    let page = http::get(location, pace.http).await.map_err(|error| error.of(path))?;
    let devices = description::read(&page, location).ok_or_else(|| bad(path, BadAnswer::Format))?;
    for device in &devices {
        if let Ok(address) = external_address(device, path, pace).await
            && !address.is_unspecified()
        {
            return Ok(device.clone());
        }
    }
    devices.into_iter().next().ok_or_else(|| bad(path, BadAnswer::Format))
}

async fn call(
    device: &Device,
    path: &Path,
    action: &Action,
    pace: Pace,
) -> Result<Result<soap::Answer, Fault>, MappingError> {
    let body = action.envelope(device.service);
    let header = action.header(device.service);
    let page = http::post(&device.control, &header, body, pace.http).await.map_err(|error| error.of(path))?;
    soap::read(&page).ok_or_else(|| bad(path, BadAnswer::Format))
}

fn bad(path: &Path, what: BadAnswer) -> MappingError {
    MappingError::BadAnswer { gateway: path.gateway(), method: Method::Upnp, what }
}

impl Location {
    /// Longest path of a router's page.
    const MAX_PATH: usize = 512;

    /// Reads `http://1.2.3.4:5/path`; names are not resolved for anybody.
    fn parse(url: &str) -> Option<Self> {
        let scheme = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"))?;
        let rest = url.get(scheme.len()..)?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let address = authority
            .parse::<SocketAddrV4>()
            .or_else(|_| authority.parse().map(|address| SocketAddrV4::new(address, 80)))
            .ok()?;
        Self::new(address, path)
    }

    fn new(address: SocketAddrV4, path: &str) -> Option<Self> {
        let plain = path.bytes().all(|octet| octet.is_ascii_graphic());
        let fits = path.len() <= Self::MAX_PATH && address.port() != 0;
        (plain && fits).then(|| Self { address, path: path.to_owned() })
    }

    /// What a reference on this page means; to another machine, nothing.
    fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        if reference.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
            return Self::parse(reference).filter(|other| other.address.ip() == self.address.ip());
        }
        if reference.is_empty() || reference.starts_with("//") {
            return None;
        }
        if reference.starts_with('/') {
            return Self::new(self.address, reference);
        }
        let folder = self.path.rfind('/').and_then(|at| self.path.get(..=at)).unwrap_or("/");
        Self::new(self.address, &format!("{folder}{reference}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Option<(String, String)> {
        Location::parse(url).map(|location| (location.address.to_string(), location.path))
    }

    #[test]
    fn locations_are_addresses_and_never_names() {
        let found = |address: &str, path: &str| Some((address.to_owned(), path.to_owned()));
        assert_eq!(at("http://192.168.1.1:5000/root.xml"), found("192.168.1.1:5000", "/root.xml"));
        assert_eq!(at("HTTP://192.168.1.1"), found("192.168.1.1:80", "/"));
        for wrong in [
            "https://192.168.1.1/",
            "http://router.home/",
            "http://u@192.168.1.1/",
            "http://192.168.1.1:0/",
            "http://",
            "192.168.1.1",
            "http://[::1]/",
            "http://192.168.1.1:99999/",
            "http://1.2.3.4/a b",
            "http://1.2.3.4/a\r\nb",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
        assert_eq!(at(&format!("http://1.2.3.4/{}", "x".repeat(Location::MAX_PATH))), None);
    }

    #[test]
    fn references_stay_on_the_machine() {
        let page = Location::parse("http://192.168.1.1:5000/igd/root.xml").expect("a location");
        let joined = |reference: &str| page.join(reference).map(|location| location.path);

        assert_eq!(joined("/ctl/IPConn").as_deref(), Some("/ctl/IPConn"));
        assert_eq!(joined("ctl").as_deref(), Some("/igd/ctl"));
        assert_eq!(joined("http://192.168.1.1:1/ctl").as_deref(), Some("/ctl"));
        for wrong in ["http://192.168.1.2:5000/ctl", "//192.168.1.2/ctl", "", "http://evil.example/"] {
            assert_eq!(joined(wrong), None, "{wrong}");
        }
    }
}
