//! Asks the home router to open our ports, keeps them open, and closes them at the end.
//!
//! Owns: PCP, NAT-PMP and UPnP as a client, which of them is used, renewal, what the router said and what to do about
//! it.
//! Must not know: what listens at the ports, who is told of the addresses.
//! Start at: [`Mapper`].  Told by: the tests at the end of each file, `tests/`, the interop row `port-mapping`.
//!
//! What a router or a neighbour in the home network says is bounded in size, count and time, and believed only from
//! the router's own address. An outside address that is not public is told and not advertised: there is another
//! router behind the router.

mod ask;
mod datagram;
mod epoch;
mod error;
mod keeper;
mod mapper;
mod network;
mod pcp;
mod pmp;
mod reach;
mod status;
mod upnp;
mod wish;

pub use error::{BadAnswer, MappingConfigError, MappingError};
pub use mapper::{FAREWELL, Mapper, MappingConfig, Routes};
pub use network::{Network, Path};
pub use reach::is_public;
pub use status::{Mapping, MappingStatus, PortState, PortStatus};
pub use wish::{MAX_PORTS, Method, Methods, Pace, PortWish, Protocol};
