//! Routers that speak NAT-PMP and PCP, honest and otherwise.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Instant,
};

use tokio::net::UdpSocket;

/// A router whose answers are what `answer` gives for each packet.
pub(crate) async fn router(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for packet in answer(&buffer[..length]) {
                let _ = socket.send_to(&packet, from).await;
            }
        }
    });
    address
}

/// An honest router's memory.
#[derive(Debug)]
pub(crate) struct Table {
    /// By protocol and internal port: external port, lifetime, nonce if by PCP.
    pub(crate) mappings: BTreeMap<(u8, u16), (u16, u32, [u8; 12])>,
    pub(crate) outside: Ipv4Addr,
    pub(crate) started: Instant,
    /// Requests that made a mapping.
    pub(crate) made: usize,
    pub(crate) silent: bool,
    pub(crate) knows_pcp: bool,
    /// What it adds to the wished port.
    pub(crate) shift: u16,
    /// The most seconds that it grants.
    pub(crate) grants: u32,
}

pub(crate) type Shared = Arc<Mutex<Table>>;

impl Table {
    pub(crate) fn shared() -> Shared {
        Arc::new(Mutex::new(Self {
            mappings: BTreeMap::new(),
            outside: Ipv4Addr::new(1, 2, 3, 4),
            started: Instant::now(),
            made: 0,
            silent: false,
            knows_pcp: true,
            shift: 0,
            grants: u32::MAX,
        }))
    }

    /// Forgets everything, as after a power cut; its clock had run for long before.
    pub(crate) fn restart(&mut self) {
        self.mappings.clear();
        self.started = Instant::now();
    }

    fn epoch(&self) -> [u8; 4] {
        u32::try_from(self.started.elapsed().as_secs()).expect("a short test").to_be_bytes()
    }

    pub(crate) fn answer(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        if self.silent {
            return vec![];
        }
        match packet {
            [0, 0] => vec![[&[0, 128, 0, 0], &self.epoch()[..], &self.outside.octets()].concat()],
            [0, operation @ (1 | 2), ..] if packet.len() == 12 => vec![self.map_pmp(*operation, packet)],
            [2, ..] if !self.knows_pcp => vec![[&[0, 128 + packet[1], 0, 1], &self.epoch()[..]].concat()],
            [2, 0, ..] if packet.len() == 24 => vec![self.head_of_pcp(0, 0)],
            [2, 1, ..] if packet.len() == 60 => vec![self.map_pcp(packet)],
            _ => panic!("nobody asks that: {packet:?}"),
        }
    }

    fn map_pmp(&mut self, operation: u8, packet: &[u8]) -> Vec<u8> {
        let (internal, wished) = (u16_at(packet, 4), u16_at(packet, 6));
        let lifetime = u32_at(packet, 8).min(self.grants);
        let external = self.keep((operation, internal), wished, lifetime, [0; 12]);
        let mut answer = vec![0, 128 + operation, 0, 0];
        answer.extend(self.epoch());
        answer.extend(internal.to_be_bytes());
        answer.extend(external.to_be_bytes());
        answer.extend(lifetime.to_be_bytes());
        answer
    }

    fn map_pcp(&mut self, packet: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = packet[24..36].try_into().expect("twelve octets");
        assert_eq!(packet[8..24], Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets());
        let (internal, wished) = (u16_at(packet, 40), u16_at(packet, 42));
        let lifetime = u32_at(packet, 4).min(self.grants);
        let key = (packet[36], internal);
        if self.mappings.get(&key).is_some_and(|(_, _, known)| *known != nonce) {
            return [self.head_of_pcp(1, 2), packet[24..].to_vec()].concat();
        }
        let external = self.keep(key, wished, lifetime, nonce);
        let mut answer = self.head_of_pcp(1, 0);
        answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
        answer.extend(&packet[24..42]);
        answer.extend(external.to_be_bytes());
        answer.extend(self.outside.to_ipv6_mapped().octets());
        answer
    }

    fn head_of_pcp(&self, operation: u8, result: u8) -> Vec<u8> {
        [&[2, 128 + operation, 0, result, 0, 0, 0, 60], &self.epoch()[..], &[0; 12]].concat()
    }

    fn keep(&mut self, key: (u8, u16), wished: u16, lifetime: u32, nonce: [u8; 12]) -> u16 {
        if lifetime == 0 {
            self.mappings.remove(&key);
            return 0;
        }
        self.made += 1;
        let shift = self.shift;
        self.mappings.entry(key).or_insert((wished + shift, lifetime, nonce)).0
    }
}

/// A router that does as it is asked.
pub(crate) async fn table_router(table: Shared) -> SocketAddr {
    router(move |packet| table.lock().expect("unpoisoned").answer(packet)).await
}

fn u16_at(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(packet[at..at + 2].try_into().expect("two octets"))
}

fn u32_at(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().expect("four octets"))
}
