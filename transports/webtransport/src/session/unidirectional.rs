//! The client's unidirectional streams: control, two of QPACK, and what is not for us.

use std::convert::Infallible;

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use quinn::{Connection, RecvStream};
use tokio::sync::oneshot;

use super::{
    frames::{Found, Frames},
    read_varint,
};
use crate::{
    error::SessionError,
    http3::{code, frame, settings::Settings},
};

const CONTROL: u64 = 0x00;
const PUSH: u64 = 0x01;
const QPACK_ENCODER: u64 = 0x02;
const QPACK_DECODER: u64 = 0x03;

/// Most bytes that are read of the control stream in the life of a connection. Browsers send some 50, and a
/// few with each change of priority.
const MAX_CONTROL: u64 = 64 << 10;

/// Likewise of each of QPACK's: with no dynamic table there is next to nothing to say on them.
const MAX_QPACK: u64 = 4 << 10;

/// Unidirectional streams a client may have open: three that stay, the others are refused at once.
pub(crate) const MAX_STREAMS: u32 = 8;

/// Whether a stream of a kind that there is one of is there.
#[derive(Default)]
struct Seen([bool; 4]);

impl Seen {
    fn first(&mut self, kind: u64) -> Result<(), SessionError> {
        let Some(seen) = usize::try_from(kind).ok().and_then(|kind| self.0.get_mut(kind)) else {
            return Ok(());
        };
        if kind == PUSH || std::mem::replace(seen, true) {
            return Err(SessionError::StreamCreation(kind));
        }
        Ok(())
    }
}

/// Reads them as long as the connection is; the settings go to `told` as soon as they are there.
pub(crate) async fn read(connection: Connection, told: oneshot::Sender<Settings>) -> SessionError {
    let mut told = Some(told);
    let mut seen = Seen::default();
    let mut opening: FuturesUnordered<BoxFuture<'static, Option<(u64, RecvStream)>>> =
        FuturesUnordered::new();
    let mut reading: FuturesUnordered<BoxFuture<'static, SessionError>> = FuturesUnordered::new();
    loop {
        // All three can be dropped and taken up again. Their number is bounded by MAX_STREAMS.
        tokio::select! {
            Some(error) = reading.next() => return error,
            Some(opened) = opening.next() => {
                let Some((kind, mut recv)) = opened else { continue };
                if let Err(error) = seen.first(kind) {
                    return error;
                }
                match kind {
                    CONTROL => reading.push(Box::pin(control(recv, told.take()))),
                    QPACK_ENCODER | QPACK_DECODER => reading.push(Box::pin(qpack(recv))),
                    _ => {
                        tracing::debug!(kind, "unidirectional stream refused");
                        let _ = recv.stop(code::quic(refusal(kind))); // an error if it was reset
                    }
                }
            }
            accepted = connection.accept_uni() => match accepted {
                Ok(mut recv) => opening.push(Box::pin(async move {
                    let kind = read_varint(&mut recv).await?;
                    Some((kind, recv))
                })),
                Err(error) => return error.into(),
            },
        }
    }
}

fn refusal(kind: u64) -> u64 {
    const WT_UNI_STREAM: u64 = 0x54;
    match kind {
        WT_UNI_STREAM => code::WT_BUFFERED_STREAM_REJECTED,
        _ => code::H3_STREAM_CREATION_ERROR,
    }
}

/// Reads the control stream, which never ends well.
async fn control(recv: RecvStream, told: Option<oneshot::Sender<Settings>>) -> SessionError {
    match control_frames(Frames::new(recv, "control", MAX_CONTROL), told).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn control_frames(
    mut frames: Frames,
    mut told: Option<oneshot::Sender<Settings>>,
) -> Result<Infallible, SessionError> {
    let mut seen = false;
    loop {
        match frames.next(|kind, length| frame::on_control(kind, length, seen)).await? {
            Some(Found::Whole(payload)) => {
                seen = true;
                let settings = Settings::read(&payload)?;
                tracing::debug!(drafts = ?settings.drafts(), "settings of the client");
                if let Some(told) = told.take() {
                    let _ = told.send(settings); // an error if the handshake has failed meanwhile
                }
            }
            Some(Found::Piece(_)) => {}
            None => return Err(SessionError::CriticalStream("control")),
        }
    }
}

async fn qpack(mut recv: RecvStream) -> SessionError {
    let mut taken = 0;
    loop {
        match recv.read_chunk(MAX_QPACK as usize, true).await {
            Ok(Some(chunk)) => taken += chunk.bytes.len() as u64,
            Err(quinn::ReadError::ConnectionLost(error)) => return error.into(),
            Ok(None) | Err(_) => return SessionError::CriticalStream("QPACK"),
        }
        if taken > MAX_QPACK {
            return SessionError::Excess { stream: "QPACK", max: MAX_QPACK };
        }
    }
}
