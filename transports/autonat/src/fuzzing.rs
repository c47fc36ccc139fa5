//! Entrances for fuzz targets: what strangers send.

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

use crate::{
    Scope,
    address::Target,
    message::{DialBack, DialBackResponse, MAX_ADDRESSES, Message},
};

/// Any bytes give a message or an error; what was read is written so that it is read again.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        if let Message::Ask(request) = &message {
            assert!(request.addresses.len() <= MAX_ADDRESSES);
        }
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
    }
    if let Ok(message) = DialBack::decode(bytes) {
        assert_eq!(DialBack::decode(&message.encode()), Ok(message));
    }
    let _ = DialBackResponse::decode(bytes);
}

/// Any bytes give an address to be tested, which holds exactly one IP address, or none.
pub fn address(bytes: &[u8]) {
    let Ok(address) = Multiaddr::try_from(bytes.to_vec()) else { return };
    let peer = PeerId::from_bytes(&[0, 1, 0]).expect("an identity hash of one byte");
    if let Ok(target) = Target::parse(&address, peer) {
        let text = target.address.to_string();
        assert_eq!(text.matches("/ip").count(), 1, "{text}");
        assert!(!text.contains("dns") && !text.contains("p2p"), "{text}");
        assert!(!Scope::Global.allows(target.ip) || Scope::Loopback.allows(target.ip));
    }
}
