//! Topic advertisement of discv5, carried in TALKREQ: relays tell registrars what they serve, and find each other
//! there.
//!
//! The draft gives topics message types of their own (7 to 10). The crate `discv5` drops packets with types above
//! 6 before we see them and sends none, so the same bodies travel in TALKREQ and TALKRESP under
//! [`TOPICS_PROTOCOL`]: only nodes that know that name take part, and to others we are a node without topics.
//! Once the crate lets the types through, the machines of `causeway-topics` stay and this carrier goes.

mod answers;
mod driver;
mod quiet;

use std::{fmt, sync::Arc, time::Duration};

use causeway_records::{Reach, Record, is_allowed};
use causeway_topics::{LIFETIME, Parameters, Secret, Topic};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info_span};

use self::{
    answers::Answers,
    driver::{Driver, Settings},
};
use crate::udp::{TalkRegistry, Udp};

/// The name under which requests travel in TALKREQ: ours, with a number for the form of the bodies.
pub const TOPICS_PROTOCOL: &[u8] = b"topic-discovery/causeway-1";

/// Nodes that wait to be looked at; further ones are dropped, as they will be found again.
const NODES_QUEUE: usize = 64;

/// Advertisers that wait to be taken; further ones are dropped, as the next lookup finds them.
const FOUND_QUEUE: usize = 64;

/// The shortest time from one lookup to the next.
const LOOKUP_PAUSE: Duration = Duration::from_secs(30);

/// The same where all nodes are on one machine or in one house.
const LOCAL_LOOKUP_PAUSE: Duration = Duration::from_secs(3);

/// How long a registrar keeps an advertisement there. Nodes with one address wait as long as that for each other,
/// so it is no longer than it must be: advertisers believe in no shorter one.
const LOCAL_LIFETIME: Duration = Duration::from_secs(10);

/// What [`Topics::start`] is given.
#[derive(Debug)]
pub struct TopicsConfig {
    /// What is served and looked for, in the words of libp2p's rendezvous: `les/NETWORK/GENESIS`.
    pub namespace: String,
    /// Our record, now and as it changes.
    pub record: watch::Receiver<Record>,
    /// Which addresses strangers may send us to.
    pub reach: Reach,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStats {
    /// What is served and looked for.
    pub namespace: String,
    /// Advertisements of others that we hold, of whatever topic.
    pub registrations: usize,
    /// Registrars that hold our advertisement.
    pub active: usize,
    /// Registrars that told us to wait.
    pub waiting: usize,
    /// Nodes around the topic that can be asked.
    pub nodes: usize,
    /// Lookups begun.
    pub lookups: u64,
    /// Advertisers that lookups brought, each counted once in a lookup.
    pub found: u64,
    /// Requests of others that were answered.
    pub answered: u64,
    /// Requests of others that got the empty answer.
    pub refused: u64,
}

/// Advertises us, searches, and answers others. Cheap to clone; ends when told to by its token.
#[derive(Clone)]
pub struct Topics {
    nodes: mpsc::Sender<Record>,
    reach: Reach,
    search: Arc<Notify>,
    stats: watch::Receiver<TopicStats>,
}

impl Topics {
    /// Answers by `talk` from now on, and asks by `udp` on a task of `tasks` that ends soon after `stop`.
    /// Advertisers that lookups bring come out of the receiver.
    ///
    /// We advertise while our record is one of a relay that can be reached ([`Topics::offer`]).
    pub fn start(
        config: TopicsConfig,
        udp: Udp,
        talk: &TalkRegistry,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<Record>) {
        let TopicsConfig { namespace, record, reach } = config;
        let (nodes, nodes_receiver) = mpsc::channel(NODES_QUEUE);
        let (found, found_receiver) = mpsc::channel(FOUND_QUEUE);
        let topic = Topic::of(&namespace);
        let stats = watch::Sender::new(TopicStats { namespace, ..TopicStats::default() });
        let (lifetime, pause) = match reach {
            Reach::Public => (LIFETIME, LOOKUP_PAUSE),
            Reach::Local => (LOCAL_LIFETIME, LOCAL_LOOKUP_PAUSE),
        };
        let parameters = Parameters { lifetime, ..Parameters::default() };
        let (secret, now) = (Secret::new(rand::random()), Instant::now().into_std());
        let handle = Self { nodes, reach, search: Arc::default(), stats: stats.subscribe() };
        let answers = Arc::new(Answers::new(parameters, secret, handle.clone(), stats, now));
        let settings = Settings { topic, reach, pause };
        let search = Arc::clone(&handle.search);
        let driver =
            Driver::new(settings, udp, record, Arc::clone(&answers), nodes_receiver, search, found, now);
        talk.register(TOPICS_PROTOCOL, answers);
        tasks.spawn(driver.run(stop).instrument(info_span!("topics")));
        (handle, found_receiver)
    }

    /// Tells of a node that may take part; without effect if its record is not one of a relay that can be reached,
    /// or if many wait already.
    pub fn offer(&self, record: &Record) {
        if is_relay(record, self.reach) {
            let _ = self.nodes.try_send(record.clone()); // if it is full, there are enough to ask
        }
    }

    /// Looks for advertisers as soon as somebody can be asked and the last lookup is a while ago.
    pub fn search(&self) {
        self.search.notify_one();
    }

    /// How things stand, now and as it changes.
    pub fn stats(&self) -> watch::Receiver<TopicStats> {
        self.stats.clone()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("stats", &*self.stats.borrow()).finish_non_exhaustive()
    }
}

/// Whether the node of `record` may be asked and may be told of: it serves LES over libp2p as we do, has a port of
/// discovery, and is where strangers may send us. Only relays know [`TOPICS_PROTOCOL`]; full nodes are not bothered.
fn is_relay(record: &Record, reach: Reach) -> bool {
    let mut addresses =
        record.ip4().map(Into::into).into_iter().chain(record.ip6().map(Into::into)).peekable();
    matches!(record.les(), Ok(Some(_)))
        && !record.libp2p_addrs().is_empty()
        && record.udp().is_some_and(|port| port != 0)
        && addresses.peek().is_some()
        && addresses.all(|ip| is_allowed(ip, reach))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use causeway_records::Contents;
    use secp256k1::SecretKey;

    use super::*;

    fn relay() -> Contents {
        Contents {
            ip: Some(Ipv4Addr::new(8, 8, 4, 4)),
            udp: Some(30303),
            quic: Some(30304),
            les: true,
            ..Contents::default()
        }
    }

    fn judge(reach: Reach, change: impl FnOnce(&mut Contents)) -> bool {
        let mut contents = relay();
        change(&mut contents);
        let secret = SecretKey::from_secret_bytes([9; 32]).expect("valid secret");
        is_relay(&Record::sign(&secret, 1, &contents).expect("fits").record, reach)
    }

    #[test]
    fn relays_with_an_address_take_part() {
        assert!(judge(Reach::Public, |_| {}));
        assert!(judge(Reach::Public, |contents| {
            contents.quic = None;
            contents.multiaddrs = vec!["/ip4/8.8.4.4/tcp/30315/ws".parse().expect("an address")];
        }));
        assert!(!judge(Reach::Public, |contents| contents.les = false));
        assert!(!judge(Reach::Public, |contents| contents.quic = None));
        assert!(!judge(Reach::Public, |contents| contents.udp = None));
        assert!(!judge(Reach::Public, |contents| contents.udp = Some(0)));
        assert!(!judge(Reach::Public, |contents| contents.ip = None));
    }

    #[test]
    fn nobody_is_sent_to_addresses_that_are_not_allowed() {
        let loopback = |contents: &mut Contents| contents.ip = Some(Ipv4Addr::LOCALHOST);

        assert!(judge(Reach::Local, loopback));
        assert!(!judge(Reach::Public, loopback));
        // A second address must not get around the rule.
        assert!(!judge(Reach::Public, |contents| contents.ip6 = Some(Ipv6Addr::LOCALHOST)));
    }
}
