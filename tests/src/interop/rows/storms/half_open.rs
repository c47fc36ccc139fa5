//! Connections that begin a handshake and never end it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout_at},
};

use super::{CROWD, LENGTH};

/// Who is sent away comes again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// A connection that ends sooner was sent away at the door; one that ends later ran out of time.
const AT_THE_DOOR: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Tally {
    connected: AtomicUsize,
    sent_away: AtomicUsize,
    timed_out: AtomicUsize,
    within: AtomicUsize,
    most_within: AtomicUsize,
}

/// Half of the first line of multistream-select.
pub(super) fn multistream() -> Vec<u8> {
    b"\x13/multistr".to_vec()
}

/// Half of a request for a WebSocket.
pub(super) fn upgrade() -> Vec<u8> {
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso".to_vec()
}

/// Half of a TLS greeting.
pub(super) fn client_hello() -> anyhow::Result<Vec<u8>> {
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    bytes.truncate(bytes.len() / 2);
    Ok(bytes)
}

/// Half of RLPx' first message.
pub(super) fn auth() -> Vec<u8> {
    let mut bytes = 400_u16.to_be_bytes().to_vec();
    bytes.extend((0..200).map(|_| rand::random::<u8>()));
    bytes
}

/// A thousand at once, each with these bytes and no more; who is sent away comes again.
pub(super) async fn blow(addr: SocketAddr, bytes: Vec<u8>) -> anyhow::Result<String> {
    let (tally, end) = (Arc::new(Tally::default()), Instant::now() + LENGTH);
    join_all((0..CROWD).map(|_| one(addr, &bytes, &tally, end))).await;
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    Ok(format!(
        "{} connections, {} sent away, {} out of time, at most {} within",
        of(&tally.connected),
        of(&tally.sent_away),
        of(&tally.timed_out),
        of(&tally.most_within),
    ))
}

async fn one(addr: SocketAddr, bytes: &[u8], tally: &Tally, end: Instant) {
    while Instant::now() < end {
        let begun = Instant::now();
        if let Ok(Ok(mut stream)) = timeout_at(end, TcpStream::connect(addr)).await {
            tally.connected.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(bytes).await;
            // Nobody counts as within before the door had time to say no.
            if ends(&mut stream, (begun + AT_THE_DOOR).min(end)).await {
                tally.sent_away.fetch_add(1, Ordering::Relaxed);
            } else {
                let within = tally.within.fetch_add(1, Ordering::Relaxed) + 1;
                tally.most_within.fetch_max(within, Ordering::Relaxed);
                if ends(&mut stream, end).await {
                    tally.timed_out.fetch_add(1, Ordering::Relaxed);
                }
                tally.within.fetch_sub(1, Ordering::Relaxed);
            }
        }
        sleep_until((Instant::now() + AGAIN).min(end)).await;
    }
}

/// Whether the other side ends the connection in time, whatever it says before.
async fn ends(stream: &mut TcpStream, by: Instant) -> bool {
    let mut answer = [0; 256];
    timeout_at(by, async { while matches!(stream.read(&mut answer).await, Ok(1..)) {} }).await.is_ok()
}
