//! Stories of the client as a machine.

use std::time::{Duration, Instant};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    Config, Event,
    machine::{Command, Machine},
    question::{Answer, Ask},
    server::Connection,
};

const ADDRESS: &str = "/ip4/1.2.3.4/tcp/4001";
const MINUTE: Duration = Duration::from_secs(60);

struct Story {
    machine: Machine,
    now: Instant,
    connections: usize,
}

#[derive(Clone, Debug)]
struct Asked {
    server: PeerId,
    ask: Ask,
}

impl Story {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let now = Instant::now();
        let machine = Machine::new(config, PeerId::random(), StdRng::seed_from_u64(1), now);
        Self { machine, now, connections: 0 }
    }

    fn connect(&mut self, peer: PeerId, inbound: bool, local: &str, remote: &str) -> ConnectionId {
        self.connections += 1;
        let id = ConnectionId::new_unchecked(self.connections);
        let (local, remote) = (address(local), address(remote));
        self.machine.handle_connected(peer, id, Connection::new(self.now, inbound, local, remote));
        id
    }

    /// A connected peer that offers to answer.
    fn server(&mut self, ip: &str) -> PeerId {
        let peer = PeerId::random();
        let id = self.connect(peer, false, "/memory/1", &format!("/ip4/{ip}/tcp/1"));
        self.machine.handle_serves(peer, id, true, self.now);
        peer
    }

    fn candidates(&mut self, addresses: &[&str]) {
        let addresses: Vec<Multiaddr> = addresses.iter().map(|text| address(text)).collect();
        self.machine.set_candidates(&addresses, self.now);
    }

    fn drain(&mut self) -> (Vec<Asked>, Vec<Event>) {
        let (mut asked, mut events) = (Vec::new(), Vec::new());
        while let Some(command) = self.machine.poll_command() {
            match command {
                Command::Ask { server, ask, .. } => asked.push(Asked { server, ask }),
                Command::Report(event) => events.push(event),
            }
        }
        (asked, events)
    }

    fn asked(&mut self) -> Vec<Asked> {
        self.drain().0
    }

    fn events(&mut self) -> Vec<Event> {
        self.drain().1
    }

    /// The nonce comes over a new connection.
    fn dial_back(&mut self, asked: &Asked) -> bool {
        let id = self.connect(asked.server, true, "/ip4/192.168.1.2/tcp/4001", "/ip4/9.9.9.9/tcp/555");
        self.machine.handle_dial_back(asked.server, id, asked.ask.nonce, self.now)
    }

    fn answer(&mut self, asked: &Asked, answer: Answer) {
        self.machine.handle_answer(asked.ask.id, answer, 0, self.now);
    }

    fn confirm(&mut self, asked: &Asked) {
        assert!(self.dial_back(asked));
        self.answer(asked, Answer::Dialed);
    }

    /// Lets time go by, waking the machine whenever it wants to be; nobody answers meanwhile.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(wake) = self.machine.poll_timeout().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.machine.handle_timeout(self.now);
            wakes += 1;
            assert!(wakes < 1000, "it spins");
        }
        self.now = end;
        self.machine.handle_timeout(self.now);
    }
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect("a multiaddr")
}

fn verdict(reachable: bool, confirmations: usize, server: PeerId) -> Event {
    Event::Verdict { address: address(ADDRESS), reachable, confirmations, server }
}

#[test]
fn two_servers_must_agree() {
    let mut story = Story::new(|_| {});
    let servers = [story.server("5.5.5.5"), story.server("6.6.6.6"), story.server("7.7.7.7")];
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    assert_eq!(asked.len(), 2, "as many as are needed");
    assert!(asked.iter().all(|asked| servers.contains(&asked.server)));

    story.confirm(&asked[0]);
    assert_eq!(story.events(), []);
    story.confirm(&asked[1]);

    assert_eq!(story.events(), [verdict(true, 2, asked[1].server)]);
}

#[test]
fn a_third_server_decides_where_two_disagree() {
    let mut story = Story::new(|_| {});
    for ip in ["5.5.5.5", "6.6.6.6", "7.7.7.7", "8.8.8.8"] {
        story.server(ip);
    }
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.confirm(&asked[0]);
    story.answer(&asked[1], Answer::NotDialed);

    let third = story.asked();
    assert_eq!(third.len(), 1);
    story.answer(&third[0], Answer::NotDialed);

    assert_eq!(story.events(), [verdict(false, 2, third[0].server)]);
    assert!(story.asked().is_empty());
}

#[test]
fn the_only_server_is_believed_until_there_is_another() {
    let mut story = Story::new(|_| {});
    let first = story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.confirm(&asked[0]);
    assert_eq!(story.events(), [verdict(true, 1, first)]);

    let second = story.server("6.6.6.6");
    let asked = story.asked();
    assert_eq!(asked[0].server, second);
    story.confirm(&asked[0]);

    assert_eq!(story.events(), [verdict(true, 2, second)]);
}

#[test]
fn servers_of_other_networks_come_first() {
    let mut story = Story::new(|_| {});
    for ip in ["5.5.5.1", "5.5.5.2", "5.5.5.3", "5.5.5.4"] {
        story.server(ip);
    }
    let elsewhere = story.server("6.6.6.6");
    story.candidates(&[ADDRESS]);

    assert!(story.asked().iter().any(|asked| asked.server == elsewhere));
}

#[test]
fn who_sits_beside_us_or_behind_a_relay_is_not_asked() {
    let mut story = Story::new(|_| {});
    story.server("192.168.1.7");
    story.server("1.2.3.4"); // behind our router
    let relayed = PeerId::random();
    let relay = PeerId::random();
    let id =
        story.connect(relayed, true, "/memory/1", &format!("/ip4/5.5.5.5/tcp/1/p2p/{relay}/p2p-circuit"));
    story.machine.handle_serves(relayed, id, true, story.now);
    let silent = PeerId::random();
    story.connect(silent, true, "/memory/1", "/ip4/5.5.5.5/tcp/1");
    story.candidates(&[ADDRESS]);
    assert!(story.asked().is_empty());

    story.machine.handle_server(silent, story.now);

    assert_eq!(story.asked()[0].server, silent, "the owner vouches for it");
}

#[test]
fn unfit_candidates_are_not_tested() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    let relay = PeerId::random();
    let circuit = format!("/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit");
    story.candidates(&["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/dns4/example.org/tcp/1", &circuit]);
    story.machine.handle_candidate(&address(&circuit), story.now);

    assert!(story.asked().is_empty());
    assert_eq!(story.machine.counters().unfit_candidates, 5);
}

#[test]
fn only_our_nonce_on_a_new_connection_counts() {
    let mut story = Story::new(|_| {});
    let server = story.server("5.5.5.5");
    let before = story.connect(server, true, "/ip4/192.168.1.2/tcp/4001", "/ip4/5.5.5.5/tcp/555");
    story.now += MINUTE;
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    let nonce = asked[0].ask.nonce;
    let mut offer = |inbound, local, remote, nonce| {
        let id = story.connect(server, inbound, local, remote);
        story.machine.handle_dial_back(server, id, nonce, story.now)
    };

    assert!(!offer(true, "/ip4/192.168.1.2/tcp/4001", "/ip4/5.5.5.5/tcp/556", nonce ^ 1), "not ours");
    assert!(!offer(false, "/memory/1", "/ip4/5.5.5.5/tcp/556", nonce), "we dialed");
    assert!(!offer(true, "/ip4/192.168.1.2/udp/4001/quic-v1", "/ip4/5.5.5.5/udp/556/quic-v1", nonce), "QUIC");
    assert!(!offer(true, "/ip6/::1/tcp/4001", "/ip6/2606::1/tcp/556", nonce), "IPv6");
    assert!(!story.machine.handle_dial_back(server, before, nonce, story.now), "an old connection");
    assert_eq!(story.machine.counters().false_dial_backs, 5);
    assert!(story.dial_back(&asked[0]));
    assert!(!story.dial_back(&asked[0]), "once");
}

#[test]
fn a_server_that_lies_about_dialing_is_not_believed() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();

    story.answer(&asked[0], Answer::Dialed);
    story.wait(Duration::from_secs(5));

    assert_eq!(story.events(), []);
    assert_eq!(story.machine.counters().false_answers, 1);
    story.now += Duration::from_secs(30);
    story.machine.handle_timeout(story.now);
    assert!(story.asked().is_empty(), "it has to wait");
}

#[test]
fn a_nonce_may_come_after_the_answer() {
    let mut story = Story::new(|_| {});
    let server = story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();

    story.answer(&asked[0], Answer::Dialed);
    assert!(story.dial_back(&asked[0]));

    assert_eq!(story.events(), [verdict(true, 1, server)]);
}

#[test]
fn a_reachable_address_is_tested_again_after_a_quarter_of_an_hour() {
    let mut story = Story::new(|_| {});
    let server = story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.confirm(&asked[0]);
    story.events();

    let begun = story.now;
    story.wait(13 * MINUTE);
    assert!(story.asked().is_empty());
    while story.machine.counters().questions == 1 {
        story.wait(Duration::from_secs(10));
    }
    assert!(story.now - begun < 17 * MINUTE);
    let asked = story.asked();
    assert_eq!(asked.len(), 1);
    story.answer(&asked[0], Answer::NotDialed);

    assert_eq!(story.events(), [verdict(false, 1, server)]);
}

#[test]
fn a_verdict_that_nobody_renews_expires() {
    let mut story = Story::new(|_| {});
    let server = story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.confirm(&asked[0]);
    story.events();
    let connection = ConnectionId::new_unchecked(1);
    story.machine.handle_disconnected(server, connection, story.now);
    story.machine.handle_disconnected(server, ConnectionId::new_unchecked(2), story.now);

    story.wait(28 * MINUTE);
    assert_eq!(story.events(), []);
    story.wait(4 * MINUTE);

    assert_eq!(story.events(), [Event::Expired { address: address(ADDRESS) }]);
}

#[test]
fn pauses_after_failures_grow_to_an_hour() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let asked = story.asked();
        let before = story.now;
        story.answer(&asked[0], Answer::NotDialed);
        story.drain();
        while story.machine.counters().questions == pauses.len() as u64 + 1 {
            story.wait(Duration::from_secs(10));
        }
        pauses.push((story.now - before).as_secs_f64() / 60.0);
    }

    for (pause, expected) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        let expected = f64::from(expected);
        assert!((pause - expected).abs() < expected * 0.1 + 0.4, "{pauses:?}");
    }
}

#[test]
fn changed_candidates_are_tested_at_once_and_so_are_those_that_failed() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.answer(&asked[0], Answer::NotDialed);
    story.drain();
    story.now += Duration::from_secs(20);

    story.candidates(&[ADDRESS]);
    assert!(story.asked().is_empty(), "nothing changed");
    story.candidates(&[ADDRESS, "/ip4/1.2.3.4/tcp/4002"]);

    let first = story.asked();
    story.answer(&first[0], Answer::NotDialed);
    assert_eq!(story.asked().len(), 1, "one after the other, for there is one server");
}

#[test]
fn a_candidate_that_is_withdrawn_takes_its_verdict_along() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    let asked = story.asked();
    story.confirm(&asked[0]);
    story.events();

    story.candidates(&[]);

    assert_eq!(story.events(), [Event::Expired { address: address(ADDRESS) }]);
    story.wait(60 * MINUTE);
    assert!(story.asked().is_empty());
}

#[test]
fn a_server_is_asked_four_times_a_minute_and_one_thing_at_a_time() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    let all: Vec<String> = (1..=20).map(|port| format!("/ip4/1.2.3.4/tcp/{port}")).collect();
    story.candidates(&all.iter().map(String::as_str).collect::<Vec<_>>());

    let mut in_first_minute = 0;
    loop {
        let asked = story.asked();
        let [asked] = &asked[..] else { break };
        in_first_minute += 1;
        story.answer(&asked.clone(), Answer::NotDialed);
    }
    assert_eq!(in_first_minute, 4);
    story.wait(MINUTE);

    assert_eq!(story.asked().len(), 1);
}

#[test]
fn payment_is_bounded_per_hour() {
    let mut story = Story::new(|config| {
        config.max_payment_per_hour = 150_000;
        config.questions_per_minute = 100;
    });
    story.server("5.5.5.5");
    let all: Vec<String> = (1..=3).map(|port| format!("/ip4/1.2.3.4/tcp/{port}")).collect();
    story.candidates(&all.iter().map(String::as_str).collect::<Vec<_>>());

    let mut budgets = Vec::new();
    while let [asked] = &story.asked()[..] {
        budgets.push(asked.ask.budget);
        story.machine.handle_answer(asked.ask.id, Answer::NotDialed, asked.ask.budget, story.now);
    }

    assert_eq!(budgets, [100_000, 50_000, 0]);
    assert_eq!(story.machine.counters().paid_bytes, 150_000);
}

#[test]
fn candidates_of_the_swarm_are_bounded_and_spare_what_is_reachable() {
    let mut story = Story::new(|_| {});
    story.server("5.5.5.5");
    story.machine.handle_candidate(&address(ADDRESS), story.now);
    let asked = story.asked();
    story.confirm(&asked[0]);
    for port in 1..=1000 {
        story.now += Duration::from_millis(1);
        story.machine.handle_candidate(&address(&format!("/ip4/1.2.3.4/udp/{port}/quic-v1")), story.now);
    }

    let statuses: Vec<_> = story.machine.statuses().collect();
    assert_eq!(statuses.len(), 16);
    let reachable = statuses.iter().find(|status| status.reachable == Some(true));
    assert_eq!(reachable.map(|status| status.address.clone()), Some(address(ADDRESS)));
}

#[test]
fn a_lost_connection_ends_its_question() {
    let mut story = Story::new(|_| {});
    let server = story.server("5.5.5.5");
    story.candidates(&[ADDRESS]);
    assert_eq!(story.asked().len(), 1);
    story.machine.handle_disconnected(server, ConnectionId::new_unchecked(1), story.now);

    let other = story.server("6.6.6.6");

    assert_eq!(story.asked()[0].server, other);
}
