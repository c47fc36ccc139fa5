//! What a stranger's bytes reach first, for fuzz targets and tests. Not part of the interface.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use dimpl::{Dtls, Output};

use crate::{
    certificate::Certificate,
    dcep,
    halves::Halves,
    message::{Decoder, MAX_FRAME},
    stun::{self, Request},
};

/// A datagram that looks like STUN; the answer, if there is one, is not longer.
pub fn stun(datagram: &[u8], from: SocketAddr) -> bool {
    let Ok(request) = Request::read(datagram) else { return false };
    assert!(request.answer(from).len() <= datagram.len(), "the answer is longer than the request");
    true
}

/// A binding request, as clients make it.
pub fn stun_request(fragment: &str) -> Vec<u8> {
    stun::request(fragment, true)
}

/// The messages of a channel, in pieces of `step`: frames, and what their flags do to a stream.
pub fn frames(bytes: &[u8], step: u16) {
    let (mut decoder, mut halves) = (Decoder::default(), Halves::new());
    for piece in bytes.chunks(usize::from(step.max(1))) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    assert!(frame.payload.len() <= MAX_FRAME, "a frame is too long");
                    frame.flag.and_then(|flag| halves.on_flag(flag));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// A request to open a channel.
pub fn open(bytes: &[u8]) -> bool {
    dcep::read(bytes).is_ok()
}

/// The first record of a client's handshake.
///
/// # Panics
/// If DTLS does not begin.
pub fn client_hello() -> Vec<u8> {
    let certificate = Certificate::from_secret([7; 32]).expect("a certificate");
    let config = dimpl::Config::builder().build().expect("the defaults");
    let now = Instant::now();
    let mut dtls = Dtls::new_12(Arc::new(config), certificate.dtls(), now);
    dtls.set_active(true);
    dtls.handle_timeout(now).expect("nothing is due yet");
    let mut buffer = vec![0; 4 << 10];
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(record) => return record.to_vec(),
            Output::Timeout(_) => panic!("no record"),
            _ => {}
        }
    }
}
