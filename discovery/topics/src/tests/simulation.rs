//! Fifty registrars, advertisers of common and rare topics, and an attacker on one /24, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use alloy_primitives::{B256, keccak256};
use causeway_records::Record;

use super::{numbered_ip, numbered_record};
use crate::{
    Advertiser, Budget, CAPACITY, LIFETIME, Message, Parameters, Registrar, Registrars, Registration,
    SearchEvent, Searcher, Secret, Sender, Topic, WANTED_ADVERTISERS, decode_all, encode_all,
    message::{RegConfirmation, RegTopic, RequestId},
};

const REGISTRARS: u32 = 50;

/// Time moves so much at once, less than the window of a ticket.
const TICK: Duration = Duration::from_secs(2);

struct World {
    now: Instant,
    registrars: BTreeMap<B256, (Record, Registrar)>,
    honest: Vec<Honest>,
    attempts: BTreeMap<Instant, Vec<Attempt>>,
    attackers: BTreeSet<B256>,
}

struct Honest {
    topic: Topic,
    sender: Sender,
    advertiser: Advertiser,
    since: Instant,
    admitted: Option<Duration>,
    next: Instant,
}

/// One attacker's way with one registrar.
struct Attempt {
    topic: Topic,
    sender: Sender,
    record: Record,
    registrar: B256,
    ticket: Vec<u8>,
}

impl World {
    fn new(registrars: u32, capacity: usize) -> Self {
        let parameters = Parameters { capacity, ..Parameters::default() };
        let now = Instant::now();
        let registrar = |n: u32| {
            let record = numbered_record(n, numbered_ip(n));
            let secret = Secret::new(keccak256(n.to_be_bytes()).0);
            (record.node_id(), (record, Registrar::new(parameters, secret, now)))
        };
        Self {
            now,
            registrars: (1000..1000 + registrars).map(registrar).collect(),
            honest: Vec::new(),
            attempts: BTreeMap::new(),
            attackers: BTreeSet::new(),
        }
    }

    fn join(&mut self, topic: Topic, numbers: std::ops::Range<u32>) {
        for n in numbers {
            let record = numbered_record(n, numbered_ip(n));
            let sender = Sender { node: record.node_id(), ip: numbered_ip(n) };
            let seed = keccak256(n.to_le_bytes());
            let mut advertiser = Advertiser::new(topic, record, Registrars::Any, seed);
            for (registrar, _) in self.registrars.values() {
                advertiser.handle_node(registrar.clone(), self.now);
            }
            let (since, next) = (self.now, self.now);
            self.honest.push(Honest { topic, sender, advertiser, since, admitted: None, next });
        }
    }

    /// `count` identities, each of which wants to be with each registrar.
    fn attack(&mut self, topic: Topic, count: u32, ip: fn(u32) -> IpAddr) {
        for n in 0..count {
            let ip = ip(n);
            let record = numbered_record(5000 + n, ip);
            let sender = Sender { node: record.node_id(), ip };
            self.attackers.insert(sender.node);
            for registrar in self.registrars.keys() {
                let attempt = Attempt {
                    topic,
                    sender,
                    record: record.clone(),
                    registrar: *registrar,
                    ticket: Vec::new(),
                };
                self.attempts.entry(self.now).or_default().push(attempt);
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += TICK;
            self.attackers_act();
            self.honest_act();
        }
    }

    fn attackers_act(&mut self) {
        while let Some(entry) = self.attempts.first_entry().filter(|entry| *entry.key() <= self.now) {
            for mut attempt in entry.remove() {
                let request = Message::RegTopic(RegTopic {
                    id: RequestId::from([1; 8]),
                    topic: attempt.topic,
                    record: attempt.record.clone(),
                    ticket: std::mem::take(&mut attempt.ticket),
                    distances: Vec::new(),
                });
                let (_, registrar) = self.registrars.get_mut(&attempt.registrar).expect("it is there");
                let reply = registrar.handle_request(attempt.sender, &request, Budget::TALK, self.now);
                let reply = reply.expect("answered");
                let Some(Message::RegConfirmation(RegConfirmation { ticket, wait, .. })) =
                    reply.messages.first()
                else {
                    panic!("{reply:?}")
                };
                attempt.ticket.clone_from(ticket);
                let back = self.now + Duration::from_millis(*wait);
                self.attempts.entry(back).or_default().push(attempt);
            }
        }
    }

    fn honest_act(&mut self) {
        let now = self.now;
        for honest in self.honest.iter_mut().filter(|honest| honest.next <= now) {
            honest.advertiser.handle_timeout(now);
            while let Some(request) = honest.advertiser.poll_request(now) {
                let node = request.registrar.node_id();
                let (_, registrar) = self.registrars.get_mut(&node).expect("it is there");
                let (registration, answer) = carry(registrar, honest.sender, &request.message, now);
                assert!(!matches!(registration, Some(Registration::StartsAnew(_))), "{registration:?}");
                for message in answer {
                    assert_eq!(honest.advertiser.handle_message(node, message, now), Ok(()));
                }
            }
            if honest.advertiser.counts().active > 0 {
                honest.admitted.get_or_insert(now - honest.since);
            }
            honest.next = honest.advertiser.poll_timeout(now).unwrap_or(now + LIFETIME);
        }
    }

    /// The advertisers of `topic` that one lookup of a newcomer finds.
    fn look_up(&mut self, topic: Topic, seed: u8) -> BTreeSet<B256> {
        let sender = Sender { node: B256::repeat_byte(seed), ip: numbered_ip(9000 + u32::from(seed)) };
        let mut searcher = Searcher::new(topic, sender.node, Registrars::Any, B256::repeat_byte(seed));
        for (record, _) in self.registrars.values() {
            searcher.handle_node(record.clone(), self.now);
        }
        searcher.start(WANTED_ADVERTISERS);
        while let Some(request) = searcher.poll_request(self.now) {
            let node = request.registrar.node_id();
            let (_, registrar) = self.registrars.get_mut(&node).expect("it is there");
            for message in carry(registrar, sender, &request.message, self.now).1 {
                let _ = searcher.handle_message(node, message, self.now);
            }
        }
        let events = std::iter::from_fn(|| searcher.poll_event());
        let found = events.filter_map(|event| match event {
            SearchEvent::Found(record) => Some(record.node_id()),
            SearchEvent::Finished(_) => None,
        });
        found.collect()
    }

    /// How many advertisements the attacker has with all registrars, and with the one that has most of them.
    fn occupied(&self) -> (usize, usize) {
        let counts = self.registrars.values().map(|(_, registrar)| {
            let table = registrar.advertisements();
            let is_in = |node: &&B256| table.topics().any(|(topic, _)| table.expiry(topic, **node).is_some());
            self.attackers.iter().filter(is_in).count()
        });
        counts.fold((0, 0), |(all, most), count| (all + count, most.max(count)))
    }

    fn advertisers(&self, topic: Topic) -> BTreeSet<B256> {
        let of_topic = self.honest.iter().filter(|honest| honest.topic == topic);
        of_topic.map(|honest| honest.sender.node).collect()
    }

    /// How long the slowest advertiser of `topic` took to be with one registrar.
    fn slowest(&self, topic: Topic) -> Option<Duration> {
        let of_topic = self.honest.iter().filter(|honest| honest.topic == topic);
        of_topic
            .map(|honest| honest.admitted)
            .try_fold(Duration::ZERO, |most, took| took.map(|took| most.max(took)))
    }
}

/// Over the wire and back, as TALKREQ and TALKRESP carry it.
fn carry(
    registrar: &mut Registrar,
    sender: Sender,
    request: &Message,
    now: Instant,
) -> (Option<Registration>, Vec<Message>) {
    let request = Message::decode(&request.encode()).expect("a message");
    let reply = registrar.handle_request(sender, &request, Budget::TALK, now).expect("answered");
    let bytes = encode_all(&reply.messages);
    assert!(bytes.len() <= Budget::TALK.whole);
    (reply.registration, decode_all(&bytes).expect("messages"))
}

#[test]
fn common_and_rare_topics_are_found() {
    let mut world = World::new(REGISTRARS, CAPACITY);
    let [common, middle, rare] = ["common", "middle", "rare"].map(Topic::of);
    world.join(common, 0..60);
    world.join(middle, 100..110);
    world.run(Duration::from_secs(60));
    world.join(rare, 200..202);
    world.run(LIFETIME * 3);

    // Rare topics come in at once, common ones within a little over two lifetimes.
    let slowest = [common, middle, rare].map(|topic| world.slowest(topic).expect("all were admitted"));
    eprintln!("slowest admissions: {slowest:?}");
    assert!(slowest[2] < LIFETIME / 2, "{slowest:?}");
    assert!(slowest[1] < LIFETIME * 2, "{slowest:?}");
    assert!(slowest[0] < LIFETIME * 5 / 2, "{slowest:?}");

    let found = world.look_up(rare, 1);
    assert_eq!(found, world.advertisers(rare));
    let found = world.look_up(middle, 2);
    assert!(found.len() >= 8, "{} of 10", found.len());
    let found = world.look_up(common, 3);
    assert_eq!(found.len(), WANTED_ADVERTISERS);
}

#[test]
fn an_attacker_on_one_network_does_not_shut_others_out() {
    let mut world = World::new(REGISTRARS, CAPACITY);
    let [common, target] = ["common", "target"].map(Topic::of);
    world.join(common, 0..30);
    // The attacker is there first, with three times as many identities as the topic has honest advertisers.
    world.attack(target, 30, one_network);
    world.run(Duration::from_secs(60));
    world.join(target, 100..110);
    world.run(LIFETIME);

    let (mut sum, mut most, samples) = (0, 0, 8);
    for _ in 0..samples {
        world.run(LIFETIME / 4);
        let (all, at_one) = world.occupied();
        sum += all;
        most = most.max(at_one);
    }

    // Each identity is kept out for longer than it is in.
    let wanted = samples * 30 * world.registrars.len();
    assert!(sum * 2 < wanted, "the attacker got {sum} of {wanted}");
    assert!(most * 20 <= CAPACITY, "the attacker has {most} of {CAPACITY} places with one registrar");
    let slowest = world.slowest(target).expect("all were admitted");
    assert!(slowest < LIFETIME * 2, "{slowest:?}");
    let honest = world.advertisers(target);
    let found: BTreeSet<B256> = (0..5).flat_map(|seed| world.look_up(target, seed)).collect();
    let found = found.intersection(&honest).count();
    assert!(found * 2 >= honest.len(), "{found} of {}", honest.len());
    eprintln!(
        "attacker {sum} of {wanted}, at most {most} with one; slowest {slowest:?}; {found} of 10 found"
    );
}

/// More identities than the table has places: what they get is bounded by the table's occupancy, and much more so
/// from one network.
#[test]
fn a_flood_does_not_fill_the_table() {
    const PLACES: usize = 100;
    let target = Topic::of("target");
    let flood = |ip| {
        let mut world = World::new(1, PLACES);
        world.attack(target, 200, ip);
        let mut counts = Vec::new();
        for _ in 0..40 {
            world.run(LIFETIME / 4);
            counts.push(world.occupied().0);
        }
        // A newcomer with a topic of its own.
        world.join(Topic::of("rare"), 300..301);
        world.run(LIFETIME * 8);
        let took = world.slowest(Topic::of("rare")).expect("admitted");
        (counts.iter().copied().max().unwrap_or_default(), counts.iter().sum::<usize>() / counts.len(), took)
    };

    let (most, mean, took) = flood(one_network);
    let (most_spread, mean_spread, took_spread) = flood(numbered_ip);

    eprintln!("one network: {most}, {mean}, {took:?}; spread: {most_spread}, {mean_spread}, {took_spread:?}");
    assert!(most <= PLACES / 4, "{most}");
    assert!(mean < mean_spread, "{mean} {mean_spread}");
    assert!(took < LIFETIME && took < took_spread, "{took:?} {took_spread:?}");
}

fn one_network(n: u32) -> IpAddr {
    IpAddr::from([66, 66, 66, n as u8])
}
