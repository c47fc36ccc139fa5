//! The secure WebSocket: where it listens, what it shows, and the names under which it is told to others.

use std::net::SocketAddr;

use causeway_host::{CertificateFiles, is_dns_name};

use crate::TransportsError;

/// A listener for WebSockets over TLS, which browsers dial from every page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureWebSocket {
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Its certificate; read again when it changes.
    pub certificate: CertificateFiles,
    /// DNS names under which others reach it, `NAME` or `NAME:PORT` where the port is another outside. Without
    /// any, those that the certificate is for.
    pub names: Vec<String>,
}

/// A name and the port behind it, if that is not the one where we listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    name: String,
    port: Option<u16>,
}

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, TransportsError> {
        let invalid = || TransportsError::Name(text.to_owned());
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => {
                let port: u16 = port.parse().map_err(|_| invalid())?;
                (name, Some(port).filter(|port| *port != 0).ok_or_else(invalid)?.into())
            }
            None => (text, None),
        };
        is_dns_name(name).then(|| Self { name: name.to_ascii_lowercase(), port }).ok_or_else(invalid)
    }

    /// The multiaddr of a listener on `port`.
    pub(crate) fn multiaddr(&self, port: u16, dns: &str) -> String {
        format!("/{dns}/{}/tcp/{}/tls/ws", self.name, self.port.unwrap_or(port))
    }
}

/// How names of a listener at `addr` are told: only who listens on IPv6 alone has no IPv4 address to look up.
pub(crate) fn dns_of(addr: SocketAddr) -> &'static str {
    if addr.is_ipv6() && !addr.ip().is_unspecified() { "dns6" } else { "dns4" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_a_port() {
        let told = |text: &str| Name::parse(text).map(|name| name.multiaddr(30_316, "dns4")).ok();

        assert_eq!(told("Relay.example.org").as_deref(), Some("/dns4/relay.example.org/tcp/30316/tls/ws"));
        assert_eq!(told("relay.example.org:443").as_deref(), Some("/dns4/relay.example.org/tcp/443/tls/ws"));
        for bad in ["", "https://a.b", "a.b:", "a.b:0", "a.b:70000", "a/b", ":443", "[::1]:443"] {
            assert_eq!(told(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_family_is_that_of_the_listener() {
        assert_eq!(dns_of(SocketAddr::from(([0; 4], 443))), "dns4");
        assert_eq!(dns_of(SocketAddr::from(([0_u16; 8], 443))), "dns4");
        assert_eq!(dns_of("[2001:db8::1]:443".parse().expect("address")), "dns6");
    }
}
