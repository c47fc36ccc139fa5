//! One question to the router over UDP, asked again until it is answered.

use std::io;

use tokio::{
    net::UdpSocket,
    time::{Duration, Instant, timeout_at},
};

use crate::Path;

/// A question is sent this often; routers that answer at all do so at once.
const SENDINGS: u32 = 3;
/// Longest packet of PCP (RFC 6887, 7), and longer than any of NAT-PMP.
const MAX_PACKET: usize = 1100;
/// Packets that answer something else are passed over; after so many, the router is given up.
const MAX_STRAYS: usize = 16;

/// What a packet says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply<T, R> {
    Done(T),
    Refused(R),
    /// It answers something else, or nothing.
    Stray,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    Silence,
    /// Packets came from the router's port, none of which was an answer.
    Nonsense,
    Link(io::Error),
}

/// Asks the router of `path`, from whose address and port alone packets are taken, and reads what comes with `read`.
pub(crate) async fn exchange<T, R>(
    path: &Path,
    request: &[u8],
    first_wait: Duration,
    read: impl Fn(&[u8]) -> Reply<T, R>,
) -> Result<Result<T, R>, Unanswered> {
    // PCP has the sender's address in the packet, too; a fresh port each time is hard to guess for neighbours.
    let socket = UdpSocket::bind((path.address, 0)).await.map_err(Unanswered::Link)?;
    socket.connect(path.control).await.map_err(Unanswered::Link)?;
    let mut strays = 0;
    // One octet more than allowed, to notice what is longer.
    let mut buffer = [0; MAX_PACKET + 1];
    for sending in 0..SENDINGS {
        match socket.send(request).await {
            Ok(_) => {}
            Err(error) if nobody_listens(&error) => return Err(Unanswered::Silence),
            Err(error) => return Err(Unanswered::Link(error)),
        }
        let until = Instant::now() + first_wait * 2_u32.pow(sending);
        while let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let length = match received {
                Ok(length) => length,
                Err(error) if nobody_listens(&error) => return Err(Unanswered::Silence),
                Err(error) => return Err(Unanswered::Link(error)),
            };
            let packet = buffer.get(..length).filter(|packet| packet.len() <= MAX_PACKET);
            match packet.map_or(Reply::Stray, &read) {
                Reply::Done(answer) => return Ok(Ok(answer)),
                Reply::Refused(refused) => return Ok(Err(refused)),
                Reply::Stray => strays += 1,
            }
            if strays >= MAX_STRAYS {
                return Err(Unanswered::Nonsense);
            }
        }
    }
    Err(if strays > 0 { Unanswered::Nonsense } else { Unanswered::Silence })
}

/// The router's own "port unreachable".
fn nobody_listens(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}
