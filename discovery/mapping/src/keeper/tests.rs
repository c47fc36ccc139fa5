//! Stories of one family, with the time moved by hand.

use std::net::SocketAddr;

use super::*;
use crate::{Protocol, wish::PortWish};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// A router whose answers are given by hand.
struct Home {
    keeper: Keeper,
    now: Instant,
}

impl Home {
    fn new(methods: &[Method], ports: u16) -> Self {
        let setup = Setup {
            family: Family::V4,
            methods: methods.to_vec(),
            lifetime: HOUR,
            allow_private: false,
            pace: Pace::default(),
        };
        let wishes = (1..=ports).map(|port| {
            let wish = PortWish { protocol: Protocol::Udp, internal: port, name: "test" };
            (wish, [u8::try_from(port).expect("a few ports"); 12])
        });
        let mut home = Self { keeper: Keeper::new(setup, wishes), now: Instant::now() };
        home.keeper.handle_network(Some(path(10)), home.now);
        home
    }

    fn command(&mut self) -> Option<Command> {
        self.keeper.poll_command(self.now)
    }

    fn asked(&mut self) -> Ask {
        match self.command() {
            Some(Command::Map(ask)) => ask,
            other => panic!("a question for a mapping, not {other:?}"),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.keeper.handle_answer(answer, self.now);
    }

    fn grant(&mut self, external: &str, lifetime: Duration, epoch: Option<u32>) {
        let external = external.parse().expect("an address");
        self.answer(Answer::Mapped(Ok(Granted { external, lifetime: Some(lifetime), epoch })));
    }

    fn refuse(&mut self, error: MappingError) {
        self.answer(Answer::Mapped(Err(error.into())));
    }

    fn states(&self) -> Vec<PortState> {
        self.keeper.states().cloned().collect()
    }

    /// Moves the time to the next thing to do; says how far that was.
    fn wait(&mut self) -> Duration {
        let due = self.keeper.poll_timeout().expect("something is due");
        let waited = due.saturating_duration_since(self.now);
        self.now = self.now.max(due);
        waited
    }
}

fn path(host: u8) -> Path {
    Path::new([192, 168, 1, 1].into(), 0, [192, 168, 1, host].into(), 24)
}

fn gateway() -> IpAddr {
    [192, 168, 1, 1].into()
}

fn silence(method: Method) -> MappingError {
    MappingError::NoAnswer { gateway: gateway(), method }
}

fn external(state: &PortState) -> Option<SocketAddr> {
    match state {
        PortState::Mapped(mapping) => Some(mapping.external),
        PortState::Asking | PortState::Unneeded | PortState::Failed(_) | PortState::Off => None,
    }
}

#[test]
fn protocols_are_tried_in_turn_and_the_one_that_works_is_kept() {
    let mut home = Home::new(&[Method::Pcp, Method::Pmp, Method::Upnp], 2);

    assert_eq!(home.asked().method, Method::Pcp);
    assert_eq!(home.command(), None, "one at a time");
    home.refuse(silence(Method::Pcp));
    assert_eq!(home.asked().method, Method::Pmp);
    home.grant("1.2.3.4:1", HOUR, Some(7));
    let second = home.asked();
    assert_eq!((second.method, second.wish.internal), (Method::Pmp, 2));
    home.grant("1.2.3.4:77", HOUR, Some(7));

    let outside: Vec<_> = home.states().iter().filter_map(external).collect();
    assert_eq!(
        outside,
        ["1.2.3.4:1".parse().expect("an address"), "1.2.3.4:77".parse().expect("an address")]
    );
    assert_eq!(home.command(), None);
}

#[test]
fn a_mapping_is_renewed_at_half_its_life_with_what_was_given() {
    let mut home = Home::new(&[Method::Pmp], 1);
    home.asked();
    home.grant("1.2.3.4:9", HOUR, Some(0));
    let granted = home.now;

    let mut checks = 0;
    let renewal = loop {
        home.wait();
        match home.command() {
            Some(Command::Check(..)) => {
                checks += 1;
                let seconds = u32::try_from((home.now - granted).as_secs()).expect("an hour");
                let external = Some([1, 2, 3, 4].into());
                home.answer(Answer::Checked(Ok(Checked { external, epoch: Some(seconds) })));
            }
            Some(Command::Map(ask)) => break ask,
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(home.now - granted, HOUR / 2);
    assert_eq!(checks, 29);
    assert_eq!(renewal.external, "1.2.3.4:9".parse().expect("an address"));
}

#[test]
fn silence_at_renewal_is_retried_until_the_mapping_ends() {
    let mut home = Home::new(&[Method::Upnp], 1);
    home.asked();
    home.grant("1.2.3.4:9", Duration::from_secs(100), None);

    home.now += Duration::from_secs(50);
    home.asked();
    home.refuse(silence(Method::Upnp));
    assert!(external(&home.states()[0]).is_some(), "still open");
    assert_eq!(home.wait(), 10 * SECOND, "the check");
    home.command();
    home.answer(Answer::Checked(Err(silence(Method::Upnp).into())));
    assert_eq!(home.wait(), 15 * SECOND, "half of what remained");
    home.asked();
    home.refuse(silence(Method::Upnp));
    home.now += Duration::from_secs(25);
    home.asked(); // its life ended meanwhile

    assert_eq!(home.states(), [PortState::Failed(silence(Method::Upnp))]);
    home.refuse(silence(Method::Upnp));
    assert!(home.wait() >= Pace::default().first_retry);
    assert_eq!(home.asked().external, "0.0.0.0:1".parse().expect("an address"));
}

#[test]
fn a_router_that_refuses_is_asked_ever_less_often() {
    let mut home = Home::new(&[Method::Pcp, Method::Upnp], 3);
    let refused = MappingError::NotAllowed { gateway: gateway(), method: Method::Pcp };
    let mut waits = Vec::new();
    for _ in 0..9 {
        home.asked();
        home.refuse(refused.clone());
        home.asked();
        home.refuse(silence(Method::Upnp));
        // The refusal tells more than the silence after it; what holds for one port holds for all.
        assert_eq!(home.states(), vec![PortState::Failed(refused.clone()); 3]);
        waits.push(home.wait().as_secs());
    }
    assert_eq!(waits, [15, 30, 60, 120, 240, 480, 900, 900, 900]);
}

#[test]
fn a_refusal_with_a_time_is_respected_within_bounds() {
    let mut home = Home::new(&[Method::Pcp], 1);
    let error = MappingError::Full { gateway: gateway(), method: Method::Pcp };
    for (told, waited) in [(100, 100), (1_000_000, 900)] {
        home.asked();
        let wait = Some(Duration::from_secs(told));
        home.answer(Answer::Mapped(Err(Failure { error: error.clone(), epoch: None, wait })));
        assert_eq!(home.wait(), Duration::from_secs(waited));
    }
}

#[test]
fn a_port_of_another_device_leaves_the_others_alone() {
    let mut home = Home::new(&[Method::Upnp], 2);
    let taken = MappingError::PortTaken { gateway: gateway(), port: 1 };
    home.asked();
    home.refuse(taken.clone());
    assert_eq!(home.asked().wish.internal, 2);
    home.grant("1.2.3.4:2", HOUR, None);

    assert_eq!(home.states()[0], PortState::Failed(taken));
    assert!(external(&home.states()[1]).is_some());
    assert_eq!(home.wait(), Pace::default().first_retry);
    assert_eq!(home.asked().wish.internal, 1);
}

#[test]
fn an_outside_address_that_is_not_public_is_told_and_not_advertised() {
    for text in ["10.0.0.2:1", "100.64.0.9:1", "192.168.0.3:1"] {
        let mut home = Home::new(&[Method::Pmp], 1);
        home.asked();
        home.grant(text, HOUR, Some(1));

        let double =
            MappingError::DoubleNat { gateway: gateway(), external: text.parse().expect("an address") };
        assert_eq!(home.states(), [PortState::Failed(double)]);
        // It is deleted at the end like any other.
        assert_eq!(home.keeper.held().count(), 1);
    }
}

#[test]
fn a_router_without_a_line_is_asked_again_soon() {
    let mut home = Home::new(&[Method::Pmp], 1);
    home.asked();
    home.grant("0.0.0.0:1", HOUR, Some(1));

    assert_eq!(home.states(), [PortState::Failed(MappingError::NoOutsideAddress { gateway: gateway() })]);
    assert_eq!(home.wait(), Pace::default().first_retry);
    home.asked();
    home.grant("1.2.3.4:1", HOUR, Some(16));
    assert!(external(&home.states()[0]).is_some());
}

#[test]
fn a_restart_of_the_router_makes_it_map_again() {
    let mut home = Home::new(&[Method::Pcp], 2);
    for port in 1..=2 {
        home.asked();
        home.grant(&format!("1.2.3.4:{port}"), HOUR, Some(5000));
    }
    home.wait();
    assert!(matches!(home.command(), Some(Command::Check(..))));

    home.answer(Answer::Checked(Ok(Checked { external: None, epoch: Some(3) })));

    for port in 1..=2 {
        assert_eq!(home.asked().external.port(), port);
        home.grant(&format!("1.2.3.4:{port}"), HOUR, Some(3));
    }
    assert_eq!(home.command(), None);
}

#[test]
fn a_router_that_restarts_all_the_time_is_not_asked_all_the_time() {
    let mut home = Home::new(&[Method::Pcp], 2);
    let (start, mut questions) = (home.now, 0);
    while home.now < start + Duration::from_secs(300) {
        if let Some(Command::Map(ask)) = home.command() {
            questions += 1;
            let epoch = if questions % 2 == 0 { 0 } else { u32::MAX };
            home.grant(&ask.external.to_string().replace("0.0.0.0", "1.2.3.4"), HOUR, Some(epoch));
        } else if home.keeper.flying.is_some() {
            home.answer(Answer::Checked(Ok(Checked { external: None, epoch: Some(questions) })));
        } else {
            home.wait();
        }
    }
    assert!(questions <= 2 * (300 / 30 + 2), "{questions} questions in five minutes");
}

#[test]
fn another_outside_address_is_noticed() {
    let mut home = Home::new(&[Method::Upnp], 1);
    home.asked();
    home.grant("1.2.3.4:1", HOUR, None);
    home.wait();
    assert!(matches!(home.command(), Some(Command::Check(..))));

    home.answer(Answer::Checked(Ok(Checked { external: Some([5, 6, 7, 8].into()), epoch: None })));

    home.asked();
    home.grant("5.6.7.8:1", HOUR, None);
    assert_eq!(external(&home.states()[0]), Some("5.6.7.8:1".parse().expect("an address")));
}

#[test]
fn another_network_starts_all_anew_and_late_answers_are_lost() {
    let mut home = Home::new(&[Method::Upnp], 1);
    home.asked();
    home.grant("1.2.3.4:1", HOUR, None);
    home.keeper.handle_network(None, home.now);
    assert_eq!(home.states(), [PortState::Failed(MappingError::NoGateway)]);
    assert_eq!((home.command(), home.keeper.poll_timeout()), (None, None));

    home.keeper.handle_network(Some(path(10)), home.now);
    home.asked();
    home.grant("1.2.3.4:1", HOUR, None);
    // After a pause the same router, and another address of ours: the old mapping is in the way.
    home.keeper.handle_network(None, home.now);
    home.keeper.handle_network(Some(path(11)), home.now);
    let Some(Command::Remove(old)) = home.command() else { panic!("the old one is deleted first") };
    assert_eq!(old.path, path(10));
    home.answer(Answer::Removed);
    assert_eq!(home.asked().path, path(11));

    home.keeper.handle_network(Some(path(12)), home.now);
    home.grant("9.9.9.9:1", HOUR, None); // of the network before
    assert_eq!(home.states(), [PortState::Asking]);
}

#[test]
fn a_machine_with_a_public_address_asks_nobody() {
    let mut home = Home::new(&[Method::Pcp], 1);
    let public = Path::new([1, 2, 3, 1].into(), 0, [1, 2, 3, 4].into(), 24);
    home.keeper.handle_network(Some(public), home.now);
    assert_eq!((home.states(), home.command()), (vec![PortState::Unneeded], None));
}

#[test]
fn lifetimes_are_kept_within_bounds() {
    let mut home = Home::new(&[Method::Pcp], 1);
    home.asked();
    home.grant("1.2.3.4:1", SECOND, Some(1));
    // It ends before it may be renewed: not a question a second.
    assert_eq!(home.wait(), SECOND);
    assert_eq!(home.command(), None);
    assert_eq!(home.wait(), 3 * SECOND);
    home.asked();
    home.grant("1.2.3.4:1", Duration::from_secs(u64::from(u32::MAX)), Some(5));
    let expires = home.keeper.held().next().and_then(|held| held.expires).expect("an end");
    assert_eq!(expires - home.now, 24 * HOUR);
}
