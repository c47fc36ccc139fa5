//! Stories of the server as a machine.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    Config, Event, Limits, Outcome, OverLimit,
    machine::{Command, Key, MAX_PAYMENT, MIN_PAYMENT, Machine},
};
use crate::{
    Scope, Transport,
    message::{DialRequest, DialResponse, DialStatus},
};

const MINUTE: Duration = Duration::from_secs(60);

struct Story {
    machine: Machine,
    now: Instant,
    next: usize,
}

impl Story {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { enabled: true, ..Config::default() };
        change(&mut config);
        Self { machine: Machine::new(config, StdRng::seed_from_u64(1)), now: Instant::now(), next: 0 }
    }

    /// Opens a stream on a connection of its own.
    fn open(&mut self, peer: PeerId, ip: &str) -> Key {
        self.next += 1;
        let key = Key { connection: ConnectionId::new_unchecked(self.next), stream: 7 };
        let ip: Option<IpAddr> = ip.parse().ok();
        self.machine.handle_stream(key, peer, ip, self.now);
        key
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.machine.poll_command()).collect()
    }

    fn request(&mut self, key: Key, addresses: &[&str]) -> Vec<Command> {
        let addresses = addresses.iter().map(|text| text.parse::<Multiaddr>().expect("an address").to_vec());
        let request = DialRequest { addresses: addresses.collect(), nonce: 42 };
        self.machine.handle_request(key, &request, self.now);
        self.commands()
    }

    /// Whether a request is let in; it ends at once.
    fn asks(&mut self, peer: PeerId, ip: &str) -> Result<(), OverLimit> {
        let key = self.open(peer, ip);
        let over = self.commands().into_iter().find_map(|command| match command {
            Command::Report(Event { outcome: Outcome::Rejected(over), .. }) => Some(over),
            _ => None,
        });
        self.machine.handle_broken(key);
        self.commands();
        over.map_or(Ok(()), Err)
    }
}

fn dialed(commands: &[Command]) -> Option<&Multiaddr> {
    commands.iter().find_map(|command| match command {
        Command::Dial { address, .. } => Some(address),
        _ => None,
    })
}

fn answer(commands: &[Command]) -> Option<DialResponse> {
    commands.iter().find_map(|command| match command {
        Command::Answer { response, .. } => Some(*response),
        _ => None,
    })
}

#[test]
fn the_askers_own_address_is_dialed_for_nothing() {
    let mut story = Story::new(|_| {});
    let key = story.open(PeerId::random(), "1.2.3.4");
    assert!(matches!(story.commands()[..], [Command::Read { .. }]));

    let commands = story.request(key, &["/ip4/1.2.3.4/tcp/9"]);
    assert_eq!(dialed(&commands).expect("dialed").to_string(), "/ip4/1.2.3.4/tcp/9");
    assert_eq!(story.machine.handle_connected(key), Some(42));
    story.machine.handle_dialed_back(key, true);

    let expected = DialResponse::Dialed { index: 0, status: DialStatus::Ok };
    assert_eq!(answer(&story.commands()), Some(expected));
    assert_eq!(story.machine.counters().under_way, 0);
}

#[test]
fn another_address_costs_data_and_waits() {
    let mut story = Story::new(|_| {});
    let key = story.open(PeerId::random(), "1.2.3.4");
    story.commands();

    let commands = story.request(key, &["/ip4/1.2.3.5/tcp/9"]);
    let [Command::Charge { request, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!((MIN_PAYMENT..=MAX_PAYMENT).contains(&request.bytes));
    story.machine.handle_payment(key, story.now);
    assert!(story.commands().is_empty());
    story.now = story.machine.poll_timeout().expect("a pause");
    story.machine.handle_timeout(story.now);

    assert_eq!(dialed(&story.commands()).expect("dialed").to_string(), "/ip4/1.2.3.5/tcp/9");
    assert_eq!(
        story.machine.counters().paid_bytes,
        match commands[..] {
            [Command::Charge { request, .. }] => request.bytes,
            _ => 0,
        }
    );
}

#[test]
fn the_first_address_that_we_are_willing_to_dial_is_taken() {
    let mut story = Story::new(|_| {});
    let key = story.open(PeerId::random(), "1.2.3.4");
    story.commands();

    let commands = story.request(
        key,
        &[
            "/ip4/10.0.0.1/tcp/9",
            "/dns4/example.org/tcp/9",
            "/ip4/1.2.3.4/udp/8/quic-v1",
            "/ip4/1.2.3.4/tcp/9",
        ],
    );
    assert_eq!(dialed(&commands).expect("dialed").to_string(), "/ip4/1.2.3.4/udp/8/quic-v1");
    story.machine.handle_dial_failed(key);

    let expected = DialResponse::Dialed { index: 2, status: DialStatus::DialError };
    assert_eq!(answer(&story.commands()), Some(expected));
}

#[test]
fn families_and_transports_that_are_not_ours_are_refused() {
    let mut story = Story::new(|config| {
        config.ipv6 = false;
        config.transports = vec![Transport::Tcp];
    });
    for address in ["/ip6/2606:4700::1/tcp/9", "/ip4/1.2.3.4/udp/9/quic-v1", "/ip4/1.2.3.4/tcp/9/ws"] {
        let key = story.open(PeerId::random(), "1.2.3.4");
        story.commands();
        assert_eq!(answer(&story.request(key, &[address])), Some(DialResponse::Refused), "{address}");
    }
}

#[test]
fn a_dial_that_takes_too_long_is_an_error_but_keeps_its_slot() {
    let mut story = Story::new(|config| config.limits.concurrent = 1);
    let key = story.open(PeerId::random(), "1.2.3.4");
    story.commands();
    story.request(key, &["/ip4/1.2.3.4/tcp/9"]);

    story.now = story.machine.poll_timeout().expect("a limit");
    story.machine.handle_timeout(story.now);

    let expected = DialResponse::Dialed { index: 0, status: DialStatus::DialError };
    assert_eq!(answer(&story.commands()), Some(expected));
    assert_eq!(story.asks(PeerId::random(), "5.6.7.8"), Err(OverLimit::Concurrent));
    assert_eq!(story.machine.handle_connected(key), None, "nobody waits for the nonce");
    story.machine.handle_dial_failed(key);
    assert_eq!(story.asks(PeerId::random(), "5.6.7.8"), Ok(()));
}

#[test]
fn an_asker_who_leaves_is_not_answered() {
    let mut story = Story::new(|_| {});
    let key = story.open(PeerId::random(), "1.2.3.4");
    story.commands();
    story.request(key, &["/ip4/1.2.3.4/tcp/9"]);

    story.machine.handle_closed(key.connection);
    let commands = story.commands();
    assert!(matches!(&commands[..], [Command::Report(Event { outcome: Outcome::Forsaken, .. })]));
    story.machine.handle_dial_failed(key);

    assert!(story.commands().is_empty());
    assert_eq!(story.machine.counters().under_way, 0);
}

#[test]
fn one_peer_gets_six_a_minute_and_two_at_once() {
    let mut story = Story::new(|_| {});
    let peer = PeerId::random();
    let keys = [story.open(peer, "1.2.3.4"), story.open(peer, "1.2.3.4")];
    assert_eq!(story.asks(peer, "1.2.3.4"), Err(OverLimit::ConcurrentOfPeer));
    for key in keys {
        story.machine.handle_broken(key);
    }
    story.commands();
    for _ in 2..6 {
        assert_eq!(story.asks(peer, "1.2.3.4"), Ok(()));
    }

    assert_eq!(story.asks(peer, "9.9.9.9"), Err(OverLimit::Peer));
    story.now += MINUTE;
    assert_eq!(story.asks(peer, "1.2.3.4"), Ok(()));
}

#[test]
fn one_network_gets_twelve_a_minute_and_one_site_twenty_four() {
    let mut story = Story::new(|_| {});
    for last in 0..12 {
        assert_eq!(story.asks(PeerId::random(), &format!("1.2.3.{last}")), Ok(()));
    }
    assert_eq!(story.asks(PeerId::random(), "1.2.3.99"), Err(OverLimit::Network));
    assert_eq!(story.asks(PeerId::random(), "1.2.4.99"), Ok(()));

    for subnet in 0..24 {
        assert_eq!(story.asks(PeerId::random(), &format!("2606:1:1:{subnet}::1")), Ok(()));
    }
    assert_eq!(story.asks(PeerId::random(), "2606:1:1:99::1"), Err(OverLimit::Site));
    assert_eq!(story.asks(PeerId::random(), "2606:1:2:99::1"), Ok(()));
}

#[test]
fn a_flood_is_held_to_sixty_a_minute_and_leaves_no_trace() {
    let mut story = Story::new(|_| {});
    let mut accepted = 0;
    for number in 0..20_000_u32 {
        let ip = IpAddr::from((0x0200_0000 + number * 256).to_be_bytes());
        accepted += usize::from(story.asks(PeerId::random(), &ip.to_string()).is_ok());
        assert!(story.machine.remembered() <= 60);
    }

    assert_eq!(accepted, 60);
    assert_eq!(story.machine.counters().rejected, 20_000 - 60);
}

#[test]
fn dials_to_other_addresses_are_fewer_and_fewer_still_into_one_network() {
    let mut story = Story::new(|config| {
        config.limits = Limits { concurrent: 100, ..Limits::default() };
    });
    let mut pay = |target: &str| {
        let next = story.next + 1;
        let key = story.open(PeerId::random(), &format!("5.6.{next}.8"));
        story.commands();
        let commands = story.request(key, &[target]);
        matches!(commands[..], [Command::Charge { .. }])
    };
    let into_one: Vec<bool> = (1..=6).map(|host| pay(&format!("/ip4/1.2.3.{host}/tcp/9"))).collect();
    let elsewhere = (1..=20).filter(|net| pay(&format!("/ip4/1.2.{}.1/tcp/9", net + 3))).count();

    assert_eq!(into_one, [true, true, true, true, false, false]);
    assert_eq!(elsewhere, 12 - 4);
}

#[test]
fn addresses_in_every_disguise_are_refused() {
    let peer = PeerId::random();
    for scope in [Scope::Global, Scope::Private] {
        let mut story = Story::new(|config| config.scope = scope);
        for address in [
            "/ip4/127.0.0.1/tcp/9",
            "/ip6/::1/tcp/9",
            "/ip4/0.0.0.0/tcp/9",
            "/ip6/::/udp/9/quic-v1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/::ffff:127.0.0.1/tcp/9",
            "/ip6/::ffff:10.0.0.1/tcp/9",
            "/ip6/64:ff9b::7f00:1/tcp/9",
            "/ip6/2002:7f00:1::/tcp/9",
            "/ip6/2001:0:7f00:1::/tcp/9",
            "/ip6/fe80::1/tcp/9",
            "/ip6zone/eth0/ip6/2606:4700::1/tcp/9",
            "/ip4/224.0.0.1/udp/9/quic-v1",
            "/ip4/255.255.255.255/tcp/9",
            "/dns4/localhost/tcp/9",
            "/dns/localhost/tcp/9",
            "/dnsaddr/localhost",
            "/ip4/1.2.3.4/ip4/127.0.0.1/tcp/9",
            "/ip4/1.2.3.4/tcp/9/ip4/127.0.0.1/tcp/9",
            "/ip4/1.2.3.4/tcp/9/p2p-circuit",
            "/ip4/1.2.3.4/tcp/0",
            "/memory/9",
        ] {
            let key = story.open(peer, "1.2.3.4");
            story.commands();
            let commands = story.request(key, &[address]);
            assert_eq!(answer(&commands), Some(DialResponse::Refused), "{address}");
            assert!(dialed(&commands).is_none(), "{address}");
            story.now += MINUTE;
        }
        assert_eq!(story.machine.counters().dials, 0);
    }
}
