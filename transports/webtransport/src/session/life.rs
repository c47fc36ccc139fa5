//! What goes on in a session beside its streams, up to its end.

use std::time::Duration;

use futures::future::BoxFuture;
use quinn::{Connection, SendStream};
use tokio::sync::{oneshot, watch};

use super::frames::{Found, Frames};
use crate::{
    error::SessionError,
    http3::{
        capsule::{self, Capsule, Capsules},
        code,
        frame::on_request,
    },
};

/// How long we wait until the peer has the end of the session.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// All that a session holds beside its streams.
pub(super) struct Life {
    pub(super) connection: Connection,
    /// The client's unidirectional streams.
    pub(super) unidirectional: BoxFuture<'static, SessionError>,
    /// The stream that Noise ran on, until the client ends it.
    pub(super) noise: BoxFuture<'static, ()>,
    /// The stream of CONNECT. HTTP/3 counts the end of either half as that of the session.
    pub(super) connect: (SendStream, Frames),
    /// Our control stream, never written again; ending it is an error to HTTP/3.
    pub(super) _control: SendStream,
    /// Becomes true when the listener is removed.
    pub(super) ending: watch::Receiver<bool>,
}

impl Life {
    /// Lives until the session is over, then ends the connection. `close` ends it from our side.
    pub(super) async fn live(mut self, close: oneshot::Receiver<()>) -> SessionError {
        let error = self.end(close).await;
        let (mut send, _) = self.connect;
        if let SessionError::ClosedHere = error {
            bid_farewell(&mut send).await;
        }
        let _ = send.finish(); // an error where it was finished or stopped
        self.connection.close(code::quic(error.code()), b"");
        error
    }

    async fn end(&mut self, mut close: oneshot::Receiver<()>) -> SessionError {
        let (send, frames) = &mut self.connect;
        let (mut capsules, mut noise_ended, mut drained) = (Capsules::new(), false, false);
        loop {
            tokio::select! {
                // An error: the session was dropped, and this with it.
                _ = &mut close => return SessionError::ClosedHere,
                error = &mut self.unidirectional => return error,
                found = frames.next(|kind, length| on_request(kind, length, true, 0)) => {
                    if let Some(error) = connect_read(found, &mut capsules).err() {
                        return error;
                    }
                }
                () = &mut self.noise, if !noise_ended => noise_ended = true,
                ending = ended(&mut self.ending), if !drained => {
                    drained = true;
                    if ending {
                        say(send, Capsule::Drain).await;
                    }
                }
            }
        }
    }
}

/// Looks for the end of the session in what came on the stream of CONNECT.
fn connect_read(
    found: Result<Option<Found>, SessionError>,
    capsules: &mut Capsules,
) -> Result<(), SessionError> {
    let Some(found) = found? else {
        return Err(SessionError::Closed { code: 0, reason: String::new() });
    };
    let Found::Piece(piece) = found else { return Ok(()) };
    let mut input = &piece[..];
    while let Some(capsule) = capsules.next(&mut input)? {
        match capsule {
            Capsule::Close { code, reason } => return Err(SessionError::Closed { code, reason }),
            Capsule::Drain => tracing::debug!("the peer will close the session soon"),
        }
    }
    Ok(())
}

/// Waits until the listener is removed; false if there is nobody left to remove it.
async fn ended(ending: &mut watch::Receiver<bool>) -> bool {
    ending.wait_for(|ending| *ending).await.is_ok()
}

/// Says that the session is over and waits until the peer knows.
async fn bid_farewell(send: &mut SendStream) {
    say(send, Capsule::Close { code: 0, reason: String::new() }).await;
    if send.finish().is_ok() {
        let _ = tokio::time::timeout(CLOSE_TIME, send.stopped()).await;
    }
}

/// Writes a capsule. Without success if the peer is gone or does not read, which changes nothing here.
async fn say(send: &mut SendStream, capsule: Capsule) {
    let _ = tokio::time::timeout(CLOSE_TIME, send.write_all(&capsule::write(&capsule))).await;
}
