//! The data of each packet type.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use alloy_primitives::{B256, B512};
use bytes::Bytes;
use causeway_wire::{
    NodeKey,
    rlp::{self, Error, Reader},
};

use super::{HEAD, MAX_PACKET};

/// The version that a ping names.
pub const VERSION: u64 = 4;

/// Where a node is, as packets say it: `[ip, udp-port, tcp-port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; `None` if it is not of 4 or 16 bytes (geth writes none while it does not know its own).
    pub ip: Option<IpAddr>,
    /// Port of discovery.
    pub udp: u16,
    /// Port of RLPx; 0 if there is none, or it is not known.
    pub tcp: u16,
}

/// Asks whether a node is there, and proves nothing by itself (type 1).
///
/// ```text
/// [version, from, to, expiration, enr-seq]          enr-seq: EIP-868, may be absent
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Where the sender says it is; only the TCP port is of use, the packet's source tells the rest.
    pub from: Endpoint,
    /// Where the sender sees the recipient.
    pub to: Endpoint,
    /// UNIX time in seconds after which the packet counts for nothing.
    pub expiration: u64,
    /// Sequence number of the sender's record.
    pub enr_seq: Option<u64>,
}

/// Answers a [`Ping`], and proves that the sender receives at its address (type 2).
///
/// ```text
/// [to, ping-hash, expiration, enr-seq]              enr-seq: EIP-868, may be absent
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Where the ping came from.
    pub to: Endpoint,
    /// Hash of the ping.
    pub ping_hash: B256,
    /// As in [`Ping`].
    pub expiration: u64,
    /// Sequence number of the sender's record.
    pub enr_seq: Option<u64>,
}

/// Asks for the nodes that the recipient knows closest to a key (type 3).
///
/// ```text
/// [target, expiration]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindNode {
    /// The key; its hash is what is compared. Need not be a point of the curve.
    pub target: NodeKey,
    /// As in [`Ping`].
    pub expiration: u64,
}

/// Answers a [`FindNode`], in as many packets as it takes (type 4).
///
/// ```text
/// [[[ip, udp-port, tcp-port, node-key], …], expiration]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbors {
    /// The nodes.
    pub nodes: Vec<Neighbor>,
    /// As in [`Ping`].
    pub expiration: u64,
}

/// A node as another one names it; nothing of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Where it is said to be.
    pub endpoint: Endpoint,
    /// Its key; may be no point of the curve.
    pub key: NodeKey,
}

/// Asks for the recipient's record (EIP-868, type 5).
///
/// ```text
/// [expiration]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnrRequest {
    /// As in [`Ping`].
    pub expiration: u64,
}

/// Answers an [`EnrRequest`] (EIP-868, type 6).
///
/// ```text
/// [request-hash, record]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrResponse {
    /// Hash of the request.
    pub request_hash: B256,
    /// The record as it came: whoever asked for it checks it.
    pub record: Bytes,
}

impl Endpoint {
    /// The endpoint of a node at `udp` whose RLPx listens on `tcp`.
    pub fn new(udp: SocketAddr, tcp: u16) -> Self {
        Self { ip: Some(udp.ip().to_canonical()), udp: udp.port(), tcp }
    }

    /// Where a node that does not know its own address says it is.
    pub const fn unknown(tcp: u16) -> Self {
        Self { ip: Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), udp: 0, tcp }
    }

    /// The address of discovery, if it is one.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        let ip = self.ip.filter(|ip| !ip.is_unspecified() && self.udp != 0)?;
        Some(SocketAddr::new(ip, self.udp))
    }

    fn decode(fields: &mut Reader<'_>) -> Result<Self, Error> {
        let mut list = fields.list()?;
        let ip = read_ip(list.string()?);
        let udp = read_port(&mut list)?;
        let tcp = if list.is_empty() { 0 } else { read_port(&mut list)? };
        Ok(Self { ip, udp, tcp })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| self.encode_fields(out));
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        match self.ip {
            Some(IpAddr::V4(ip)) => rlp::put_string(out, &ip.octets()),
            Some(IpAddr::V6(ip)) => rlp::put_string(out, &ip.octets()),
            None => rlp::put_string(out, &[]),
        }
        rlp::put_uint(out, self.udp.into());
        rlp::put_uint(out, self.tcp.into());
    }
}

impl Ping {
    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(data).list()?;
        fields.string()?; // the version: any will do (EIP-8)
        Ok(Self {
            from: Endpoint::decode(&mut fields)?,
            to: Endpoint::decode(&mut fields)?,
            expiration: fields.uint()?,
            enr_seq: read_seq(&mut fields),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            rlp::put_uint(out, VERSION);
            self.from.encode(out);
            self.to.encode(out);
            rlp::put_uint(out, self.expiration);
            if let Some(seq) = self.enr_seq {
                rlp::put_uint(out, seq);
            }
        });
    }
}

impl Pong {
    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(data).list()?;
        Ok(Self {
            to: Endpoint::decode(&mut fields)?,
            ping_hash: fields.hash()?,
            expiration: fields.uint()?,
            enr_seq: read_seq(&mut fields),
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            self.to.encode(out);
            rlp::put_string(out, self.ping_hash.as_slice());
            rlp::put_uint(out, self.expiration);
            if let Some(seq) = self.enr_seq {
                rlp::put_uint(out, seq);
            }
        });
    }
}

impl FindNode {
    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(data).list()?;
        Ok(Self { target: read_key(&mut fields)?, expiration: fields.uint()? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            rlp::put_string(out, self.target.0.as_slice());
            rlp::put_uint(out, self.expiration);
        });
    }
}

impl Neighbors {
    /// The packets that carry `nodes`, none larger than [`MAX_PACKET`]; one without nodes if there are none.
    pub fn split(nodes: &[Neighbor], expiration: u64) -> Vec<Self> {
        let mut packets = vec![Self { nodes: Vec::new(), expiration }];
        let mut room = NODES_ROOM;
        for node in nodes {
            let mut encoded = Vec::new();
            node.encode(&mut encoded);
            if encoded.len() > room {
                packets.push(Self { nodes: Vec::new(), expiration });
                room = NODES_ROOM;
            }
            room -= encoded.len();
            if let Some(last) = packets.last_mut() {
                last.nodes.push(*node);
            }
        }
        packets
    }

    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(data).list()?;
        let mut list = fields.list()?;
        let mut nodes = Vec::new(); // MAX_PACKET has room for 18 of the smallest
        while !list.is_empty() {
            nodes.push(Neighbor::decode(&mut list)?);
        }
        Ok(Self { nodes, expiration: fields.uint()? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            rlp::put_list(out, |out| self.nodes.iter().for_each(|node| node.encode(out)));
            rlp::put_uint(out, self.expiration);
        });
    }
}

/// Bytes that a packet has for nodes: without head, type, the headers of two lists and the expiration.
const NODES_ROOM: usize = MAX_PACKET - HEAD - 1 - 3 - 3 - 9;

impl Neighbor {
    fn decode(list: &mut Reader<'_>) -> Result<Self, Error> {
        let mut fields = list.list()?;
        let ip = read_ip(fields.string()?);
        let udp = read_port(&mut fields)?;
        let tcp = read_port(&mut fields)?;
        Ok(Self { endpoint: Endpoint { ip, udp, tcp }, key: read_key(&mut fields)? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            self.endpoint.encode_fields(out);
            rlp::put_string(out, self.key.0.as_slice());
        });
    }
}

impl EnrRequest {
    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        Ok(Self { expiration: Reader::new(data).list()?.uint()? })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| rlp::put_uint(out, self.expiration));
    }
}

impl EnrResponse {
    pub(super) fn decode(data: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(data).list()?;
        let request_hash = fields.hash()?;
        let record = fields.item()?;
        if !record.is_list {
            return Err(Error::Kind);
        }
        Ok(Self { request_hash, record: Bytes::copy_from_slice(record.raw) })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        rlp::put_list(out, |out| {
            rlp::put_string(out, self.request_hash.as_slice());
            out.extend_from_slice(&self.record);
        });
    }
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(octets).to_canonical()) // geth writes v4 addresses in 16 bytes in places
}

fn read_port(fields: &mut Reader<'_>) -> Result<u16, Error> {
    u16::try_from(fields.uint()?).map_err(|_| Error::Overflow)
}

fn read_key(fields: &mut Reader<'_>) -> Result<NodeKey, Error> {
    fields.fixed().map(|key| NodeKey(B512::new(key)))
}

/// Before EIP-868 anything could stand in this place, and nobody minded (EIP-8).
fn read_seq(fields: &mut Reader<'_>) -> Option<u64> {
    fields.item().ok()?.uint().ok()
}
