//! Hello: who a node is and what it speaks; the first message of each side (rlpx.md section 6).

use std::borrow::Cow;

use alloy_primitives::B512;
use alloy_rlp::{Decodable, Encodable, Header};
use causeway_wire::{Capability, NodeKey};

use crate::{Config, HelloError};

/// The base protocol's version that we speak.
pub(crate) const VERSION: u64 = 5;
/// From this version on a peer compresses payloads.
pub(crate) const SNAPPY_VERSION: u64 = 5;
/// Largest frame before Hello, and largest message of the base protocol (geth, reth).
pub(crate) const LIMIT: usize = 2048;
/// Most characters that are kept of how a peer calls itself.
const CLIENT_ID: usize = 256;

/// ```text
/// [version, clientId, [[name, version], ...], listenPort, nodeKey(64), ...]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: u64,
    pub(crate) client_id: String,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) listen_port: u64,
    pub(crate) key: NodeKey,
}

impl Hello {
    /// What we say of ourselves. Always version 5 and nothing behind the key: reth refuses both others.
    pub(crate) fn of(config: &Config) -> Self {
        let mut capabilities = config.capabilities.clone();
        capabilities.sort();
        Self {
            version: VERSION,
            client_id: config.client_id.clone(),
            capabilities,
            listen_port: config.listen_port.into(),
            key: config.node_key(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let mut pair = Vec::new();
            capability.name.encode(&mut pair);
            capability.version.encode(&mut pair);
            put_list(&pair, &mut capabilities);
        }
        let mut fields = Vec::new();
        self.version.encode(&mut fields);
        self.client_id.encode(&mut fields);
        put_list(&capabilities, &mut fields);
        self.listen_port.encode(&mut fields);
        self.key.0.encode(&mut fields);
        let mut hello = Vec::new();
        put_list(&fields, &mut hello);
        hello
    }

    /// Reads a peer's Hello. Further items are not looked at (EIP-8), whatever they are.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, HelloError> {
        let mut fields = cut(&mut bytes, Kind::List, "hello")?;
        let version = number(&mut fields, "version")?;
        let client_id = printable(cut(&mut fields, Kind::Text, "client id")?);
        let capabilities = read_capabilities(cut(&mut fields, Kind::List, "capabilities")?)?;
        let listen_port = number(&mut fields, "listen port")?;
        let key = cut(&mut fields, Kind::Text, "node key")?;
        let key = B512::try_from(key).map_err(|_| HelloError::KeyLength { length: key.len() })?;
        Ok(Self { version, client_id, capabilities, listen_port, key: NodeKey(key) })
    }
}

/// A capability that no string or number of ours could match is left out; it is no reason to refuse.
fn read_capabilities(mut list: &[u8]) -> Result<Vec<Capability>, HelloError> {
    let mut capabilities = Vec::new();
    while !list.is_empty() {
        let mut pair = cut(&mut list, Kind::List, "capability")?;
        let name = cut(&mut pair, Kind::Text, "capability name")?;
        let version = cut(&mut pair, Kind::Text, "capability version")?;
        let (Ok(name), Ok(version)) = (std::str::from_utf8(name), be_number(version)) else { continue };
        capabilities.push(Capability { name: Cow::Owned(name.to_owned()), version });
    }
    Ok(capabilities)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    List,
}

fn cut<'a>(bytes: &mut &'a [u8], kind: Kind, field: &'static str) -> Result<&'a [u8], HelloError> {
    Header::decode_bytes(bytes, kind == Kind::List).map_err(|_| HelloError::Rlp { field })
}

fn number(bytes: &mut &[u8], field: &'static str) -> Result<u64, HelloError> {
    u64::decode(bytes).map_err(|_| HelloError::Rlp { field })
}

fn be_number(bytes: &[u8]) -> Result<u64, ()> {
    match bytes {
        [0, ..] => Err(()),
        _ if bytes.len() > 8 => Err(()),
        _ => Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))),
    }
}

/// The text for logs and status pages: no control characters that could forge a line.
fn printable(text: &[u8]) -> String {
    let shown =
        |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    String::from_utf8_lossy(text).chars().take(CLIENT_ID).map(shown).collect()
}

fn put_list(payload: &[u8], out: &mut Vec<u8>) {
    Header { list: true, payload_length: payload.len() }.encode(out);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_A: &str = "fda1cff674c90c9a197539fe3dfb53086ace64f83ed7c6eabec741f7f381cc803e52ab2cd55d5569\
                            bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877";

    #[test]
    fn reads_the_hello_of_a_future_version() {
        let text = include_str!("../tests/vectors/hello-55.hex");
        let bytes = hex::decode(text.split_whitespace().collect::<String>()).expect("hex");

        let hello = Hello::decode(&bytes).expect("EIP-8 wants this one accepted");

        assert_eq!(hello.version, 55);
        assert_eq!(hello.client_id, "kneth/v0.91/plan9");
        assert_eq!(hello.capabilities, [Capability::new("eth", 61), Capability::new("mork", 22)]);
        assert_eq!(hello.listen_port, 9999);
        assert_eq!(hello.key.to_string(), PUBLIC_A);
    }

    #[test]
    fn what_we_write_is_sorted_and_reads_back() {
        let hello = Hello::of(&config(vec![Capability::new("les", 4), Capability::new("les", 2)]));

        assert_eq!(hello.capabilities, [Capability::new("les", 2), Capability::new("les", 4)]);
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }

    #[test]
    fn every_truncation_is_malformed() {
        let bytes = Hello::of(&config(vec![Capability::new("les", 4)])).encode();
        for length in 0..bytes.len() {
            let outcome = Hello::decode(&bytes[..length]);
            assert_eq!(outcome, Err(HelloError::Rlp { field: "hello" }), "{length} bytes");
        }
    }

    #[test]
    fn each_field_is_named_when_it_is_malformed() {
        let key = [&[0xb8, 64][..], &[1; 64]].concat();
        let written = |fields: &[&[u8]]| {
            let mut bytes = Vec::new();
            put_list(&fields.concat(), &mut bytes);
            Hello::decode(&bytes)
        };
        let rlp = |field| Err(HelloError::Rlp { field });

        assert_eq!(written(&[&[0xc0]]), rlp("version"));
        assert_eq!(written(&[&[0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9]]), rlp("version"));
        assert_eq!(written(&[&[5], &[0xc0]]), rlp("client id"));
        assert_eq!(written(&[&[5], &[0x80], &[0x80]]), rlp("capabilities"));
        assert_eq!(written(&[&[5], &[0x80], &[0xc1, 0x80], &[0x80], &key]), rlp("capability"));
        assert_eq!(written(&[&[5], &[0x80], &[0xc1, 0xc0], &[0x80], &key]), rlp("capability name"));
        assert_eq!(written(&[&[5], &[0x80], &[0xc2, 0xc1, 1], &[0x80], &key]), rlp("capability version"));
        assert_eq!(written(&[&[5], &[0x80], &[0xc0], &[0xc0], &key]), rlp("listen port"));
        assert_eq!(written(&[&[5], &[0x80], &[0xc0], &[0x80]]), rlp("node key"));
        let short = [0x83, 1, 2, 3];
        let outcome = written(&[&[5], &[0x80], &[0xc0], &[0x80], &short]);
        assert_eq!(outcome, Err(HelloError::KeyLength { length: 3 }));
        assert!(written(&[&[5], &[0x80], &[0xc0], &[0x80], &key]).is_ok());
    }

    #[test]
    fn lists_nested_as_deep_as_hello_can_hold_are_just_another_item() {
        let deep = (0..600).fold(Vec::new(), |inner, _| {
            let mut list = Vec::new();
            put_list(&inner, &mut list);
            list
        });
        let mut hello = Hello::of(&config(Vec::new())).encode();
        let mut fields = Vec::new();
        fields.extend_from_slice(cut(&mut &hello[..], Kind::List, "hello").expect("a list"));
        fields.extend_from_slice(&deep);
        hello.clear();
        put_list(&fields, &mut hello);

        assert!(hello.len() <= LIMIT);
        assert!(Hello::decode(&hello).is_ok());
        assert_eq!(Hello::decode(&deep), Err(HelloError::Rlp { field: "version" }));
    }

    #[test]
    fn capabilities_that_cannot_be_ours_are_left_out() {
        let list = [
            &[0xc3, 0x81, 0xff, 1][..],                     // name is no text
            &[0xcb, b'x', 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9], // version of 9 bytes
            &[0xc5, 0x83, b'l', b'e', b's', 4],
            &[0xc6, 0x83, b'l', b'e', b's', 3, 9], // a third item
        ]
        .concat();

        let capabilities = read_capabilities(&list).expect("a list of pairs");

        assert_eq!(capabilities, [Capability::new("les", 4), Capability::new("les", 3)]);
    }

    #[test]
    fn names_cannot_forge_a_line_in_a_log_or_fill_it() {
        assert_eq!(printable(b"Geth\n\x1b[2J\xff"), "Geth\u{fffd}\u{fffd}[2J\u{fffd}");
        assert_eq!(printable(&[b'x'; 2000]).len(), CLIENT_ID);
    }

    fn config(capabilities: Vec<Capability>) -> Config {
        let secret = secp256k1::SecretKey::from_secret_bytes([7; 32]).expect("a key");
        Config::new(secret, "test/v1".into(), capabilities)
    }
}
