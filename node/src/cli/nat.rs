//! How others come to know our address: `--nat`.

use std::{net::IpAddr, str::FromStr};

use causeway_mapping::Methods;

/// How others come to know our address, and whether the router is asked to open our ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// What enough peers see; the router is asked to open our ports by these protocols.
    Map(Methods),
    /// Only addresses that we are bound to.
    None,
    /// The user says; ports outside are those inside.
    Fixed(IpAddr),
}

impl FromStr for Nat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(ip) = text.strip_prefix("extip:") {
            return ip.parse().map(Self::Fixed).map_err(|_| format!("`{ip}` is not an IP address"));
        }
        text.parse()
            .map(Self::Map)
            .map_err(|_| format!("`{text}` is none of any, none, upnp, pmp, pcp, extip:IP"))
    }
}

#[cfg(test)]
mod tests {
    use causeway_mapping::Method;

    use super::*;

    #[test]
    fn each_word_is_read_and_others_are_refused_with_those_that_are_known() {
        assert_eq!("any".parse(), Ok(Nat::Map(Methods::Any)));
        assert_eq!("upnp".parse(), Ok(Nat::Map(Methods::Only(Method::Upnp))));
        assert_eq!("pmp".parse(), Ok(Nat::Map(Methods::Only(Method::Pmp))));
        assert_eq!("pcp".parse(), Ok(Nat::Map(Methods::Only(Method::Pcp))));
        assert_eq!("none".parse(), Ok(Nat::None));
        assert_eq!("extip:192.0.2.1".parse(), Ok(Nat::Fixed([192, 0, 2, 1].into())));
        assert_eq!("extip:home".parse::<Nat>(), Err("`home` is not an IP address".to_owned()));
        assert!("natpmp".parse::<Nat>().expect_err("refused").contains("pmp, pcp, extip:IP"));
    }
}
