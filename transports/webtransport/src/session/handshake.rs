//! From a client's first packet to a session: QUIC, settings, CONNECT, Noise.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, future::BoxFuture};
use libp2p_core::upgrade::InboundConnectionUpgrade;
use libp2p_identity::PeerId;
use libp2p_noise as noise;
use quinn::{Connection, SendStream};
use tokio::sync::{oneshot, watch};

use super::{
    Session, accept_header,
    frames::{Found, Frames},
    life, unidirectional,
};
use crate::{
    config::Limits,
    error::{HandshakeError, SessionError},
    gate::Place,
    http3::{
        code,
        frame::on_request,
        qpack,
        request::{self, RequestError, Status},
        settings::{self, Settings},
    },
};

/// Most bytes that are read of the CONNECT stream in the life of a session: the request and few capsules.
const MAX_CONNECT: u64 = 64 << 10;

/// What Noise is called in its own protocol negotiation, which WebTransport does without.
const NOISE: &str = "/noise";

/// How long we wait until a client has the refusal of its request.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// What a listener gives to each handshake.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) noise: noise::Config,
    pub(crate) limits: Limits,
    /// Becomes true when the listener is removed.
    pub(crate) ending: watch::Receiver<bool>,
}

/// Makes a session of a first packet, or says what came between.
pub(crate) async fn establish(
    incoming: quinn::Incoming,
    terms: Terms,
    place: Place,
) -> Result<(PeerId, Session), HandshakeError> {
    let time = terms.limits.handshake_time;
    match tokio::time::timeout(time, connect(incoming, terms, place)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeError::Timeout(time)),
    }
}

async fn connect(
    incoming: quinn::Incoming,
    terms: Terms,
    place: Place,
) -> Result<(PeerId, Session), HandshakeError> {
    let connection = incoming.accept()?.await?;
    let mut unfinished = Unfinished(Some(connection.clone()));
    let result = negotiate(&connection, terms, place).await;
    unfinished.0 = None;
    if let Err(error) = &result {
        connection.close(code::quic(error.code()), error.to_string().as_bytes());
    }
    result
}

/// Closes the connection if the handshake is dropped: it took too long, or is no longer wanted.
struct Unfinished(Option<Connection>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close(code::quic(code::H3_EXCESSIVE_LOAD), b"");
        }
    }
}

async fn negotiate(
    connection: &Connection,
    terms: Terms,
    mut place: Place,
) -> Result<(PeerId, Session), HandshakeError> {
    let mut control = connection.open_uni().await?;
    control.write_all(&control_stream(&terms.limits)).await?;
    let (tell, told) = oneshot::channel();
    let mut unidirectional = unidirectional::read(connection.clone(), tell).boxed();
    let (peer, id, connect, noise) = tokio::select! {
        error = &mut unidirectional => return Err(error.into()),
        agreed = agree(connection, &terms, told) => agreed?,
    };
    place.establish();
    let life = life::Life {
        connection: connection.clone(),
        unidirectional,
        noise,
        connect,
        _control: control,
        ending: terms.ending,
    };
    let session = Session::new(connection.clone(), id, |close| life.live(close).boxed(), place);
    Ok((peer, session))
}

/// Our control stream's type and settings.
fn control_stream(limits: &Limits) -> Vec<u8> {
    let mut bytes = vec![0x00];
    bytes.extend(settings::ours(limits.headers as u64));
    bytes
}

type Agreed = (PeerId, u64, (SendStream, Frames), BoxFuture<'static, ()>);

async fn agree(
    connection: &Connection,
    terms: &Terms,
    told: oneshot::Receiver<Settings>,
) -> Result<Agreed, HandshakeError> {
    let (mut send, recv) = connection.accept_bi().await?;
    let id = recv.id().into();
    let mut frames = Frames::new(recv, "CONNECT", MAX_CONNECT);
    let asked = ask(&mut frames, terms.limits.headers).await;
    if let Err(HandshakeError::Request(error)) = &asked {
        refuse(&mut send, error).await;
    }
    asked?;
    if told.await.is_err() {
        return Err(SessionError::CriticalStream("control").into());
    }
    send.write_all(&Status::Ok.frame()).await?;
    let stream = loop {
        let (send, recv) = connection.accept_bi().await?;
        if let Some(stream) = accept_header(send, recv, id).await {
            break stream;
        }
    };
    let (peer, mut secured) = terms.noise.clone().upgrade_inbound(stream, NOISE).await?;
    // It only shows who the peer is; TLS seals the streams. Closed and read on: with STOP_SENDING, which is
    // what dropping it would send, js-libp2p fails the dial.
    let noise = async move {
        let _ = secured.close().await;
        let _ = secured.read(&mut [0]).await;
    };
    Ok((peer, id, (send, frames), noise.boxed()))
}

/// Reads the request and looks whether it is for a session.
async fn ask(frames: &mut Frames, max: usize) -> Result<(), HandshakeError> {
    let found = frames.next(|kind, length| on_request(kind, length, false, max as u64)).await?;
    let Some(Found::Whole(block)) = found else { return Err(HandshakeError::NoRequest) };
    request::check(&qpack::decode(&block, max)?)?;
    Ok(())
}

async fn refuse(send: &mut SendStream, error: &RequestError) {
    let answer = async {
        send.write_all(&error.status().frame()).await.ok()?;
        send.finish().ok()?;
        send.stopped().await.ok() // until it is there: closing the connection would discard it
    };
    let _ = tokio::time::timeout(REFUSAL_TIME, answer).await;
}
