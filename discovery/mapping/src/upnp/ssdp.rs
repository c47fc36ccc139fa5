//! Searches devices by SSDP (UPnP Device Architecture 1.1, 1.3).

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use super::Location;
use crate::Path;

/// Longest answer that is read; usual ones have 300 to 500 octets.
const MAX_ANSWER: usize = 2048;
/// Packets that are read in one search, whatever they say.
const MAX_ANSWERS: usize = 64;
/// What is searched: some devices answer only to one of them.
const TARGETS: [&str; 2] =
    ["urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:service:WANIPConnection:1"];

/// The places that the router, or devices beside it, name; the router's first.
pub(super) async fn search(path: &Path, to: SocketAddrV4, wait: Duration) -> io::Result<Vec<Location>> {
    // Bound to our address, the search goes out where that address is.
    let socket = UdpSocket::bind((path.address, 0)).await?;
    for target in TARGETS {
        let request = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {to}\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: {target}\r\n\r\n"
        );
        socket.send_to(request.as_bytes(), to).await?;
    }
    let until = Instant::now() + wait;
    let mut found = Vec::new();
    let mut buffer = [0; MAX_ANSWER + 1];
    for _ in 0..MAX_ANSWERS {
        let Ok(received) = timeout_at(until, socket.recv_from(&mut buffer)).await else { break };
        // An unconnected socket tells no errors of others; what it tells is ours.
        let (length, from) = received?;
        let answer = buffer.get(..length).filter(|answer| answer.len() <= MAX_ANSWER);
        let Some(location) = answer.and_then(read_location) else { continue };
        if is_trusted(&location, from, path) && !found.contains(&location) {
            let from_router = IpAddr::V4(*location.address.ip()) == path.gateway();
            found.push(location);
            if from_router {
                break;
            }
        }
    }
    found.sort_by_key(|location| IpAddr::V4(*location.address.ip()) != path.gateway());
    Ok(found)
}

/// Only who answers may be named, and only the router or a private address of our network.
fn is_trusted(location: &Location, from: SocketAddr, path: &Path) -> bool {
    let named = *location.address.ip();
    from.ip() == IpAddr::V4(named) && (path.gateway() == IpAddr::V4(named) || path.is_neighbour(named))
}

/// The LOCATION of an answer.
fn read_location(answer: &[u8]) -> Option<Location> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut lines = text.lines();
    let status = lines.next()?;
    (status.starts_with("HTTP/1.") && status.split_whitespace().nth(1) == Some("200")).then_some(())?;
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("location").then(|| Location::parse(value.trim()))?
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_location_is_read_from_an_answer() {
        let answer =
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLocation: http://192.168.1.1:80/r.xml\r\n\r\n";
        assert_eq!(read_location(answer.as_bytes()), Location::parse("http://192.168.1.1:80/r.xml"));
        for wrong in [
            "NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1:80/\r\n\r\n",
            "HTTP/1.1 404 No\r\nLOCATION: http://192.168.1.1:80/\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nLOCATION: http://192.168.1.1:80/\r\n",
            "",
        ] {
            assert_eq!(read_location(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn nobody_names_another_machine() {
        let path = Path::new([192, 168, 1, 1].into(), 0, [192, 168, 1, 10].into(), 24);
        let trusted = |url: &str, from: [u8; 4]| {
            is_trusted(&Location::parse(url).expect("a location"), SocketAddr::from((from, 1900)), &path)
        };
        assert!(trusted("http://192.168.1.1/", [192, 168, 1, 1]));
        assert!(trusted("http://192.168.1.7/", [192, 168, 1, 7]));
        assert!(!trusted("http://192.168.1.1/", [192, 168, 1, 7]));
        assert!(!trusted("http://192.168.2.7/", [192, 168, 2, 7]));
        assert!(!trusted("http://8.8.8.8/", [8, 8, 8, 8]));
        assert!(!trusted("http://127.0.0.1/", [127, 0, 0, 1]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read_location(&bytes);
        }
    }
}
