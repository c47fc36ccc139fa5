//! A server with light peers that are nothing but messages, and a client whose server is nothing but messages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_eip2124::{ForkFilter, ForkFilterKey};
use alloy_primitives::{B256, B512, Bytes, U256, keccak256};
use causeway_translate::{
    AccountKeyForm, ChainIdentity, Client, ClientCommand, ClientConfig, Command, Fault, MessageId,
    ServerConfig, Ticket, Translator,
};
use causeway_wire::{
    Answer, ForkId, Head, HeadUpdate, NetworkId, NodeKey, PeerId, Query, RequestId, SessionId, heartbeat,
    les::{AnnounceKind, FlowControl, Message, RequestCost, Serving, Status, Version},
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const GENESIS: B256 = B256::repeat_byte(0xd4);
pub(crate) const GENESIS_TD: U256 = U256::from_limbs([5, 0, 0, 0]);

/// Forks at blocks 10 and 1000; our head is at 100.
pub(crate) fn chain() -> ChainIdentity {
    let head = alloy_eip2124::Head { number: 100, ..Default::default() };
    let forks = [ForkFilterKey::Block(10), ForkFilterKey::Block(1000)];
    ChainIdentity {
        network: NetworkId(7),
        genesis: GENESIS,
        genesis_td: GENESIS_TD,
        forks: ForkFilter::new(head, GENESIS, 0, forks),
    }
}

/// The fork id as of a block of that chain.
pub(crate) fn fork_id_at(number: u64) -> ForkId {
    let mut forks = chain().forks;
    forks.set_head(alloy_eip2124::Head { number, ..Default::default() });
    let id = forks.current();
    ForkId { hash: id.hash.0, next: id.next }
}

pub(crate) fn secret_key() -> secp256k1::SecretKey {
    secp256k1::SecretKey::from_secret_bytes([0x42; 32]).unwrap()
}

pub(crate) fn node_key() -> NodeKey {
    NodeKey(B512::from_slice(&secret_key().public_key().serialize_uncompressed()[1..]))
}

pub(crate) fn server_config() -> ServerConfig {
    ServerConfig {
        chain: chain(),
        flow: ServerConfig::default_flow(),
        max_sessions: 100,
        signing_key: secret_key(),
        patience: PATIENCE,
        recent_state: 124,
    }
}

pub(crate) fn client_config() -> ClientConfig {
    ClientConfig {
        chain: chain(),
        signed: false,
        origins: false,
        heartbeat: None,
        patience: PATIENCE,
        max_queue: 16,
        account_key: AccountKeyForm::Hash,
    }
}

/// The hash of block `number` on a branch.
pub(crate) fn block(branch: u8, number: u64) -> B256 {
    if number == 0 {
        return GENESIS;
    }
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.push(branch);
    keccak256(bytes)
}

/// A head on a branch that left branch 0 behind block `fork`.
pub(crate) fn head_on(branch: u8, fork: u64, number: u64, td: u64) -> Arc<HeadUpdate> {
    let hash = |number| block(if number <= fork { 0 } else { branch }, number);
    Arc::new(HeadUpdate {
        head: Head { hash: hash(number), number, td: U256::from(td) },
        timestamp: number,
        lineage: (0..=number).rev().take(HeadUpdate::LINEAGE).map(hash).collect(),
        origins: Arc::new([]),
    })
}

/// A head on branch 0.
pub(crate) fn head(number: u64) -> Arc<HeadUpdate> {
    head_on(0, number, number, 1000 + number)
}

pub(crate) fn client_status(version: Version) -> Status {
    Status {
        version: version.number(),
        network: NetworkId(7),
        head: Head { hash: B256::ZERO, number: 0, td: U256::ZERO },
        genesis: GENESIS,
        fork_id: (version == Version::Les4).then(|| fork_id_at(100)),
        announce: Some(AnnounceKind::Simple),
        serving: Serving::default(),
        recent_tx_lookup: None,
        flow_control: None,
        checkpoint: None,
        checkpoint_height: None,
        origins: false,
        heartbeat: None,
    }
}

pub(crate) fn server_status(version: Version) -> Status {
    Status {
        head: head(100).head,
        announce: None,
        serving: Serving {
            headers: true,
            chain_since: Some(0),
            recent_chain: None,
            state_since: Some(0),
            recent_state: Some(124),
            tx_relay: true,
        },
        recent_tx_lookup: (version == Version::Les4).then_some(0),
        flow_control: Some(ServerConfig::default_flow()),
        ..client_status(version)
    }
}

/// A promise in small numbers: each item of any request costs `item`.
pub(crate) fn flow(buffer_limit: u64, recharge: u64, item: u64) -> FlowControl {
    let codes = [0x02, 0x04, 0x06, 0x0a, 0x0f, 0x11, 0x13, 0x14];
    let costs = codes.map(|code| RequestCost { code, base: 0, item }).to_vec();
    FlowControl { buffer_limit, recharge, costs }
}

/// Headers from a number on: a handy question, different for each number.
pub(crate) fn headers(start: u64, amount: u64) -> Query {
    Query::Headers { start: causeway_wire::HashOrNumber::Number(start), amount, skip: 0, reverse: false }
}

/// Something long enough to be a legacy transaction, different for each number.
pub(crate) fn transaction(number: u8) -> Bytes {
    let mut bytes = vec![number; 100];
    bytes[..2].copy_from_slice(&[0xf8, 98]);
    bytes.into()
}

/// Something that encodes as a header.
pub(crate) fn some_headers(count: usize) -> Answer {
    Answer::Headers(vec![Bytes::from_static(&[0xc3, 1, 2, 3]); count])
}

/// What a server did, in words of LES.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "stories match on messages")]
pub(crate) enum Deed {
    Sent(u64, Message),
    Asked(Ticket, Query),
    Forgot(Ticket),
    Released(u64),
    Closed(u64, Fault),
    Beats(u64, Duration),
}

/// A server under virtual time.
pub(crate) struct Server {
    pub(crate) core: Translator,
    pub(crate) now: Instant,
    versions: Vec<(u64, Version)>,
    next_message: u64,
}

impl Server {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self { core: Translator::new(config), now: Instant::now(), versions: Vec::new(), next_message: 0 }
    }

    /// A server with head 100.
    pub(crate) fn with_head(config: ServerConfig) -> Self {
        let mut server = Self::new(config);
        server.head(head(100));
        server
    }

    /// A server with head 100 and small numbers for credit.
    pub(crate) fn with_flow(flow: FlowControl) -> Self {
        Self::with_head(ServerConfig { flow, ..server_config() })
    }

    pub(crate) fn open(&mut self, session: u64, version: Version) -> Vec<Deed> {
        let key = NodeKey(B512::with_last_byte(session as u8));
        self.versions.push((session, version));
        self.core.handle_open(SessionId(session), PeerId::devp2p(key), version, self.now);
        self.deeds()
    }

    /// A session whose Statuses are exchanged.
    pub(crate) fn greeted(&mut self, session: u64, version: Version) {
        self.open(session, version);
        let (message, deeds) = self.say(session, Message::Status(client_status(version)));
        assert_eq!(deeds, [Deed::Released(message)]);
    }

    pub(crate) fn say(&mut self, session: u64, message: Message) -> (u64, Vec<Deed>) {
        let payload = message.encode(self.version(session));
        self.say_raw(session, message.code(), payload)
    }

    pub(crate) fn say_raw(&mut self, session: u64, code: u64, payload: Bytes) -> (u64, Vec<Deed>) {
        let message = self.next_message;
        self.next_message += 1;
        self.core.handle_message(SessionId(session), MessageId(message), code, &payload.0, self.now);
        (message, self.deeds())
    }

    pub(crate) fn ask(&mut self, session: u64, id: u64, query: Query) -> (u64, Vec<Deed>) {
        self.say(session, Message::Request { id: RequestId(id), query })
    }

    /// Asks, and expects the question to be put.
    pub(crate) fn ask_new(&mut self, session: u64, id: u64, query: Query) -> (u64, Ticket) {
        let (message, deeds) = self.ask(session, id, query);
        let [Deed::Asked(ticket, _)] = deeds[..] else { panic!("not put: {deeds:?}") };
        (message, ticket)
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) -> Vec<Deed> {
        self.core.handle_answer(ticket, Ok(answer), self.now);
        self.deeds()
    }

    pub(crate) fn head(&mut self, update: Arc<HeadUpdate>) -> Vec<Deed> {
        self.core.handle_head(update, self.now);
        self.deeds()
    }

    pub(crate) fn close(&mut self, session: u64) -> Vec<Deed> {
        self.core.handle_close(SessionId(session));
        self.deeds()
    }

    /// Lets time pass, waking the core whenever it wants to be.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Deed> {
        let end = self.now + time;
        let mut deeds = Vec::new();
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            deeds.extend(self.deeds());
        }
        self.now = end;
        deeds
    }

    pub(crate) fn deeds(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while let Some(command) = self.core.poll_command() {
            deeds.push(match command {
                Command::Ask { ticket, query } => Deed::Asked(ticket, query),
                Command::Forget { ticket } => Deed::Forgot(ticket),
                Command::Send { session, code, payload } => {
                    let message = Message::decode(self.version(session.0), code, &payload.into()).unwrap();
                    Deed::Sent(session.0, message)
                }
                Command::Heartbeat { session, interval } => Deed::Beats(session.0, interval),
                Command::Release { message } => Deed::Released(message.0),
                Command::Close { session, fault } => Deed::Closed(session.0, fault),
            });
        }
        deeds
    }

    fn version(&self, session: u64) -> Version {
        self.versions.iter().rev().find(|(id, _)| *id == session).map(|(_, version)| *version).unwrap()
    }
}

/// The response in a list of deeds, which holds exactly one.
pub(crate) fn response(deeds: &[Deed]) -> (u64, RequestId, u64, Answer) {
    let mut responses = deeds.iter().filter_map(|deed| match deed {
        Deed::Sent(session, Message::Response { id, buffer, answer }) => {
            Some((*session, *id, *buffer, answer.clone()))
        }
        _ => None,
    });
    let first = responses.next().unwrap_or_else(|| panic!("no response in {deeds:?}"));
    assert_eq!(responses.next(), None, "one response only");
    first
}

/// A client under virtual time.
pub(crate) struct Asker {
    pub(crate) core: Client,
    pub(crate) now: Instant,
    version: Version,
}

/// What a client did, in words of LES.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "stories match on messages")]
pub(crate) enum Act {
    Sent(Message),
    Told(ClientCommand),
}

impl Asker {
    pub(crate) fn new(config: ClientConfig, version: Version) -> (Self, Message) {
        let now = Instant::now();
        let core = Client::new(config, version, Some(node_key()), u64::MAX, now);
        let mut asker = Self { core, now, version };
        let acts = asker.acts();
        let [Act::Sent(status)] = &acts[..] else { panic!("{acts:?}") };
        (asker, status.clone())
    }

    /// A client whose server sent this Status.
    pub(crate) fn greeted(config: ClientConfig, version: Version, status: &Status) -> Self {
        let (mut asker, _) = Self::new(config, version);
        let acts = asker.hear(Message::Status(status.clone()));
        let heartbeat = heartbeat::agreed(None, status.heartbeat);
        let greeted = ClientCommand::Greeted { status: Box::new(status.clone()), heartbeat };
        assert_eq!(acts, [Act::Told(greeted)]);
        asker
    }

    /// A client of a les/4 server with this promise.
    pub(crate) fn with_flow(flow: FlowControl) -> Self {
        let status = Status { flow_control: Some(flow), ..server_status(Version::Les4) };
        Self::greeted(client_config(), Version::Les4, &status)
    }

    pub(crate) fn hear(&mut self, message: Message) -> Vec<Act> {
        let payload = message.encode(self.version);
        self.core.handle_message(message.code(), &payload.0, self.now);
        self.acts()
    }

    pub(crate) fn hear_raw(&mut self, code: u64, payload: Bytes) -> Vec<Act> {
        self.core.handle_message(code, &payload.0, self.now);
        self.acts()
    }

    pub(crate) fn hear_answer(&mut self, id: RequestId, buffer: u64, answer: Answer) -> Vec<Act> {
        self.hear(Message::Response { id, buffer, answer })
    }

    pub(crate) fn ask(&mut self, ticket: u64, query: Query) -> Vec<Act> {
        self.core.ask(Ticket(ticket), query, self.now);
        self.acts()
    }

    /// Asks, and expects the request to go out.
    pub(crate) fn ask_now(&mut self, ticket: u64, query: Query) -> RequestId {
        let acts = self.ask(ticket, query);
        let [Act::Sent(Message::Request { id, .. })] = acts[..] else { panic!("not sent: {acts:?}") };
        id
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Act> {
        let end = self.now + time;
        let mut acts = Vec::new();
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            acts.extend(self.acts());
        }
        self.now = end;
        acts
    }

    pub(crate) fn acts(&mut self) -> Vec<Act> {
        let mut acts = Vec::new();
        while let Some(command) = self.core.poll_command() {
            acts.push(match command {
                ClientCommand::Send { code, payload } => {
                    Act::Sent(Message::decode(self.version, code, &payload.into()).unwrap())
                }
                told => Act::Told(told),
            });
        }
        acts
    }
}
