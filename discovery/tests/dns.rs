//! Node lists read from a name server of our own on this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use causeway_discovery::{DnsClient, DnsLists, Pace, Reading, Trees};
use causeway_records::{
    Contents, Record,
    dns_tree::{EntryTextError, Label, Limits, Link, Root, SyncEvent, Tree, TreeFault, Unanswered},
};
use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{RData, Record as ResourceRecord, rdata::CNAME, rdata::TXT},
};
use secp256k1::SecretKey;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::Notify,
};
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

/// A name server that says over UDP that its answer is too long for that, and gives it over TCP; or that answers
/// UDP as it likes.
struct Liar {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// What it answers the question with, as bytes of UDP.
type Lie = fn(&Message) -> Vec<u8>;

/// What it answers with over TCP.
type LongAnswer = fn(&mut Message);

impl Liar {
    async fn over_udp(lie: Lie) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let (addr, asked) = (socket.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(lie_over_udp(socket, lie, Arc::clone(&asked)));
        Self { addr, asked }
    }

    async fn over_tcp(answer: LongAnswer) -> Self {
        let (listener, socket) = both().await;
        let (addr, asked) = (socket.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(lie_over_udp(socket, too_long, Arc::new(AtomicUsize::new(0))));
        tokio::spawn(answer_over_tcp(listener, answer, Arc::clone(&asked)));
        Self { addr, asked }
    }

    async fn root(&self, patience: Duration) -> TreeFault {
        let client = DnsClient::server_within(self.addr, patience).expect("a client");
        read(client, tree(1, 1).link()).await.1.expect_err("a lie")
    }
}

/// The same port of TCP and UDP.
async fn both() -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        if let Ok(socket) = UdpSocket::bind(addr).await {
            return (listener, socket);
        }
    }
}

fn reply(question: &Message) -> Message {
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.add_queries(question.queries.clone());
    reply
}

fn too_long(question: &Message) -> Vec<u8> {
    let mut reply = reply(question);
    reply.metadata.truncation = true;
    reply.to_vec().expect("encodes")
}

async fn lie_over_udp(socket: UdpSocket, lie: Lie, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 1500];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(&buffer[..length]).expect("a question");
        let _ = socket.send_to(&lie(&question), from).await;
    }
}

async fn answer_over_tcp(listener: TcpListener, answer: LongAnswer, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.expect("a whole question");
                asked.fetch_add(1, Ordering::SeqCst);
                let mut reply = reply(&Message::from_vec(&question).expect("a question"));
                answer(&mut reply);
                let bytes = reply.to_vec().expect("encodes");
                let length = u16::try_from(bytes.len()).expect("what fits into a message");
                let _ = stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await;
            }
        });
    }
}

fn push(reply: &mut Message, data: RData) {
    let name = reply.queries[0].name().clone();
    reply.add_answer(ResourceRecord::from_rdata(name, 60, data));
}

/// A list cannot cost more questions of one name than its attempts, whatever comes back.
const ATTEMPTS: usize = 3;

#[tokio::test]
async fn a_name_server_that_answers_garbage_is_given_up() {
    let lies: [Lie; 4] = [
        |_| vec![0xff; 300],
        |_| Vec::new(),
        // The question itself; and an answer to another question.
        |question| question.to_vec().expect("encodes"),
        |question| {
            let mut reply = reply(question);
            reply.metadata.id = question.metadata.id.wrapping_add(1);
            reply.to_vec().expect("encodes")
        },
    ];
    for lie in lies {
        let liar = Liar::over_udp(lie).await;

        let fault = liar.root(Duration::from_millis(200)).await;

        assert!(matches!(fault, TreeFault::Unanswered { .. }), "{fault:?}");
        assert!(liar.asked.load(Ordering::SeqCst) <= ATTEMPTS * 2, "{:?} questions", liar.asked);
    }
}

#[tokio::test]
async fn a_name_server_that_fails_or_refuses_is_given_up() {
    let lies: [Lie; 2] = [
        |question| {
            let mut reply = reply(question);
            reply.metadata.response_code = ResponseCode::ServFail;
            reply.to_vec().expect("encodes")
        },
        |question| {
            let mut reply = reply(question);
            reply.metadata.response_code = ResponseCode::Refused;
            reply.to_vec().expect("encodes")
        },
    ];
    for lie in lies {
        let liar = Liar::over_udp(lie).await;

        let fault = liar.root(PATIENCE).await;

        assert!(matches!(fault, TreeFault::Unanswered { why: Unanswered::Failed, .. }), "{fault:?}");
        assert!(liar.asked.load(Ordering::SeqCst) <= ATTEMPTS * 2, "{:?} questions", liar.asked);
    }
}

#[tokio::test]
async fn names_that_lead_in_a_circle_end() {
    let liar = Liar::over_udp(|question| {
        let mut reply = reply(question);
        let asked = reply.queries[0].name().to_string();
        let other = if asked.starts_with("a.") { "b.example." } else { "a.example." };
        push(&mut reply, RData::CNAME(CNAME(other.parse().expect("a name"))));
        reply.to_vec().expect("encodes")
    })
    .await;

    let fault = liar.root(Duration::from_millis(500)).await;

    assert!(matches!(fault, TreeFault::Missing { .. } | TreeFault::Unanswered { .. }), "{fault:?}");
    assert!(liar.asked.load(Ordering::SeqCst) <= ATTEMPTS * 32, "{:?} questions", liar.asked);
}

#[tokio::test]
async fn a_name_server_that_is_silent_over_tcp_too_is_given_up() {
    let (listener, socket) = both().await;
    let addr = socket.local_addr().expect("bound");
    tokio::spawn(lie_over_udp(socket, too_long, Arc::new(AtomicUsize::new(0))));
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let client = DnsClient::server_within(addr, Duration::from_millis(100)).expect("a client");

    let (_, outcome) = read(client, tree(1, 1).link()).await;

    assert!(matches!(outcome, Err(TreeFault::Unanswered { .. })), "{outcome:?}");
    silent.abort();
}

#[tokio::test]
async fn ten_thousand_strings_under_a_name_are_one_text_that_is_too_long() {
    let liar = Liar::over_tcp(|reply| {
        let mut strings = vec![&b"enrtree-root:v1 e="[..]];
        strings.resize(10_000, b"AAAAA");
        push(reply, RData::TXT(TXT::from_bytes(strings)));
    })
    .await;

    let fault = liar.root(PATIENCE).await;

    let length = 18 + 9_999 * 5;
    assert_eq!(fault, TreeFault::Root(EntryTextError::TooLong { length }));
    assert_eq!(liar.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_thousand_texts_under_a_name_are_not_looked_through() {
    let liar = Liar::over_tcp(|reply| {
        for _ in 0..1_000 {
            push(reply, RData::TXT(TXT::from_bytes(vec![b"v=spf1"])));
        }
        let root = Root::sign(&secret(99), Label::of("a"), Label::of("a"), 1).to_string();
        push(reply, RData::TXT(TXT::from_bytes(vec![root.as_bytes()])));
    })
    .await;

    let fault = liar.root(PATIENCE).await;

    // The root is there, behind more than anybody has under one name.
    assert_eq!(fault, TreeFault::Missing { name: "nodes.example".to_owned() });
    assert_eq!(liar.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_list_that_is_a_lie_costs_no_more_than_its_limits() {
    // Whatever name is asked for, there is a branch with more names.
    let server = Server::start(&tree(1, 1)).await;
    let labels: Vec<String> = (0..36).map(|number| Label::of(&format!("{number}")).to_string()).collect();
    let branch = format!("enrtree-branch:{}", labels.join(","));
    let root = Root::sign(&secret(99), Label::of(&branch), Label::of("enrtree-branch:"), 2);
    {
        let mut zone = server.zone.lock().expect("whole");
        zone.insert("nodes.example".to_owned(), root.to_string());
        for text in [&branch, "enrtree-branch:"] {
            zone.insert(format!("{}.nodes.example", Label::of(text)).to_lowercase(), text.to_owned());
        }
        for label in labels {
            zone.insert(format!("{label}.nodes.example").to_lowercase(), branch.clone());
        }
    }

    let (found, outcome) = read(server.client(), tree(1, 1).link()).await;

    assert_eq!(found, 0);
    assert!(matches!(outcome, Err(TreeFault::Hash { .. })), "{outcome:?}");
}
