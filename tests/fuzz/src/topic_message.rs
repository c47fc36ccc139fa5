//! The messages of topic discovery, and a registrar among strangers who ask it what they like.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::Record;
use causeway_topics::{
    Budget, MAX_AUXILIARY, MAX_RETURNED, Message, Parameters, Registrar, Registration, Reply, RequestFault,
    Secret, Sender, Topic, decode_all, encode_all,
    message::{MAX_CARRIED, MAX_MESSAGE, RegTopic, RequestId, TopicQuery},
};
use secp256k1::SecretKey;

use crate::{pieces::Pieces, signed::signed_record};

/// Strangers, each with a record and an address; they also send from each other's.
const STRANGERS: u8 = 8;
/// Topics that they ask for.
const TOPICS: u8 = 3;
/// Requests of one input.
const MOST_STEPS: usize = 200;
/// Small, so that the table is full at times.
const CAPACITY: usize = 5;
const LIFETIME: Duration = Duration::from_secs(60);

/// ```text
/// form(1), then
/// 0: a message   1: messages behind one another   2: steps: kind(1) who(1) wait(1) topic(1), and by kind
///    a request(sized) | comes back with its ticket | with another's | with a ticket(sized) | a query
///    | registers another's record | becomes a neighbour, or is forgotten
/// ```
/// What is read is written alike. The registrar's answers fit a packet, name only those who are registered, and
/// admit nobody at once, twice, or beyond its capacity.
pub fn topic_message(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    match pieces.byte() % 3 {
        0 => reread(pieces.rest()),
        1 => reread_all(pieces.rest()),
        _ => {
            let mut scene = Scene::new();
            for _ in 0..MOST_STEPS {
                if pieces.is_empty() {
                    break;
                }
                scene.step(&mut pieces);
            }
        }
    }
}

fn reread(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    assert!(bytes.len() <= MAX_MESSAGE);
    let written = message.encode();
    match without_refused(message.clone()) {
        same if same == message => assert_eq!(written, bytes, "written otherwise than read"),
        fewer => assert_eq!(Message::decode(&written), Ok(fewer)),
    }
}

fn reread_all(bytes: &[u8]) {
    let Ok(messages) = decode_all(bytes) else { return };
    assert!((1..=MAX_CARRIED).contains(&messages.len()) && bytes.len() <= MAX_MESSAGE);
    let kept = messages.iter().cloned().map(without_refused).collect();
    assert_eq!(decode_all(&encode_all(&messages)), Ok(kept));
}

/// Records that are none are counted and not kept, so they are not written.
fn without_refused(mut message: Message) -> Message {
    if let Message::Nodes(nodes) | Message::TopicNodes(nodes) = &mut message {
        nodes.refused = 0;
    }
    message
}

struct Scene {
    registrar: Registrar,
    now: Instant,
    /// The last ticket of each.
    tickets: BTreeMap<(u8, Topic), Vec<u8>>,
    /// Who was admitted, and until when.
    admitted: BTreeMap<(Topic, B256), Instant>,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let parameters = Parameters { lifetime: LIFETIME, capacity: CAPACITY, ..Parameters::default() };
        let registrar = Registrar::new(parameters, Secret::new([7; 32]), now);
        Self { registrar, now, tickets: BTreeMap::new(), admitted: BTreeMap::new() }
    }

    fn step(&mut self, pieces: &mut Pieces<'_>) {
        let [kind, who, wait, topic] = pieces.array();
        self.now += Duration::from_millis(u64::from(wait) * u64::from(wait)); // up to 65 s
        let (who, other) = (who % STRANGERS, who / STRANGERS % STRANGERS);
        let topic = topic_of(topic);
        match kind % 7 {
            0 => {
                if let Ok(request) = Message::decode(pieces.sized()) {
                    self.ask(who, other, &request);
                }
            }
            1 => self.register(who, topic, self.ticket(who, topic)),
            2 => self.register(who, topic, self.ticket(other, topic)),
            3 => self.register(who, topic, pieces.sized().iter().take(256).copied().collect()),
            4 => {
                let distances = (240..=256).collect();
                self.ask(who, who, &Message::TopicQuery(TopicQuery { id: id(kind), topic, distances }));
            }
            5 => {
                let request = register(topic, other, self.ticket(who, topic));
                self.ask(who, who, &request);
            }
            _ => {
                if other == 0 {
                    self.registrar.forget_node(record(who).node_id());
                } else {
                    self.registrar.handle_node(record(who).clone());
                }
            }
        }
        self.registrar.handle_timeout(self.now);
        self.admitted.retain(|_, until| *until > self.now);
        assert!(self.registrar.poll_timeout().is_none_or(|due| due > self.now), "what expired is held");
        assert_eq!(self.registrar.advertisements().len(), self.admitted.len());
        assert!(self.admitted.len() <= CAPACITY);
    }

    fn ticket(&self, who: u8, topic: Topic) -> Vec<u8> {
        self.tickets.get(&(who, topic)).cloned().unwrap_or_default()
    }

    fn register(&mut self, who: u8, topic: Topic, ticket: Vec<u8>) {
        self.ask(who, who, &register(topic, who, ticket));
    }

    /// Stranger `who` sends `request` from the address of stranger `from`.
    fn ask(&mut self, who: u8, from: u8, request: &Message) {
        let sender = Sender { node: record(who).node_id(), ip: ip(from) };
        let reply = self.registrar.handle_request(sender, request, Budget::TALK, self.now);
        self.admitted.retain(|_, until| *until > self.now);
        match (&reply, request) {
            (Ok(reply), Message::RegTopic(request)) => {
                let record = &request.record;
                assert!(
                    record.node_id() == sender.node && record.ip() == Some(sender.ip),
                    "a borrowed record"
                );
                self.judge_registration(who, request, reply);
            }
            (Ok(reply), Message::TopicQuery(_)) => assert_eq!(reply.registration, None),
            (Ok(_), _) => panic!("a response is answered"),
            (Err(RequestFault::NotARequest), Message::RegTopic(_) | Message::TopicQuery(_)) => {
                panic!("a request is taken for none")
            }
            (Err(_), _) => {}
        }
        if let Ok(reply) = reply {
            self.judge(sender, request, &reply);
        }
    }

    fn judge_registration(&mut self, who: u8, request: &RegTopic, reply: &Reply) {
        let place = (request.topic, record(who).node_id());
        let Some(Message::RegConfirmation(said)) = reply.messages.first() else {
            panic!("a registration is not answered: {reply:?}");
        };
        let wait = Duration::from_millis(said.wait);
        assert!(wait <= LIFETIME + Duration::from_millis(1), "a wait of {wait:?}");
        match reply.registration {
            Some(Registration::Admitted) => {
                assert!(!request.ticket.is_empty(), "admitted at once");
                assert!(said.ticket.is_empty());
                let before = self.admitted.insert(place, self.now + LIFETIME);
                assert_eq!(before, None, "admitted twice");
                self.tickets.remove(&(who, request.topic));
            }
            Some(Registration::Present) => {
                assert!(said.ticket.is_empty() && self.admitted.contains_key(&place));
            }
            Some(Registration::Waits | Registration::StartsAnew(_)) => {
                assert!(!said.ticket.is_empty() && !self.admitted.contains_key(&place));
                self.tickets.insert((who, request.topic), said.ticket.clone());
            }
            None => panic!("nobody knows what became of it"),
        }
    }

    fn judge(&self, sender: Sender, request: &Message, reply: &Reply) {
        let bytes = encode_all(&reply.messages);
        assert!(bytes.len() <= Budget::TALK.whole, "{} bytes are sent", bytes.len());
        assert_eq!(decode_all(&bytes).as_ref(), Ok(&reply.messages));
        let (mut returned, mut auxiliary) = (0, 0);
        for message in &reply.messages {
            assert_eq!(message.id(), request.id());
            assert_eq!(message.total(), Some(reply.messages.len() as u64));
            match (message, request) {
                (Message::TopicNodes(nodes), Message::TopicQuery(query)) => {
                    returned += nodes.records.len();
                    for record in &nodes.records {
                        let place = (query.topic, record.node_id());
                        assert!(
                            self.admitted.contains_key(&place),
                            "somebody is named who is not registered"
                        );
                    }
                }
                (Message::Nodes(nodes), _) => {
                    auxiliary += nodes.records.len();
                    assert!(nodes.records.iter().all(|record| record.node_id() != sender.node));
                }
                (Message::RegConfirmation(_), Message::RegTopic(_)) => {}
                _ => panic!("{message:?} is no answer to {request:?}"),
            }
        }
        assert!(returned <= MAX_RETURNED && auxiliary <= MAX_AUXILIARY);
    }
}

fn register(topic: Topic, of: u8, ticket: Vec<u8>) -> Message {
    let distances = (240..=256).collect();
    Message::RegTopic(RegTopic { id: id(of), topic, record: record(of).clone(), ticket, distances })
}

fn id(n: u8) -> RequestId {
    RequestId::from([n; 8])
}

fn topic_of(n: u8) -> Topic {
    Topic(B256::repeat_byte(n % TOPICS))
}

/// Two of them at each address, and all of them in two networks.
fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(11 + n % 2, 0, 7, n / 2).into()
}

fn record(n: u8) -> &'static Record {
    static RECORDS: OnceLock<Vec<Record>> = OnceLock::new();
    let signed = |n: u8| {
        let IpAddr::V4(ip) = ip(n) else { unreachable!("they are all of v4") };
        let secret = SecretKey::from_secret_bytes([n + 1; 32]).expect("a key");
        let (key, port) = (secret.public_key().serialize(), b"\x83udp\x82\x76\x5f");
        let before = b"\x01\x82id\x82v4\x82ip\x84";
        let content = [&before[..], &ip.octets(), b"\x89secp256k1\xa1", &key, port].concat();
        Record::decode(&signed_record(&content, &secret)).expect("a record")
    };
    let records = RECORDS.get_or_init(|| (0..STRANGERS).map(signed).collect());
    &records[usize::from(n % STRANGERS)]
}

/// The record of stranger `n`, for the seeds.
pub(crate) fn stranger(n: u8) -> Record {
    record(n).clone()
}
