//! Floods of discv4 and discv5 from one machine: each costs the relay little, answers nobody who has not shown that
//! it receives, and light peers are served meanwhile.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use alloy_primitives::{B256, B512};
use anyhow::{Context, ensure};
use causeway_discv4::packet::{Endpoint, EnrRequest, FindNode, Neighbors, Packet, Ping, Pong};
use causeway_records::{Record, node_key};
use causeway_wire::NodeKey;
use ctr::cipher::{KeyIvInit, StreamCipher};
use futures::future::try_join_all;
use secp256k1::{PublicKey, SecretKey};
use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    process::{PATIENCE, Peer},
    relay::{self, Relay, Way},
};

/// How long all floods last.
const LENGTH: Duration = Duration::from_secs(8);

/// Packets of each flood in one go, and the pause between two of these: 600 a second, each flood.
const BURST: usize = 6;
const PAUSE: Duration = Duration::from_millis(10);

/// What a relay may grow by under all of this, KiB.
const MEMORY: u64 = 32 * 1024;

/// Lines that the relay may log of all this, beside those of light peers that come and go.
const LINES: usize = 5;

/// So long after the floods answers are still counted.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Longest datagram of either protocol.
const MAX_DATAGRAM: usize = 1280;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// Random bytes of any length.
    Random,
    /// Pings, each by a fresh key.
    Ping,
    /// Questions, each by a fresh key that has never shown that it receives at its address.
    FindNode,
    RecordRequest,
    /// Answers to what was never asked.
    Pong,
    Neighbors,
    /// Messages of sessions that do not exist, each by a fresh node.
    Message,
    /// Challenges to what was never sent.
    WhoAreYou,
    /// Ends of handshakes that never began.
    Handshake,
}

impl Flood {
    const ALL: [Self; 9] = [
        Self::Random,
        Self::Ping,
        Self::FindNode,
        Self::RecordRequest,
        Self::Pong,
        Self::Neighbors,
        Self::Message,
        Self::WhoAreYou,
        Self::Handshake,
    ];

    /// One packet of it.
    fn packet(self, target: &Target) -> anyhow::Result<Vec<u8>> {
        let key = SecretKey::from_secret_bytes(rand::random()).context("a key")?;
        let expiration = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + 20;
        let endpoint = Endpoint::new(target.addr, target.addr.port());
        let anybody = NodeKey(B512::from_slice([rand::random::<[u8; 32]>(); 2].as_flattened()));
        let signed = |packet: Packet| packet.encode(&key).0.to_vec();
        let node = node_key(&key).node_id();
        Ok(match self {
            Self::Random => {
                let length = usize::from(rand::random::<u16>()) % MAX_DATAGRAM;
                (0..length).map(|_| rand::random()).collect()
            }
            Self::Ping => {
                let from = Endpoint { ip: None, udp: 0, tcp: 0 };
                signed(Packet::Ping(Ping { from, to: endpoint, expiration, enr_seq: Some(1) }))
            }
            Self::FindNode => signed(Packet::FindNode(FindNode { target: anybody, expiration })),
            Self::RecordRequest => signed(Packet::EnrRequest(EnrRequest { expiration })),
            Self::Pong => {
                let ping_hash = B256::from(rand::random::<[u8; 32]>());
                signed(Packet::Pong(Pong { to: endpoint, ping_hash, expiration, enr_seq: Some(u64::MAX) }))
            }
            Self::Neighbors => signed(Packet::Neighbors(Neighbors { nodes: Vec::new(), expiration })),
            Self::Message => discv5(target, MESSAGE, node.as_slice(), &rand::random::<[u8; 32]>()),
            Self::WhoAreYou => discv5(target, WHO_ARE_YOU, &rand::random::<[u8; 24]>(), &[]),
            Self::Handshake => {
                let mut auth = node.to_vec();
                auth.extend([64, 33]); // the sizes of what follows: a signature and a key
                auth.extend(rand::random::<[[u8; 32]; 2]>().as_flattened());
                auth.extend(PublicKey::from_secret_key(&key).serialize());
                discv5(target, HANDSHAKE, &auth, &rand::random::<[u8; 32]>())
            }
        })
    }

    /// What may come back, by name.
    fn may_bring(self) -> &'static [&'static str] {
        match self {
            // It wants to know whether the other receives at its address: that is what a ping is for.
            Self::Ping => &["pong", "ping"],
            Self::Message => &["discv5"],
            _ => &[],
        }
    }
}

/// Kinds of discv5's packets.
const MESSAGE: u8 = 0;
const WHO_ARE_YOU: u8 = 1;
const HANDSHAKE: u8 = 2;

/// A packet of discv5 with a header as it must be: `iv || masked(header) || message`.
fn discv5(target: &Target, kind: u8, auth: &[u8], message: &[u8]) -> Vec<u8> {
    let iv: [u8; 16] = rand::random();
    let mut header = b"discv5\x00\x01".to_vec();
    header.push(kind);
    header.extend(rand::random::<[u8; 12]>()); // nonce
    header.extend(u16::try_from(auth.len()).unwrap_or_default().to_be_bytes());
    header.extend_from_slice(auth);
    let mut key = [0; 16];
    key.copy_from_slice(&target.id[..16]);
    ctr::Ctr128BE::<aes::Aes128>::new(&key.into(), &iv.into()).apply_keystream(&mut header);
    [&iv, header.as_slice(), message].concat()
}

/// Whom the floods are for.
#[derive(Clone, Copy, Debug)]
struct Target {
    addr: SocketAddr,
    id: B256,
}

/// What became of a flood.
#[derive(Debug, Default)]
struct Tally {
    port: u16,
    packets: u64,
    bytes: u64,
    /// Packets and bytes that came back, by what they are.
    answers: BTreeMap<&'static str, (u64, u64)>,
}

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let options = ["--full-node".to_owned(), geth.enode()];
    let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options).await?;
    relay.at_head(geth.number()).await?;
    let record: Record = relay.says("enr")?.parse().context("the relay's record")?;
    let ip = record.ip().context("the record has an address")?;
    let port = record.udp().context("the record has a port")?;
    let target = Target { addr: SocketAddr::new(ip, port), id: record.node_id() };
    read(&stage, &geth, &relay).await?;
    let before = relay.peer.memory("VmRSS")?;
    let logged = relay.peer.log().lines().count();

    let over = AtomicBool::new(false);
    let floods = async {
        let tallies = try_join_all(Flood::ALL.map(|flood| send(flood, target))).await;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(tallies?)
    };
    let honest = async {
        let (mut reads, mut slowest) = (0, Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            read(&stage, &geth, &relay).await?;
            (reads, slowest) = (reads + 1, slowest.max(begun.elapsed()));
        }
        anyhow::Ok((reads, slowest))
    };
    let (tallies, (reads, slowest)) = futures::future::try_join(floods, honest).await?;

    for (flood, tally) in Flood::ALL.iter().zip(&tallies) {
        judge(*flood, tally)?;
    }
    let most = relay.peer.memory("VmHWM")?;
    let grown = most.saturating_sub(before);
    ensure!(grown < MEMORY, "memory grew by {grown} KiB, over the limit of {MEMORY} KiB");
    quiet(&relay, logged, &tallies)?;
    let drops =
        geth.peer.said().iter().filter(|line| line["event"] == "peer" && line["what"] == "drop").count();
    ensure!(drops == 0, "geth lost the relay {drops} times");
    answers_still(&stage, &relay).await?;
    relay.stop().await?;

    let total = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let mut came: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, (packets, _)) in tallies.iter().flat_map(|tally| &tally.answers) {
        *came.entry(name).or_default() += packets;
    }
    Ok(format!(
        "{} packets ({} KiB) in {} s, answers: {came:?} ({} KiB), none without proof; memory at most {} MiB over the {} MiB \
         before; {reads} honest reads, all verified, the slowest in {:.1} s",
        total(|tally| tally.packets),
        total(|tally| tally.bytes) / 1024,
        LENGTH.as_secs(),
        total(|tally| tally.answers.values().map(|(_, bytes)| bytes).sum()) / 1024,
        grown / 1024,
        before / 1024,
        slowest.as_secs_f64(),
    ))
}

/// Sends one flood to its end.
async fn send(flood: Flood, target: Target) -> anyhow::Result<Tally> {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let port = socket.local_addr()?.port();
    let hearing = tokio::spawn(hear(Arc::clone(&socket)));
    let (mut packets, mut bytes) = (0, 0);
    let end = Instant::now() + LENGTH;
    let mut beat = interval(PAUSE);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < end {
        beat.tick().await;
        for _ in 0..BURST {
            let packet = flood.packet(&target)?;
            // A full buffer of ours loses packets as the network does.
            if socket.send_to(&packet, target.addr).await.is_ok() {
                packets += 1;
                bytes += packet.len() as u64;
            }
        }
    }
    let answers = hearing.await?;
    Ok(Tally { port, packets, bytes, answers })
}

/// Counts what comes back.
async fn hear(socket: Arc<UdpSocket>) -> BTreeMap<&'static str, (u64, u64)> {
    let mut answers: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut buffer = vec![0; 2 * MAX_DATAGRAM];
    let end = Instant::now() + LENGTH + AFTERMATH;
    while let Ok(received) = tokio::time::timeout_at(end, socket.recv(&mut buffer)).await {
        let Ok(length) = received else { continue };
        let name = match Packet::decode(&buffer[..length]) {
            Ok(opened) => match opened.packet {
                Packet::Ping(_) => "ping",
                Packet::Pong(_) => "pong",
                Packet::FindNode(_) => "find-node",
                Packet::Neighbors(_) => "neighbors",
                Packet::EnrRequest(_) => "record request",
                Packet::EnrResponse(_) => "record",
            },
            Err(_) => "discv5",
        };
        let (packets, bytes) = answers.entry(name).or_default();
        *packets += 1;
        *bytes += length as u64;
    }
    answers
}

/// Nobody gets more than was sent, nor anything that asks for proof first.
fn judge(flood: Flood, tally: &Tally) -> anyhow::Result<()> {
    ensure!(tally.packets > 100, "{flood:?}: only {} packets were sent", tally.packets);
    for (name, (packets, bytes)) in &tally.answers {
        ensure!(flood.may_bring().contains(name), "{flood:?}: {packets} answers: {name}");
        ensure!(*packets <= tally.packets, "{flood:?}: {packets} times {name} to {} packets", tally.packets);
        let most = if flood == Flood::Ping { 2 * tally.bytes } else { tally.bytes };
        ensure!(*bytes <= most, "{flood:?}: {bytes} bytes of {name} to {} bytes", tally.bytes);
    }
    Ok(())
}

/// The log has few lines of it, and nobody's address.
fn quiet(relay: &Relay, logged: usize, tallies: &[Tally]) -> anyhow::Result<()> {
    let log = relay.peer.log();
    let new: Vec<&str> = log.lines().skip(logged).filter(|line| !line.contains("light_peer{")).collect();
    ensure!(new.len() <= LINES, "{} lines in the relay's log, such as: {:?}", new.len(), new.first());
    for tally in tallies {
        let addr = format!("127.0.0.1:{}", tally.port);
        ensure!(!log.contains(&addr), "the relay's log tells a stranger's address");
    }
    Ok(())
}

/// An honest light peer reads the head.
async fn read(stage: &Stage, geth: &Geth, relay: &Relay) -> anyhow::Result<()> {
    let address = relay.address(Way::Tcp)?;
    let light = relay::light(stage, &geth.genesis_file, &address, &["head"], PATIENCE).await?;
    ensure!(light.verified, "the head is not verified: {}", light.object);
    Ok(())
}

/// An honest node gets its answer after all of this.
async fn answers_still(stage: &Stage, relay: &Relay) -> anyhow::Result<()> {
    let mut node = Peer::start(stage, "honest", &stage.workshop.discovery_node, Vec::<String>::new())?;
    node.wait("its ready line", PATIENCE, |line| (line["ready"] == true).then_some(())).await?;
    node.tell(&format!("ping {}", relay.says("enr")?)).await?;
    let pong = node.wait("an answer to its ping", PATIENCE, |line| {
        (line.get("pong").is_some() || line.get("error").is_some()).then(|| line.clone())
    });
    let answer = timeout(PATIENCE, pong).await??;
    ensure!(answer.get("pong").is_some(), "an honest node gets no answer: {answer}");
    Ok(())
}
