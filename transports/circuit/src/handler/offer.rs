//! The hop protocol, while it is offered.

use std::convert::Infallible;

use futures::future::{Ready, ready};
use libp2p_core::upgrade::{InboundUpgrade, UpgradeInfo};
use libp2p_swarm::StreamProtocol;

/// Yields the stream. Offers nothing if the service is off.
#[derive(Clone, Debug)]
pub struct Offer {
    protocol: Option<StreamProtocol>,
}

impl Offer {
    pub(super) fn new(protocol: Option<StreamProtocol>) -> Self {
        Self { protocol }
    }
}

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.protocol.clone().into_iter()
    }
}

impl<C> InboundUpgrade<C> for Offer {
    type Output = C;
    type Error = Infallible;
    type Future = Ready<Result<C, Infallible>>;

    fn upgrade_inbound(self, stream: C, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
