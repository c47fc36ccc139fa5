//! Node records (EIP-778) as others see them: checked, and read key by key.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Header};
use causeway_wire::{ForkId, NodeKey};
use data_encoding::BASE64URL_NOPAD;
use enr::Enr;
use secp256k1::SecretKey;

use crate::{Enode, Host, Multiaddrs, MultiaddrsError, keys::key_of, multiaddrs::unpack};

/// Largest encoded record (EIP-778).
pub const MAX_RECORD: usize = 300;

/// Longest text of a record: `enr:` and [`MAX_RECORD`] bytes in base64.
pub const MAX_RECORD_TEXT: usize = 4 + MAX_RECORD / 3 * 4;

/// A node record whose signature was checked, or which we signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(pub(crate) Enr<SecretKey>);

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
    /// Larger than [`MAX_RECORD`].
    #[error("{length} bytes are over the limit of {MAX_RECORD} for a node record")]
    TooLarge {
        /// Its size.
        length: usize,
    },
    /// Not base64.
    #[error("the text behind enr: is not base64 of the URL alphabet without padding")]
    Base64,
    /// Keys that are not in order, or one twice.
    #[error("the keys of the node record are not in order")]
    KeyOrder,
    /// Not the identity scheme `v4`.
    #[error("the identity scheme of the node record is not v4")]
    Scheme,
    /// Not signed by its key.
    #[error("the signature of the node record is not by its key")]
    Signature,
    /// Not a record.
    #[error("not a valid node record")]
    Malformed(#[source] alloy_rlp::Error),
    /// A valid record with more behind it, or one that is not in the shortest form.
    #[error("more follows the node record, or it is not in its shortest form")]
    Leftover,
    /// Larger than [`MAX_RECORD`] even when all that can be left out is, or not signable.
    #[error("the record cannot be made")]
    Sign(#[source] enr::Error),
    /// The sequence number cannot grow any more.
    #[error("the sequence number of the node record is exhausted")]
    SeqExhausted,
}

/// A key of a record that does not hold what the key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Other RLP than the key's.
    #[error("the key `{key}` of the node record does not hold {expected}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// The value of `multiaddrs`.
    #[error(transparent)]
    Multiaddrs(#[from] MultiaddrsError),
}

impl Record {
    /// Reads the binary form.
    ///
    /// # Errors
    /// [`RecordError`], also if anything follows the record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLarge { length: bytes.len() });
        }
        let record = Enr::decode(&mut &*bytes).map_err(|error| match error {
            // The words of enr 0.14; a test holds it to them.
            alloy_rlp::Error::Custom("Unsorted keys") => RecordError::KeyOrder,
            alloy_rlp::Error::Custom("Invalid Signature") => RecordError::Signature,
            alloy_rlp::Error::Custom("Unsupported identity scheme") => RecordError::Scheme,
            other => RecordError::Malformed(other),
        })?;
        if alloy_rlp::encode(&record) != bytes {
            return Err(RecordError::Leftover); // enr 0.14 reads a record and ignores what follows it
        }
        Ok(Self(record))
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(&self.0)
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
        self.ip4().map(IpAddr::V4).or_else(|| self.ip6().map(IpAddr::V6))
    }

    /// The v4 address.
    pub fn ip4(&self) -> Option<Ipv4Addr> {
        self.0.ip4()
    }

    /// The v6 address.
    pub fn ip6(&self) -> Option<Ipv6Addr> {
        self.0.ip6()
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

    /// Where RLPx listens, v4 before v6. Ports of 0 say that it does not.
    pub fn tcp_addrs(&self) -> Vec<SocketAddr> {
        self.endpoints(self.0.tcp4(), self.0.tcp6())
    }

    /// Where libp2p's QUIC listens, v4 before v6 (beacon nodes' keys `quic` and `quic6`).
    ///
    /// # Errors
    /// [`EntryError`] if a port is none.
    pub fn quic_addrs(&self) -> Result<Vec<SocketAddr>, EntryError> {
        Ok(self.endpoints(self.port("quic")?, self.port("quic6")?))
    }

    fn endpoints(&self, port4: Option<u16>, port6: Option<u16>) -> Vec<SocketAddr> {
        let v4 = self.ip4().map(IpAddr::V4).zip(port4);
        let v6 = self.ip6().map(IpAddr::V6).zip(port6.or(port4));
        v4.into_iter().chain(v6).filter(|(_, port)| *port != 0).map(SocketAddr::from).collect()
    }

    /// The first fork id of the key `eth`; what follows it is ignored, as EIP-2124 asks.
    ///
    /// # Errors
    /// [`EntryError`] if the key holds something else.
    pub fn eth(&self) -> Result<Option<ForkId>, EntryError> {
        self.0.get_raw_rlp("eth").map(fork_id).transpose()
    }

    /// The version of the key `les` (geth up to 1.13.5 writes 1): the node serves LES.
    ///
    /// # Errors
    /// [`EntryError`] if the key holds something else.
    pub fn les(&self) -> Result<Option<u64>, EntryError> {
        let malformed = EntryError::Malformed { key: "les", expected: "a list that begins with a version" };
        let version = |mut rlp: &[u8]| {
            let mut list = Header::decode_bytes(&mut rlp, true)?;
            if list.is_empty() { Ok(0) } else { u64::decode(&mut list) }
        };
        self.0.get_raw_rlp("les").map(version).transpose().map_err(|_| malformed)
    }

    /// Whether the node serves snap.
    pub fn snap(&self) -> bool {
        self.0.get_raw_rlp("snap").is_some()
    }

    /// Whether it is a consensus client's (`eth2`), which serves nothing to us.
    pub fn is_consensus(&self) -> bool {
        self.0.get_raw_rlp("eth2").is_some()
    }

    /// The addresses of the key `multiaddrs`, as the record carries them: see [`crate::Multiaddr::to_dial`].
    ///
    /// # Errors
    /// [`EntryError`] if the key holds something else.
    pub fn multiaddrs(&self) -> Result<Multiaddrs, EntryError> {
        match self.0.get_decodable::<Bytes>("multiaddrs") {
            None => Ok(Multiaddrs::default()),
            Some(Ok(value)) => Ok(unpack(&value)?),
            Some(Err(_)) => Err(EntryError::Malformed { key: "multiaddrs", expected: "a byte string" }),
        }
    }

    /// Names of all its keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.0.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// Every key with its value in RLP, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
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

    fn port(&self, key: &'static str) -> Result<Option<u16>, EntryError> {
        let port = self.0.get_decodable::<u16>(key).transpose();
        port.map_err(|_| EntryError::Malformed { key, expected: "a port" })
    }
}

/// `[[hash, next], …]`
fn fork_id(mut rlp: &[u8]) -> Result<ForkId, EntryError> {
    let mut read = || {
        let mut list = Header::decode_bytes(&mut rlp, true)?;
        let mut id = Header::decode_bytes(&mut list, true)?;
        Ok(ForkId { hash: <[u8; 4]>::decode(&mut id)?, next: u64::decode(&mut id)? })
    };
    read().map_err(|_: alloy_rlp::Error| EntryError::Malformed { key: "eth", expected: "a list of fork ids" })
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
        let base64 = text.strip_prefix("enr:").ok_or(RecordError::Prefix)?;
        Self::decode(&BASE64URL_NOPAD.decode(base64.as_bytes()).map_err(|_| RecordError::Base64)?)
    }
}

#[cfg(test)]
mod tests {
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    use super::*;
    use crate::{Multiaddr, MultiaddrError, node_key};

    /// discovery.md 1.1 (EIP-778's own example record, with other values).
    const VECTOR: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZu\
                          Oh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QA\
                          dpzBQA8yWM0xOIN1ZHCCdl8";

    /// discovery.md 1.1: as geth writes a LES server's.
    const LES: &str = "enr:-KO4QHQD4TMCuson0tvgBaIbWLORzeS58c5BUM2Ld3buB01NLKbE6eKF6R19JtmUDD8EyMmIzjQoARjn\
                       QdrCpnqff1ABg2V0aMfGhAfJRi6AgmlkgnY0gmlwhH8AAAGDbGVzwQGJc2VjcDI1NmsxoQPKY0yuDUmstAHY\
                       pMa2_oxVtw0RW_QAdpzBQA8yWM0xOIRzbmFwwIN0Y3CCdl-DdWRwgnZf";

    /// discovery.md 4: a Waku node's record.
    const WAKU: &str = "enr:-Me4QE-LJkZ1FIlC1ag9htp-T-XU0BRHLW99Mgk7dW5z4xUxZ31zONDLfmRJBRlms7gDex9EWd03aZiF\
                        dqyg9-ngXq8BgmlkgnY0gmlwhH8AAAGKbXVsdGlhZGRyc54AEjYLZXhhbXBsZS5jb20GAbveAwAIBH8AAAEG\
                        IyiCcnOHAAECAAAABYlzZWNwMjU2azGhA8pjTK4NSay0Adikxrb-jFW3DRFb9AB2nMFADzJYzTE4g3RjcIIj\
                        KIN1ZHCCIyiFd2FrdTIN";

    fn secret() -> SecretKey {
        "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291".parse().expect("valid secret")
    }

    /// A record with one key of our choice, properly signed.
    fn with(key: &str, rlp: &[u8]) -> Record {
        let mut builder = Enr::builder();
        builder.add_value_rlp(key, rlp.to_vec().into());
        Record(builder.build(&secret()).expect("fits"))
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
    fn what_geth_writes_of_a_les_server_is_read() {
        let record: Record = LES.parse().expect("valid");

        assert_eq!(record.size(), 165);
        assert_eq!(record.eth(), Ok(Some(ForkId { hash: [0x07, 0xc9, 0x46, 0x2e], next: 0 })));
        assert_eq!((record.les(), record.snap()), (Ok(Some(1)), true));
        assert_eq!(record.tcp_addrs(), [SocketAddr::from(([127, 0, 0, 1], 30303))]);
        assert_eq!(record.libp2p_addrs(), []);
    }

    #[test]
    fn a_waku_record_gives_its_multiaddrs() {
        let record: Record = WAKU.parse().expect("valid");

        let addrs = record.multiaddrs().expect("well formed").addresses;

        let texts: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["/dns4/example.com/tcp/443/wss", "/ip4/127.0.0.1/tcp/9000"]);
    }

    #[test]
    fn keys_that_do_not_hold_what_they_mean_are_named() {
        assert_eq!(with("les", &[0xc0]).les(), Ok(Some(0))); // served, version unsaid

        for rlp in [&[0x01][..], &[0xc0], &[0xc1, 0x01], &[0xc2, 0xc1, 0x01]] {
            assert!(
                matches!(with("eth", rlp).eth(), Err(EntryError::Malformed { key: "eth", .. })),
                "{rlp:?}"
            );
        }
        assert!(matches!(with("les", &[0x01]).les(), Err(EntryError::Malformed { key: "les", .. })));
        let ports = with("quic", &[0x83, 1, 2, 3]);
        assert!(matches!(ports.quic_addrs(), Err(EntryError::Malformed { key: "quic", .. })));
        let list = with("multiaddrs", &[0xc0]);
        assert!(matches!(list.multiaddrs(), Err(EntryError::Malformed { key: "multiaddrs", .. })));
        let cut = with("multiaddrs", &[0x82, 0, 9]);
        assert_eq!(cut.multiaddrs(), Err(EntryError::Multiaddrs(MultiaddrsError::CutShort)));
        let mut empty_items = Vec::new();
        Bytes::from(vec![0; 160]).encode(&mut empty_items);
        let many = with("multiaddrs", &empty_items);
        assert_eq!(many.multiaddrs(), Err(EntryError::Multiaddrs(MultiaddrsError::TooMany)));
    }

    #[test]
    fn a_relay_address_that_names_its_own_node_is_not_dialed() {
        let own = crate::Part::P2p(crate::libp2p_peer_id(node_key(&secret())));
        let addr: Multiaddr = format!("/ip4/127.0.0.1/tcp/9000{own}").parse().expect("valid");
        let mut value = Vec::new();
        Bytes::from(crate::multiaddrs::pack(std::slice::from_ref(&addr))).encode(&mut value);

        let record = with("multiaddrs", &value);

        assert_eq!(record.multiaddrs().expect("well formed").addresses, std::slice::from_ref(&addr));
        assert_eq!(addr.to_dial(record.key()), Err(MultiaddrError::RelaysItself));
        assert_eq!(record.libp2p_addrs(), []);
    }

    #[test]
    fn altered_and_foreign_texts_are_refused() {
        let altered = VECTOR.replacen("HCY", "HCZ", 1);
        assert_eq!(altered.parse::<Record>(), Err(RecordError::Signature));
        assert_eq!(format!("{VECTOR}AAAA").parse::<Record>(), Err(RecordError::Leftover));
        assert_eq!("enr:=".parse::<Record>(), Err(RecordError::Base64));
        assert!(matches!("enr:".parse::<Record>(), Err(RecordError::Malformed(_))));
        assert_eq!(VECTOR[4..].parse::<Record>(), Err(RecordError::Prefix));
        assert_eq!("e".repeat(405).parse::<Record>(), Err(RecordError::TooLong { length: 405 }));
        assert_eq!(Record::decode(&[0xf9; 301]), Err(RecordError::TooLarge { length: 301 }));
    }

    #[test]
    fn keys_out_of_order_and_other_schemes_are_named() {
        let bytes = VECTOR.parse::<Record>().expect("valid").encode();
        let at = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what).expect("there");

        let mut unsorted = bytes.clone();
        unsorted[at(b"\x83udp") + 1] = b'a'; // `adp` behind `secp256k1`
        let mut scheme = bytes.clone();
        scheme[at(b"\x82v4") + 2] = b'5';

        assert_eq!(Record::decode(&unsorted), Err(RecordError::KeyOrder));
        assert_eq!(Record::decode(&scheme), Err(RecordError::Scheme));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..310)) {
            let _ = Record::decode(&bytes);
        }

        /// Whatever a key holds, reading it neither panics nor gives more than its limits.
        #[test]
        fn any_value_is_read_without_a_panic(
            key in prop::sample::select(vec!["eth", "les", "snap", "quic", "quic6", "multiaddrs", "eth2"]),
            value in prop::collection::vec(any::<u8>(), 0..150),
            list in any::<bool>(),
        ) {
            let mut rlp = Vec::new();
            Header { list, payload_length: value.len() }.encode(&mut rlp);
            rlp.extend(&value);
            let mut builder = Enr::builder();
            builder.add_value_rlp(key, rlp.into());
            if let Ok(record) = builder.build(&secret()) {
                let record = Record(record);
                let _ = (record.eth(), record.les(), record.snap(), record.quic_addrs());
                prop_assert!(record.libp2p_addrs().len() <= crate::MAX_MULTIADDRS + 2);
            }
        }
    }
}
