//! WebSocket frames that want too much: of 256 MiB, in fragments without end, pings without end.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::ensure;
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout_at},
};

use super::LENGTH;

/// Connections at once.
const CONNECTIONS: usize = 50;

/// What is announced in one frame.
const HUGE: u64 = 256 << 20;

/// Bytes written at once.
const CHUNK: usize = 16 * 1024;

/// Who is sent away comes again after this time.
const AGAIN: Duration = Duration::from_millis(200);

/// Most bytes that one connection gets rid of before it is ended: the largest frame that is taken, and what
/// sockets hold.
const MOST: u64 = 24 << 20;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;
const LAST: u8 = 0x80;

/// A client's frame header; the mask is zero, so that the payload stays as it is.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

fn frame(first: u8, length: usize) -> Vec<u8> {
    let mut frame = header(first, length as u64);
    frame.resize(frame.len() + length, 0x55);
    frame
}

/// One frame of 256 MiB, as much of it as is taken.
pub(super) async fn huge(addr: SocketAddr) -> anyhow::Result<String> {
    blow(addr, &header(LAST | BINARY, HUGE), &vec![0x55; CHUNK]).await
}

/// A message that goes on in fragment after fragment.
pub(super) async fn fragments(addr: SocketAddr) -> anyhow::Result<String> {
    blow(addr, &frame(BINARY, CHUNK), &frame(CONTINUATION, CHUNK)).await
}

/// Pings whose answers nobody reads.
pub(super) async fn pings(addr: SocketAddr) -> anyhow::Result<String> {
    let many = frame(LAST | PING, 125).repeat(CHUNK / 131);
    blow(addr, &many, &many).await
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    bytes: AtomicU64,
    most: AtomicU64,
}

/// On some connections at once: upgrade, `first`, then `next` again and again until the relay has enough of it.
async fn blow(addr: SocketAddr, first: &[u8], next: &[u8]) -> anyhow::Result<String> {
    let (tally, end) = (Tally::default(), Instant::now() + LENGTH);
    let one = async || {
        while Instant::now() < end {
            // Ended by the relay, in whatever way: that is what is hoped for.
            let sent = AtomicU64::new(0);
            let _ = timeout_at(end, flood(addr, first, next, &sent)).await;
            let sent = sent.into_inner();
            tally.connections.fetch_add(1, Ordering::Relaxed);
            tally.bytes.fetch_add(sent, Ordering::Relaxed);
            tally.most.fetch_max(sent, Ordering::Relaxed);
            sleep_until((Instant::now() + AGAIN).min(end)).await;
        }
    };
    join_all((0..CONNECTIONS).map(|_| one())).await;
    let Tally { connections, bytes, most } = tally;
    let (bytes, most) = (bytes.into_inner(), most.into_inner());
    ensure!(bytes > 0, "no byte was taken: there was no storm");
    ensure!(most < MOST, "one connection was taken {} MiB from", most >> 20);
    Ok(format!(
        "{} connections, {} MiB in all, at most {} KiB on one",
        connections.into_inner(),
        bytes >> 20,
        most >> 10
    ))
}

async fn flood(addr: SocketAddr, first: &[u8], next: &[u8], sent: &AtomicU64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"HTTP/1.1 101") {
        return Ok(());
    }
    stream.write_all(first).await?;
    loop {
        stream.write_all(next).await?;
        sent.fetch_add(next.len() as u64, Ordering::Relaxed);
    }
}
