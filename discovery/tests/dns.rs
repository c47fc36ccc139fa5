//! Node lists read from a name server of our own on this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use causeway_discovery::{DnsClient, DnsLists, Pace, Reading, Trees};
use causeway_records::{
    Contents, Record,
    dns_tree::{Limits, Link, SyncEvent, Tree, TreeFault, Unanswered},
};
use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{RData, Record as ResourceRecord, rdata::TXT},
};
use secp256k1::SecretKey;
use tokio::{net::UdpSocket, sync::Notify};
use tokio_util::sync::CancellationToken;

const FAST: Pace = Pace { at_once: 8, per_second: 2000, again: Duration::from_millis(50) };
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// An authoritative server for whatever lies in its map; names are in lower case.
struct Server {
    addr: SocketAddr,
    zone: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<Notify>,
}

impl Server {
    async fn start(tree: &Tree) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let addr = socket.local_addr().expect("bound");
        let zone = Arc::new(Mutex::new(tree.txt_records().into_iter().collect()));
        let asked = Arc::new(Notify::new());
        tokio::spawn(serve(socket, Arc::clone(&zone), Arc::clone(&asked)));
        Self { addr, zone, asked }
    }

    fn publish(&self, tree: &Tree) {
        self.zone.lock().expect("whole").extend(tree.txt_records());
    }

    fn client(&self) -> DnsClient {
        DnsClient::server_within(self.addr, PATIENCE).expect("a client")
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<BTreeMap<String, String>>>, asked: Arc<Notify>) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        let Some(query) = question.queries.first().cloned() else { continue };
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(query.clone());
        answer.metadata.authoritative = true;
        let name = query.name().to_string();
        assert_eq!(name, name.to_lowercase(), "servers store names in lower case");
        match zone.lock().expect("whole").get(name.trim_end_matches('.')) {
            Some(text) if text == "silence" => continue,
            Some(text) => {
                // In pieces, as a text over 255 bytes must be.
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(100).collect();
                let text = RData::TXT(TXT::from_bytes(pieces));
                answer.add_answer(ResourceRecord::from_rdata(query.name().clone(), 60, text));
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        let bytes = answer.to_vec().expect("encodes");
        let _ = socket.send_to(&bytes, from).await;
        asked.notify_one();
    }
}

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_secret_bytes([byte; 32]).expect("valid secret")
}

fn tree(seq: u64, nodes: u8) -> Tree {
    let records =
        (1..=nodes).map(|n| Record::sign(&secret(n), 1, &Contents::default()).expect("fits").record);
    Tree::sign(&secret(99), "nodes.example", seq, records, []).expect("a name")
}

async fn read(client: DnsClient, link: &Link) -> (usize, Result<u64, TreeFault>) {
    let mut reading = Reading::new(client, [link.clone()], Trees::new(), Limits::default(), FAST);
    let mut found = 0;
    while let Some(event) = reading.next().await {
        match event {
            SyncEvent::Found { .. } => found += 1,
            SyncEvent::Done { outcome, .. } => return (found, outcome.map(|tree| tree.root.seq)),
        }
    }
    panic!("the reading ended without an outcome");
}

#[tokio::test]
async fn a_list_is_read_from_a_name_server() {
    let tree = tree(7, 40);
    let server = Server::start(&tree).await;

    assert_eq!(read(server.client(), tree.link()).await, (40, Ok(7)));
}

#[tokio::test]
async fn a_missing_name_and_a_silent_server_are_told_apart() {
    let tree = tree(1, 3);
    let server = Server::start(&tree).await;

    server.zone.lock().expect("whole").remove("nodes.example");
    let name = "nodes.example".to_owned();
    assert_eq!(read(server.client(), tree.link()).await.1, Err(TreeFault::Missing { name: name.clone() }));

    server.zone.lock().expect("whole").insert(name.clone(), "silence".to_owned());
    let hasty = DnsClient::server_within(server.addr, Duration::from_millis(50)).expect("a client");
    let (_, outcome) = read(hasty, tree.link()).await;
    assert_eq!(outcome, Err(TreeFault::Unanswered { name, why: Unanswered::TimedOut }));
}

#[tokio::test]
async fn a_lie_is_found_out() {
    let tree = tree(1, 3);
    let server = Server::start(&tree).await;
    for text in server.zone.lock().expect("whole").values_mut() {
        if text.starts_with("enr:") {
            *text = Record::sign(&secret(50), 9, &Contents::default()).expect("fits").record.to_string();
        }
    }

    let (found, outcome) = read(server.client(), tree.link()).await;

    assert_eq!(found, 0);
    assert!(matches!(outcome, Err(TreeFault::Hash { .. })), "{outcome:?}");
}

#[tokio::test]
async fn lists_are_read_again_and_kept_when_they_cannot_be() {
    let first = tree(1, 5);
    let server = Server::start(&first).await;
    let (lists, mut found, mut latest) =
        DnsLists::new(server.client(), vec![first.link().clone()], Limits::default(), FAST);
    let stop = CancellationToken::new();
    let task = tokio::spawn(lists.run(stop.clone()));

    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        ids.insert(found.recv().await.expect("a node").node_id());
    }
    latest.changed().await.expect("read");
    assert_eq!((ids.len(), latest.borrow()[first.link()].root.seq), (5, 1));

    // A root that cannot be read costs nothing but time: it is asked for again, and the nodes stay.
    server.zone.lock().expect("whole").insert("nodes.example".to_owned(), "gone".to_owned());
    for _ in 0..4 {
        server.asked.notified().await;
    }
    assert_eq!(latest.borrow()[first.link()].records.len(), 5);

    server.publish(&tree(2, 6));
    while latest.borrow_and_update()[first.link()].root.seq != 2 {
        tokio::select! {
            changed = latest.changed() => changed.expect("read again"),
            Some(_) = found.recv() => {}
        }
    }

    stop.cancel();
    task.await.expect("ends");
}
