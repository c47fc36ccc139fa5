//! The one request that is answered with a session: CONNECT to libp2p's well-known path.
//!
//! ```text
//! :method CONNECT   :protocol webtransport | webtransport-h3   :scheme https   :authority any
//! :path /.well-known/libp2p-webtransport?type=noise
//! ```
//! libp2p/specs, webtransport/README.md.

use super::{frame::HEADERS, qpack::Field, tlv};

/// The path, before its question mark.
const PATH: &str = "/.well-known/libp2p-webtransport";
/// Who the peer is, is shown with Noise; the specification has no other way.
const NOISE: &str = "type=noise";
/// `webtransport-h3` since draft 15, go-libp2p v0.51; before `webtransport`, as Chromium 156 still says.
const PROTOCOLS: [&str; 2] = ["webtransport", "webtransport-h3"];

/// A request that is not for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It breaks the rules of HTTP.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// It is not CONNECT of WebTransport.
    #[error("not a request for WebTransport")]
    NotWebTransport,
    /// The path is not libp2p's.
    #[error("no such path")]
    Path,
    /// The path is libp2p's, but another way to show who the peer is was asked for.
    #[error("the path does not ask for Noise")]
    Security,
}

impl RequestError {
    /// What the client is told.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Malformed(_) | Self::Security => Status::BadRequest,
            Self::NotWebTransport | Self::Path => Status::NotFound,
        }
    }
}

/// An answer, as an entry of QPACK's static table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    NotFound,
    BadRequest,
}

impl Status {
    /// A HEADERS frame with nothing but the status.
    pub(crate) fn frame(self) -> Vec<u8> {
        // Two bytes of prefix (no dynamic table), then static entries 25, 27 and 67.
        let block: &[u8] = match self {
            Self::Ok => &[0, 0, 0xd9],
            Self::NotFound => &[0, 0, 0xdb],
            Self::BadRequest => &[0, 0, 0xff, 0x04],
        };
        let mut frame = Vec::new();
        tlv::write(&mut frame, HEADERS, block);
        frame
    }
}

#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a str>,
    protocol: Option<&'a str>,
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: Option<&'a str>,
}

/// Whether a session is asked for.
pub(crate) fn check(fields: &[Field]) -> Result<(), RequestError> {
    let pseudo = pseudo(fields)?;
    let (Some(method), Some(path), Some(scheme)) = (pseudo.method, pseudo.path, pseudo.scheme) else {
        return Err(RequestError::Malformed("method, path or scheme is missing"));
    };
    let asked = method == "CONNECT" && pseudo.protocol.is_some_and(|name| PROTOCOLS.contains(&name));
    if !asked {
        return Err(RequestError::NotWebTransport);
    }
    if scheme != "https" {
        return Err(RequestError::Malformed("the scheme is not https"));
    }
    if pseudo.authority.is_none_or(str::is_empty) {
        return Err(RequestError::Malformed("no authority"));
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path != PATH {
        return Err(RequestError::Path);
    }
    if !query.split('&').any(|part| part == NOISE) {
        return Err(RequestError::Security);
    }
    Ok(())
}

/// The pseudo-headers: first, once, and only those of a request. RFC 9114, section 4.3.
fn pseudo(fields: &[Field]) -> Result<Pseudo<'_>, RequestError> {
    let (mut pseudo, mut regular) = (Pseudo::default(), false);
    for Field { name, value } in fields {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(RequestError::Malformed("a name in capitals"));
        }
        let place = match name.as_str() {
            ":method" => &mut pseudo.method,
            ":protocol" => &mut pseudo.protocol,
            ":scheme" => &mut pseudo.scheme,
            ":authority" => &mut pseudo.authority,
            ":path" => &mut pseudo.path,
            other if other.starts_with(':') => {
                return Err(RequestError::Malformed("an unknown pseudo-header"));
            }
            _ => {
                regular = true;
                continue;
            }
        };
        if regular {
            return Err(RequestError::Malformed("a pseudo-header behind a header"));
        }
        if place.replace(value).is_some() {
            return Err(RequestError::Malformed("a pseudo-header twice"));
        }
    }
    Ok(pseudo)
}

#[cfg(test)]
mod tests {
    use super::{super::qpack, *};

    fn fields(change: impl FnOnce(&mut Vec<(&'static str, &'static str)>)) -> Vec<Field> {
        let mut fields = vec![
            (":method", "CONNECT"),
            (":protocol", "webtransport-h3"),
            (":scheme", "https"),
            (":authority", "127.0.0.1:4001"),
            (":path", "/.well-known/libp2p-webtransport?type=noise"),
            ("origin", "http://localhost"),
        ];
        change(&mut fields);
        let field = |(name, value): (&str, &str)| Field { name: name.to_owned(), value: value.to_owned() };
        fields.into_iter().map(field).collect()
    }

    #[test]
    fn both_names_of_the_protocol_are_taken() {
        assert_eq!(check(&fields(|_| ())), Ok(()));
        assert_eq!(check(&fields(|fields| fields[1].1 = "webtransport")), Ok(()));
    }

    #[test]
    fn other_requests_are_told_what_they_are() {
        use RequestError::*;
        let refused =
            |change: fn(&mut Vec<(&'static str, &'static str)>)| check(&fields(change)).unwrap_err();
        assert_eq!(refused(|fields| fields[0].1 = "GET"), NotWebTransport);
        assert_eq!(refused(|fields| fields[1].1 = "websocket"), NotWebTransport);
        assert_eq!(refused(|fields| fields[4].1 = "/chat"), Path);
        assert_eq!(refused(|fields| fields[4].1 = "/.well-known/libp2p-webtransport?type=tls"), Security);
        assert!(matches!(refused(|fields| fields.retain(|field| field.0 != ":scheme")), Malformed(_)));
        assert!(matches!(refused(|fields| fields.retain(|field| field.0 != ":authority")), Malformed(_)));
        assert!(matches!(refused(|fields| fields[2].1 = "http"), Malformed(_)));
        assert!(matches!(refused(|fields| fields.push((":path", "/"))), Malformed(_)));
        assert!(matches!(refused(|fields| fields.insert(1, (":method", "CONNECT"))), Malformed(_)));
        assert!(matches!(refused(|fields| fields.push(("Origin", ""))), Malformed(_)));
        assert!(matches!(refused(|fields| fields.insert(0, (":status", "200"))), Malformed(_)));
    }

    #[test]
    fn answers_are_what_they_claim() {
        for (status, text) in [(Status::Ok, "200"), (Status::NotFound, "404"), (Status::BadRequest, "400")] {
            let frame = status.frame();
            let fields = qpack::decode(&frame[2..], 1 << 10).expect("ours");
            assert_eq!(fields, [Field { name: ":status".to_owned(), value: text.to_owned() }]);
        }
    }
}
