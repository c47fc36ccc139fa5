//! What a stranger's bytes reach first, for fuzz targets. Not part of the interface.

use crate::http3::{
    capsule::Capsules,
    frame, qpack, request,
    settings::{MAX_SETTINGS, Settings},
    tlv::{Decoder, Item},
};

/// Bytes of header fields that are taken, as by default.
const MAX_HEADERS: usize = 8 << 10;

/// A request's header block, and whether it asks for a session.
pub fn headers(block: &[u8]) -> bool {
    qpack::decode(block, MAX_HEADERS).is_ok_and(|fields| request::check(&fields).is_ok())
}

/// The stream of CONNECT from its start: frames, header fields, capsules. It comes in pieces of `step`.
pub fn connect_stream(bytes: &[u8], step: u8) {
    let (mut frames, mut capsules, mut seen) = (Decoder::new(), Capsules::new(), false);
    for mut input in bytes.chunks(usize::from(step.max(1))) {
        let judge = |kind, length| frame::on_request(kind, length, seen, MAX_HEADERS as u64);
        loop {
            match frames.next(&mut input, judge) {
                Ok(Some(Item::Whole(_, block))) => {
                    seen = true;
                    headers(&block);
                    break;
                }
                Ok(Some(Item::Piece(mut piece))) => while matches!(capsules.next(&mut piece), Ok(Some(_))) {},
                Ok(Some(Item::Skipped(_))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// The payloads of DATA frames: capsules. They come in pieces of `step`.
pub fn capsules(bytes: &[u8], step: u8) {
    let mut capsules = Capsules::new();
    for mut input in bytes.chunks(usize::from(step.max(1))) {
        loop {
            match capsules.next(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// The control stream behind its type: settings, and what follows. It comes in pieces of `step`.
pub fn control_stream(bytes: &[u8], step: u8) {
    let (mut frames, mut seen) = (Decoder::new(), false);
    for mut input in bytes.chunks(usize::from(step.max(1))) {
        loop {
            match frames.next(&mut input, |kind, length| frame::on_control(kind, length, seen)) {
                Ok(Some(Item::Whole(_, payload))) => {
                    seen = true;
                    assert!(payload.len() as u64 <= MAX_SETTINGS);
                    let _ = Settings::read(&payload);
                    break;
                }
                Ok(Some(Item::Piece(_) | Item::Skipped(_))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// The decrypted payload of a packet, whose frames are changed for quinn. The second time changes nothing.
pub fn packet(payload: &mut [u8]) {
    crate::quic::rewrite(payload);
    assert_eq!(crate::quic::rewrite(payload), 0, "a frame was changed twice");
}
