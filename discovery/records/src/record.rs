//! Node records (EIP-778): ours, signed; others', checked.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use alloy_primitives::{B256, Bytes};
use causeway_wire::NodeKey;
use enr::Enr;
use secp256k1::SecretKey;

use crate::{
    Enode, Host,
    keys::key_of,
    multiaddrs::{pack, unpack},
};

/// Largest encoded record (EIP-778).
pub const MAX_RECORD: usize = 300;

/// Longest text of a record: `enr:` and [`MAX_RECORD`] bytes in base64.
pub const MAX_RECORD_TEXT: usize = 4 + MAX_RECORD / 3 * 4;

/// What a record of ours says; every endpoint may be absent.
///
/// `tcp` and `udp` are devp2p's ports, so libp2p's are said by `quic` (as beacon nodes do) and `multiaddrs`
/// (as Waku nodes do). The libp2p PeerId follows from the record's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Grows with each change; a UNIX time in milliseconds does.
    pub seq: u64,
    /// `ip`
    pub ip: Option<Ipv4Addr>,
    /// `ip6`
    pub ip6: Option<Ipv6Addr>,
    /// `tcp`: RLPx.
    pub tcp: Option<u16>,
    /// `udp`: discovery.
    pub udp: Option<u16>,
    /// `quic`: libp2p over QUIC.
    pub quic: Option<u16>,
    /// `multiaddrs`, binary, the most useful first: see [`crate::encode_multiaddr`]. Those that do not fit
    /// into [`MAX_RECORD`] are left out, the last ones first.
    pub multiaddrs: Vec<Vec<u8>>,
}

/// A node record whose signature was checked, or which we signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(Enr<SecretKey>);

/// Why there is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Something else.
    #[error("a node record begins with enr:")]
    Prefix,
    /// Longer than [`MAX_RECORD_TEXT`].
    #[error("{length} characters are over the limit of {MAX_RECORD_TEXT}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not base64, not a record, or not signed by its key; the text says which.
    #[error("not a valid node record: {0}")]
    Invalid(String),
    /// A valid record with more behind it.
    #[error("more follows the node record")]
    Leftover,
    /// Larger than [`MAX_RECORD`] even without multiaddrs, or not signable.
    #[error("the record cannot be made")]
    Sign(#[source] enr::Error),
}

impl Record {
    /// Signs a record with `contents`.
    ///
    /// # Errors
    /// [`RecordError::Sign`] if signing fails.
    pub fn sign(secret: &SecretKey, contents: &Contents) -> Result<Self, RecordError> {
        let mut kept = contents.multiaddrs.len();
        loop {
            let addrs = contents.multiaddrs.get(..kept).unwrap_or_default();
            match build(secret, contents, addrs) {
                Err(enr::Error::ExceedsMaxSize) if kept > 0 => kept -= 1,
                built => return built.map(Self).map_err(RecordError::Sign),
            }
        }
    }

    /// Its sequence number.
    pub fn seq(&self) -> u64 {
        self.0.seq()
    }

    /// The node's public key.
    pub fn key(&self) -> NodeKey {
        key_of(&self.0.public_key())
    }

    /// The node's id.
    pub fn node_id(&self) -> B256 {
        self.key().node_id()
    }

    /// The address, v4 before v6.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.ip4().map(IpAddr::V4).or_else(|| self.0.ip6().map(IpAddr::V6))
    }

    /// Port of RLPx at [`Record::ip`]; a v6 port falls back to the v4 one.
    pub fn tcp(&self) -> Option<u16> {
        match self.ip()? {
            IpAddr::V4(_) => self.0.tcp4(),
            IpAddr::V6(_) => self.0.tcp6().or_else(|| self.0.tcp4()),
        }
    }

    /// Port of discovery at [`Record::ip`].
    pub fn udp(&self) -> Option<u16> {
        match self.ip()? {
            IpAddr::V4(_) => self.0.udp4(),
            IpAddr::V6(_) => self.0.udp6().or_else(|| self.0.udp4()),
        }
    }

    /// Port of libp2p over QUIC.
    pub fn quic(&self) -> Option<u16> {
        self.0.get_decodable::<u16>("quic")?.ok()
    }

    /// The binary multiaddrs of the `multiaddrs` key, as far as it is well formed.
    pub fn multiaddrs(&self) -> Vec<Vec<u8>> {
        match self.0.get_decodable::<Bytes>("multiaddrs") {
            Some(Ok(value)) => unpack(&value),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// Names of all its keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.0.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// The same as an enode URL, if the record has an address and a TCP port.
    pub fn enode(&self) -> Option<Enode> {
        let tcp = self.tcp()?;
        Some(Enode { key: self.key(), host: Host::Ip(self.ip()?), tcp, udp: self.udp().unwrap_or(tcp) })
    }

    /// Bytes of its encoding.
    pub fn size(&self) -> usize {
        self.0.size()
    }
}

fn build(secret: &SecretKey, contents: &Contents, addrs: &[Vec<u8>]) -> Result<Enr<SecretKey>, enr::Error> {
    let Contents { seq, ip, ip6, tcp, udp, quic, multiaddrs: _ } = contents;
    let mut builder = Enr::builder();
    builder.seq(*seq);
    if let Some(ip) = ip {
        builder.ip4(*ip);
    }
    if let Some(ip) = ip6 {
        builder.ip6(*ip);
    }
    if let Some(port) = tcp {
        builder.tcp4(*port);
    }
    if let Some(port) = udp {
        builder.udp4(*port);
    }
    if let Some(port) = quic {
        builder.add_value("quic", port);
    }
    if !addrs.is_empty() {
        builder.add_value("multiaddrs", &Bytes::from(pack(addrs)));
    }
    builder.build(secret)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_base64())
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let text = text.trim();
        if text.len() > MAX_RECORD_TEXT {
            return Err(RecordError::TooLong { length: text.len() });
        }
        if !text.starts_with("enr:") {
            return Err(RecordError::Prefix);
        }
        let record: Enr<SecretKey> = text.parse().map_err(RecordError::Invalid)?;
        if record.to_base64() != text {
            return Err(RecordError::Leftover); // enr 0.14 reads a record and ignores what follows it
        }
        Ok(Self(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode_multiaddr, node_key};

    /// discovery.md 1.1 (EIP-778's own example record, with other values).
    const VECTOR: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZu\
                          Oh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QA\
                          dpzBQA8yWM0xOIN1ZHCCdl8";

    /// discovery.md 4: a Waku node's record.
    const WAKU: &str = "enr:-Me4QE-LJkZ1FIlC1ag9htp-T-XU0BRHLW99Mgk7dW5z4xUxZ31zONDLfmRJBRlms7gDex9EWd03aZiF\
                        dqyg9-ngXq8BgmlkgnY0gmlwhH8AAAGKbXVsdGlhZGRyc54AEjYLZXhhbXBsZS5jb20GAbveAwAIBH8AAAEG\
                        IyiCcnOHAAECAAAABYlzZWNwMjU2azGhA8pjTK4NSay0Adikxrb-jFW3DRFb9AB2nMFADzJYzTE4g3RjcIIj\
                        KIN1ZHCCIyiFd2FrdTIN";

    fn secret() -> SecretKey {
        "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291".parse().expect("valid secret")
    }

    fn everything() -> Contents {
        Contents {
            seq: 1_700_000_000_000,
            ip: Some(Ipv4Addr::new(203, 0, 113, 7)),
            ip6: Some("2001:db8::7".parse().expect("valid")),
            tcp: Some(30313),
            udp: Some(30313),
            quic: Some(30314),
            multiaddrs: ["/dns4/relay.example.org/tcp/443/tls/ws", "/ip4/203.0.113.7/tcp/30314"]
                .map(|text| encode_multiaddr(text).expect("valid"))
                .to_vec(),
        }
    }

    #[test]
    fn the_published_record_is_read() {
        let record: Record = VECTOR.parse().expect("valid");

        assert_eq!((record.seq(), record.size()), (1, 134));
        assert_eq!(record.key(), node_key(&secret()));
        assert_eq!(
            (record.ip(), record.udp(), record.tcp()),
            (Some([127, 0, 0, 1].into()), Some(30303), None)
        );
        assert_eq!(record.keys(), ["id", "ip", "secp256k1", "udp"]);
        assert_eq!(record.enode(), None);
        assert_eq!(record.to_string(), VECTOR);
    }

    #[test]
    fn a_waku_record_gives_its_multiaddrs() {
        let record: Record = WAKU.parse().expect("valid");

        let expected = ["/dns4/example.com/tcp/443/wss", "/ip4/127.0.0.1/tcp/9000"];
        assert_eq!(record.multiaddrs(), expected.map(|text| encode_multiaddr(text).expect("valid")));
    }

    #[test]
    fn our_record_says_what_it_was_given() {
        let contents = everything();

        let record = Record::sign(&secret(), &contents).expect("fits");
        let read: Record = record.to_string().parse().expect("valid");

        assert_eq!(read, record);
        assert_eq!(read.seq(), contents.seq);
        assert_eq!((read.tcp(), read.udp(), read.quic()), (contents.tcp, contents.udp, contents.quic));
        assert_eq!(read.multiaddrs(), contents.multiaddrs);
        assert_eq!(read.enode().map(|enode| enode.key), Some(node_key(&secret())));
        assert!(read.size() <= MAX_RECORD);
    }

    #[test]
    fn addresses_that_do_not_fit_are_left_out_last_first() {
        let mut contents = everything();
        let wanted = contents.multiaddrs.clone();
        contents.multiaddrs.extend(vec![vec![7; 60]; 8]);

        let record = Record::sign(&secret(), &contents).expect("fits");

        assert!(record.size() <= MAX_RECORD);
        assert!(record.multiaddrs().starts_with(&wanted));
        assert!(record.multiaddrs().len() < contents.multiaddrs.len());
    }

    #[test]
    fn altered_and_foreign_texts_are_refused() {
        let altered = VECTOR.replacen("HCY", "HCZ", 1);
        assert!(matches!(altered.parse::<Record>(), Err(RecordError::Invalid(_))));
        assert_eq!(format!("{VECTOR}AAAA").parse::<Record>(), Err(RecordError::Leftover));
        assert!(matches!("enr:".parse::<Record>(), Err(RecordError::Invalid(_))));
        assert_eq!(VECTOR[4..].parse::<Record>(), Err(RecordError::Prefix));
        assert_eq!("e".repeat(405).parse::<Record>(), Err(RecordError::TooLong { length: 405 }));
    }
}
