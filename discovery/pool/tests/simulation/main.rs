//! The pool in a network of 300 nodes, in virtual time.
//!
//! What is modelled:
//! - 30 of 100 records in circulation are of dead nodes; every 10 minutes 20 of 100 living nodes die at once and
//!   as many new ones join; the records of the latest dead stay in circulation.
//! - Of the living, 35 of 100 are no use by their own record (eth only, another chain, private address); of the
//!   rest a quarter is full ("too many peers") and one in twelve turns out to be on another chain.
//! - A dial to the dead takes 5 to 10 s, sometimes it is refused at once; a good one takes four round trips of
//!   20 to 300 ms. A session with a node that dies breaks within 15 s.
//! - Discovery is a table of nodes: three bootnodes at first, then everybody heard of (64 at most). A search
//!   asks three of the table and up to two rounds of those whom they name. A living node answers with 16 records out
//!   of all in circulation, after a round trip; the dead do not answer for 0.7 s and leave the table.
//! - Blocked bootnodes do not answer, from the second minute on. The table is what keeps discovery alive then, as it
//!   does in discv5; how the pool fares without any discovery at all is a test of its own.
//!
//! Not modelled: lost packets, full nodes that have room again, our own link. Run with `--nocapture` for the
//! numbers.

#![allow(clippy::print_stdout)] // the numbers are what one runs it for

mod network;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use alloy_primitives::B512;
use causeway_pool::{Connected, Dial, Failure, Memory, Pool, PoolConfig, PoolEvent, Role, Source, Value};
use causeway_records::{Reach, Record, Way, is_allowed};
use causeway_wire::{NodeKey, Stack};
use network::{Dice, Manner, Network, forks};

const SEEDS: u64 = 40;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const CHURN_EVERY: Duration = Duration::from_secs(600);

/// Nodes in our discovery table.
const TABLE: usize = 64;

enum Event {
    Dialed(NodeKey, Result<(), Failure>),
    Broke(NodeKey),
    /// An answer of discovery, and how many more rounds follow it.
    Found(Vec<Record>, u32),
    Silent(NodeKey),
    Churn,
    Values,
}

/// Who answers searches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Everybody,
    /// All but the bootnodes.
    TableOnly,
    Nobody,
}

struct World {
    dice: Dice,
    network: Network,
    pool: Pool,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    events: u64,
    discovery: Discovery,
    table: Vec<NodeKey>,
    dialing: BTreeSet<NodeKey>,
    connected: BTreeSet<NodeKey>,
    dials: u64,
}

fn me() -> NodeKey {
    NodeKey(B512::repeat_byte(9))
}

impl World {
    fn new(seed: u64, config: PoolConfig) -> Self {
        let mut dice = Dice::new(seed);
        let now = Instant::now();
        let pool = Pool::new(config, forks(), dice.hash().0, now);
        let network = Network::new(&mut dice);
        let mut world = Self {
            dice,
            network,
            pool,
            now,
            queue: BTreeMap::new(),
            events: 0,
            discovery: Discovery::Everybody,
            table: Vec::new(),
            dialing: BTreeSet::new(),
            connected: BTreeSet::new(),
            dials: 0,
        };
        world.after(CHURN_EVERY, Event::Churn);
        world.after(MINUTE, Event::Values);
        world
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + wait, self.events), event);
    }

    fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.dice.between(low, high))
    }

    /// Runs until `end` or until `done`; says how long it took.
    fn run(&mut self, end: Duration, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let from = self.now;
        loop {
            self.drain();
            if done(self) {
                break;
            }
            let next = self.queue.keys().next().map(|(at, _)| *at).into_iter();
            let next = next.chain(self.pool.poll_timeout()).min().expect("churn is always to come");
            assert!(next >= self.now, "the pool names a time that has passed");
            if next > from + end {
                self.now = from + end;
                break;
            }
            self.now = next;
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= next) {
                let event = entry.remove();
                self.handle(event);
            }
        }
        self.now - from
    }

    fn drain(&mut self) {
        while let Some(dial) = self.pool.poll_dial(self.now) {
            self.dial(dial);
        }
        while let Some(key) = self.pool.poll_evict(self.now) {
            self.hang_up(key, Failure::Stopped);
        }
        while self.pool.poll_search(self.now).is_some() {
            self.ask(2);
        }
        while let Some(event) = self.pool.poll_event() {
            if let PoolEvent::Summary(summary) = event {
                assert_eq!(summary.connected, self.connected.len());
            }
        }
        assert!(
            self.pool.poll_timeout().is_none_or(|due| due > self.now),
            "the pool is due although it was drained"
        );
    }

    fn dial(&mut self, Dial { key, ways, .. }: Dial) {
        self.dials += 1;
        assert!(self.dialing.insert(key), "dialed twice at once");
        assert!(!self.connected.contains(&key), "dialed although connected");
        for way in &ways {
            if let Way::Devp2p(enodes) = way {
                let public = |addr: std::net::SocketAddr| is_allowed(addr.ip(), Reach::Public);
                assert!(enodes.iter().filter_map(|enode| enode.tcp_addr()).all(public));
            }
        }
        let (wait, outcome) = match self.network.living.get(&key) {
            None if self.dice.percent(20) => (self.millis(50, 300), Err(Failure::Unreachable)),
            None => (self.millis(5_000, 10_000), Err(Failure::Unreachable)),
            Some(peer) => {
                let outcome = match peer.manner {
                    Manner::Welcoming => Ok(()),
                    Manner::Full => Err(Failure::TooManyPeers),
                    Manner::OtherChain => Err(Failure::Refused),
                };
                (Duration::from_millis(4 * peer.round_trip), outcome)
            }
        };
        self.after(wait, Event::Dialed(key, outcome));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Dialed(key, outcome) => {
                self.dialing.remove(&key);
                let role = self.network.living.get(&key).map(|peer| peer.role);
                match (outcome, role) {
                    (Ok(()), Some(role)) => {
                        self.connected.insert(key);
                        let client = String::from("simulated");
                        let connected = Connected { stack: Stack::Devp2p, inbound: false, role, client };
                        self.pool.handle_connected(key, connected, now);
                    }
                    (Ok(()), None) => self.pool.handle_failure(key, Failure::Unreachable, now),
                    (Err(why), _) => self.pool.handle_failure(key, why, now),
                }
            }
            Event::Broke(key) => self.hang_up(key, Failure::Unreachable),
            Event::Found(records, rounds) => {
                for record in records {
                    let key = record.key();
                    let _ = self.pool.handle_record(record, Source::Discv5, now);
                    if !self.table.contains(&key) && self.table.len() < TABLE {
                        self.table.push(key);
                    }
                }
                if let Some(rounds) = rounds.checked_sub(1) {
                    self.ask(rounds);
                }
            }
            Event::Silent(key) => self.table.retain(|known| *known != key),
            Event::Churn => {
                for key in self.network.churn(&mut self.dice) {
                    let wait = self.millis(100, 15_000);
                    self.after(wait, Event::Broke(key));
                }
                self.after(CHURN_EVERY, Event::Churn);
            }
            Event::Values => {
                for key in self.connected.clone() {
                    let latency = self.network.living.get(&key).map_or(300, |peer| peer.round_trip);
                    let latency = Duration::from_millis(latency);
                    let failures = u64::from(self.dice.percent(10));
                    self.pool.handle_value(key, Value { answers: 20, failures, latency }, now);
                }
                self.after(MINUTE, Event::Values);
            }
        }
    }

    /// A round of a search: a bootnode and two of the table, or three of the table.
    fn ask(&mut self, rounds: u32) {
        if self.discovery == Discovery::Nobody {
            return;
        }
        let mut asked = 0;
        if self.discovery == Discovery::Everybody && (self.table.len() < 3 || self.dice.percent(20)) {
            self.answer(150, rounds);
            asked += 1;
        }
        while asked < 3 && !self.table.is_empty() {
            asked += 1;
            let key = self.dice.pick(&self.table);
            match self.network.living.get(&key).map(|peer| peer.round_trip) {
                Some(round_trip) => self.answer(round_trip, if asked == 1 { rounds } else { 0 }),
                None => {
                    self.after(Duration::from_millis(700), Event::Silent(key));
                    if asked == 1 && rounds > 0 {
                        self.after(Duration::from_millis(700), Event::Found(Vec::new(), rounds));
                    }
                }
            }
        }
    }

    fn answer(&mut self, round_trip: u64, rounds: u32) {
        let records = self.network.sample(&mut self.dice, 16);
        // A handshake comes before the question.
        self.after(Duration::from_millis(2 * round_trip), Event::Found(records, rounds));
    }

    fn hang_up(&mut self, key: NodeKey, why: Failure) {
        if self.connected.remove(&key) {
            self.pool.handle_disconnected(key, Stack::Devp2p, false, why, self.now);
        }
    }

    /// Peers that we can use: not those that died and have not been noticed yet.
    fn useful(&self) -> usize {
        let useful = |key: &&NodeKey| {
            let role = self.network.living.get(key).map(|peer| peer.role);
            matches!(role, Some(Role::LesFullNode | Role::Relay))
        };
        self.connected.iter().filter(useful).count()
    }
}

/// How far the pool was from its target over a time.
#[derive(Debug, Default)]
struct Watch {
    below: Duration,
    dip: Duration,
    longest_dip: Duration,
    fewest: usize,
}

impl Watch {
    /// Part of `time` at target, in hundredths.
    fn share(&self, time: Duration) -> f64 {
        100.0 * (1.0 - self.below.as_secs_f64() / time.as_secs_f64())
    }
}

fn watch(world: &mut World, time: Duration, target: usize) -> Watch {
    let mut watch = Watch { fewest: usize::MAX, ..Watch::default() };
    let (mut last, mut was_below) = (world.now, false);
    world.run(time, |world| {
        let useful = world.useful();
        if was_below {
            watch.below += world.now - last;
            watch.dip += world.now - last;
        }
        watch.longest_dip = watch.longest_dip.max(watch.dip);
        watch.fewest = watch.fewest.min(useful);
        (last, was_below) = (world.now, useful < target);
        if !was_below {
            watch.dip = Duration::ZERO;
        }
        false
    });
    watch
}

fn percentiles(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100];
    println!("{what}: p50 {:.1?}, p95 {:.1?}, max {:.1?}", at(50), at(95), at(100));
    at(100)
}

fn time_to(peers: usize, config: &PoolConfig) -> Vec<Duration> {
    (0..SEEDS)
        .map(|seed| World::new(seed, config.clone()).run(10 * MINUTE, |world| world.useful() >= peers))
        .collect()
}

#[test]
fn three_useful_peers_are_there_within_ten_seconds() {
    let relay = percentiles("relay, three useful peers", time_to(3, &PoolConfig::relay(me())));
    let light = percentiles("light peer, three useful peers", time_to(3, &PoolConfig::light(me())));
    let first = percentiles("phone, the first useful peer", time_to(1, &PoolConfig::phone(me())));
    let phone = percentiles("phone, three useful peers", time_to(3, &PoolConfig::phone(me())));

    assert!(relay < Duration::from_secs(10));
    assert!(light < Duration::from_secs(10));
    // One dial at a time, and a dial to the dead takes up to 10 s.
    assert!(first < MINUTE && phone < 3 * MINUTE);
}

#[test]
fn the_pool_stays_at_target_with_every_bootnode_blocked() {
    let config = PoolConfig::relay(me());
    let target = config.targets.les_full_nodes + config.targets.relays;
    let time = 3 * HOUR;
    for seed in 0..4 {
        let mut world = World::new(seed, config.clone());
        world.run(MINUTE, |_| false);
        world.discovery = Discovery::TableOnly;

        let watch = watch(&mut world, time, target);

        let (share, dip) = (watch.share(time), watch.longest_dip);
        let (fewest, dials) = (watch.fewest, world.dials);
        println!(
            "seed {seed}: at target {share:.1} % of 3 h, at most {dip:.1?} below, at least {fewest} useful, {dials} dials"
        );
        assert!(share > 97.0 && dip < 2 * MINUTE, "{watch:?}");
    }
}

#[test]
fn what_was_heard_in_the_first_minute_lasts_for_an_hour_without_any_discovery() {
    let config = PoolConfig::relay(me());
    let target = config.targets.les_full_nodes + config.targets.relays;
    for seed in 0..8 {
        let mut world = World::new(seed, config.clone());
        world.run(MINUTE, |_| false);
        world.discovery = Discovery::Nobody;

        let watch = watch(&mut world, HOUR, target);

        let (share, dip, fewest) = (watch.share(HOUR), watch.longest_dip, watch.fewest);
        println!(
            "seed {seed}: no discovery: at target {share:.1} % of 1 h, at most {dip:.1?} below, at least {fewest} useful"
        );
        assert!(share > 90.0 && dip < 4 * MINUTE, "{watch:?}");
    }
}

#[test]
fn a_restart_without_bootnodes_reaches_the_target_from_memory() {
    let config = PoolConfig::relay(me());
    let target = config.targets.les_full_nodes + config.targets.relays;
    let mut times = Vec::new();
    for seed in 0..8 {
        let mut world = World::new(seed, config.clone());
        world.run(HOUR, |_| false);
        let (now, unix) = (world.now, 1_800_000_000);
        let text = world.pool.memory(now, unix).to_json().expect("written");

        // Half an hour in which nothing runs but the churn; then a pool that knows nothing but the text.
        world.pool = Pool::new(config.clone(), forks(), world.dice.hash().0, now + HOUR / 2);
        world.dialing.clear();
        world.connected.clear();
        world.queue.clear();
        world.table.clear();
        for _ in 0..3 {
            world.network.churn(&mut world.dice);
        }
        world.now = now + HOUR / 2;
        world.after(CHURN_EVERY, Event::Churn);
        world.discovery = Discovery::TableOnly;
        let memory = Memory::from_json(&text).expect("what we wrote");
        let remembered = memory.len();
        world.table = memory.records().map(Record::key).collect();
        assert_eq!(world.pool.remember(memory, world.now, unix + 1_800), remembered);

        let took = world.run(10 * MINUTE, |world| world.useful() >= target);

        println!(
            "seed {seed}: {remembered} remembered ({} bytes), target reached after {took:.1?}",
            text.len()
        );
        times.push(took);
    }
    assert!(percentiles("restart from memory, target", times) < MINUTE);
}

#[test]
fn a_run_can_be_repeated() {
    let run = || {
        let mut world = World::new(3, PoolConfig::relay(me()));
        world.run(HOUR, |_| false);
        (world.dials, world.connected)
    };

    assert_eq!(run(), run());
}
