//! What a stranger's bytes reach first, for fuzz targets. Not part of the interface.

use crate::{
    http3::{
        capsule::{self, Capsule, Capsules},
        frame::{self, FrameError},
        qpack, request,
        settings::{MAX_SETTINGS, Settings},
        tlv::{Decoder, Item, Take},
    },
    quic,
};

/// Bytes of header fields that are taken, as by default.
pub const MAX_HEADERS: usize = 8 << 10;

/// Fields of a request that are taken.
pub const MAX_FIELDS: usize = qpack::MAX_FIELDS;

/// What was found in a stream, in words, and why it was read no further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Requests, settings, capsules.
    pub items: Vec<String>,
    /// The rule that was broken.
    pub error: Option<String>,
}

/// The fields of a request's header block, and whether they ask for a session.
///
/// # Errors
/// If the block cannot be read: why, in words.
pub fn headers(block: &[u8]) -> Result<(Vec<(String, String)>, bool), String> {
    let fields = qpack::decode(block, MAX_HEADERS).map_err(|error| error.to_string())?;
    let is_request = request::check(&fields).is_ok();
    Ok((fields.into_iter().map(|field| (field.name, field.value)).collect(), is_request))
}

/// The stream of CONNECT from its start: header fields, then capsules in DATA frames.
pub fn connect_stream(pieces: &[&[u8]]) -> Found {
    let mut capsules = Capsules::new();
    read(
        pieces,
        |kind, length, seen| frame::on_request(kind, length, seen, MAX_HEADERS as u64),
        |payload, found| match payload {
            Payload::Whole(block) => headers(block).map(|fields| found.push(format!("{fields:?}"))),
            Payload::Piece(piece) => read_capsules(&mut capsules, piece, found),
        },
    )
}

/// The client's control stream behind its type: settings, and what follows.
pub fn control_stream(pieces: &[&[u8]]) -> Found {
    read(pieces, frame::on_control, |payload, found| {
        let (Payload::Whole(payload) | Payload::Piece(payload)) = payload;
        assert!(payload.len() as u64 <= MAX_SETTINGS, "settings of {} bytes", payload.len());
        let settings = Settings::read(payload).map_err(|error| error.to_string())?;
        found.push(format!("{settings:?}"));
        Ok(())
    })
}

/// The payloads of DATA frames: capsules.
pub fn capsules(pieces: &[&[u8]]) -> Found {
    let (mut capsules, mut found) = (Capsules::new(), Found::default());
    for piece in pieces {
        if let Err(error) = read_capsules(&mut capsules, piece, &mut found.items) {
            found.error = Some(error);
            break;
        }
    }
    found
}

/// The decrypted payload of a packet, whose frames are changed for quinn: how many were.
pub fn packet(payload: &mut [u8]) -> usize {
    quic::rewrite(payload)
}

enum Payload<'a> {
    Whole(&'a [u8]),
    Piece(&'a [u8]),
}

/// Frames, as the shell reads them from a stream.
fn read(
    pieces: &[&[u8]],
    judge: fn(u64, u64, bool) -> Result<Take, FrameError>,
    mut take: impl FnMut(Payload<'_>, &mut Vec<String>) -> Result<(), String>,
) -> Found {
    let (mut frames, mut seen, mut found) = (Decoder::new(), false, Found::default());
    for piece in pieces {
        let mut input = *piece;
        loop {
            let item = frames.next(&mut input, |kind, length| judge(kind, length, seen));
            let taken = match item {
                Ok(None) => break,
                Ok(Some(Item::Whole(_, payload))) => {
                    seen = true;
                    take(Payload::Whole(&payload), &mut found.items)
                }
                Ok(Some(Item::Piece(payload))) => take(Payload::Piece(payload), &mut found.items),
                Ok(Some(Item::Skipped(_))) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = taken {
                found.error = Some(error);
                return found;
            }
        }
    }
    found
}

/// What is said in a capsule is said alike by us.
fn read_capsules(capsules: &mut Capsules, piece: &[u8], found: &mut Vec<String>) -> Result<(), String> {
    let mut input = piece;
    while let Some(capsule) = capsules.next(&mut input).map_err(|error| error.to_string())? {
        if let Capsule::Close { reason, .. } = &capsule {
            assert!(reason.len() <= capsule::MAX_REASON, "a reason of {} bytes", reason.len());
        }
        assert_eq!(again(&capsule), Some(capsule.clone()), "written otherwise than read");
        found.push(format!("{capsule:?}"));
    }
    Ok(())
}

/// The capsule as we write it, read.
fn again(capsule: &Capsule) -> Option<Capsule> {
    let (frame, mut frames, mut capsules) = (capsule::write(capsule), Decoder::new(), Capsules::new());
    let mut input = &frame[..];
    match frames.next(&mut input, |_, _| Ok::<_, FrameError>(Take::Pieces)) {
        Ok(Some(Item::Piece(mut payload))) if input.is_empty() => capsules.next(&mut payload).ok().flatten(),
        _ => None,
    }
}
