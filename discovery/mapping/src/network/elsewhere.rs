//! Routes and addresses of systems other than Linux.

use std::net::IpAddr;

use super::{Network, Path};
use crate::is_public;

pub(crate) fn look() -> Network {
    let Ok(interface) = netdev::get_default_interface() else { return Network::default() };
    let Some(router) = &interface.gateway else { return Network::default() };
    let ipv4 = router.ipv4.first().and_then(|gateway| {
        let ours = interface.ipv4.iter().find(|network| network.contains(gateway))?;
        Some(Path::new(IpAddr::V4(*gateway), 0, ours.addr().into(), ours.prefix_len()))
    });
    let ipv6 = router.ipv6.first().and_then(|gateway| {
        let ours = interface.ipv6.iter().find(|network| is_public(network.addr().into()))?;
        Some(Path::new(IpAddr::V6(*gateway), interface.index, ours.addr().into(), ours.prefix_len()))
    });
    Network { ipv4, ipv6 }
}
