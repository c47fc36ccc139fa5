//! The arguments that say how a relay is reached through routers, and whom it helps to be.

use causeway_transports::{CircuitService, ReachConfig};
use clap::{Args, ValueEnum};

/// How a relay is reached, and for whom it relays circuits.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ReachArgs {
    /// Relays at which to keep a place, as multiaddrs (/ip4/…/p2p/16Uiu2…): who cannot reach us directly comes through
    /// them. Others are found; these come first. Repeat the flag or separate with commas.
    #[arg(long = "relay", value_name = "MULTIADDR", value_delimiter = ',', env = "CAUSEWAY_RELAY")]
    pub(crate) relays: Vec<String>,
    /// At how many relays a place is kept while we are not reached directly.
    #[arg(long = "relay.places", value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=8), env = "CAUSEWAY_RELAY__PLACES")]
    pub(crate) places: u8,
    /// Whether circuits are relayed for peers behind routers: `auto` does so once others have reached us directly.
    #[arg(long = "relay.service", value_name = "WHEN", value_enum, default_value_t = Service::Auto, env = "CAUSEWAY_RELAY__SERVICE")]
    pub(crate) service: Service,
}

/// When circuits are relayed for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Once others have reached us directly.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl ReachArgs {
    /// What the transports are told; `allow_private`: in closed networks.
    pub(crate) fn config(&self, allow_private: bool) -> ReachConfig {
        ReachConfig {
            relays: self.relays.clone(),
            reservations: usize::from(self.places),
            circuits: match self.service {
                Service::Auto => CircuitService::WhenReachable,
                Service::On => CircuitService::Always,
                Service::Off => CircuitService::Never,
            },
            dial_back: true,
            allow_private,
        }
    }
}
