//! Tests of the keeper's machine: a network that is cut, sleeps and comes back, in virtual time.

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn session(number: u64) -> SessionId {
    SessionId(number)
}

/// A machine with these ways, one after the other, and the time since it began.
struct World {
    machine: Machine,
    start: Instant,
    now: Instant,
    /// What was dialed, and when.
    dialed: Vec<(Duration, usize, Attempt)>,
    /// Everything else.
    others: Vec<Step>,
}

impl World {
    /// The first way carries the first session.
    fn connected(kinds: &[Kind]) -> Self {
        let start = Instant::now();
        let mut machine = Machine::new();
        assert_eq!(machine.handle_ways(kinds, start), kinds.len());
        machine.handle_first(session(1), kinds[0], Some(0), start);
        let mut world = Self { machine, start, now: start, dialed: Vec::new(), others: Vec::new() };
        world.drain();
        world
    }

    fn drain(&mut self) {
        while let Some(step) = self.machine.poll_step() {
            match step {
                Step::Dial { attempt, way } => self.dialed.push((self.now - self.start, way, attempt)),
                other => self.others.push(other),
            }
        }
    }

    /// Lets time pass, as the shell does.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn forget(&mut self) {
        self.dialed.clear();
        self.others.clear();
    }

    fn ways(&self) -> Vec<usize> {
        self.dialed.iter().map(|(_, way, _)| *way).collect()
    }

    fn last_attempt(&self, of: usize) -> Attempt {
        self.dialed.iter().rev().find(|(_, way, _)| *way == of).expect("it was dialed").2
    }

    fn gone(&mut self, number: u64) {
        self.machine.handle_gone(session(number), self.now);
        self.drain();
    }

    fn connects(&mut self, way: usize, number: u64, kind: Kind) {
        let attempt = self.last_attempt(way);
        self.machine.handle_connected(attempt, session(number), kind, self.now);
        self.drain();
    }
}

#[test]
fn what_worked_last_is_dialed_first_and_relays_last() {
    let mut world = World::connected(&[Kind::WebSocket, Kind::Relayed, Kind::Tcp, Kind::Quic]);

    world.gone(1);
    world.pass(1_500 * MILLI);

    assert_eq!(world.ways(), [0, 3, 2, 1]);
    let times: Vec<_> = world.dialed.iter().map(|(at, ..)| *at).collect();
    assert_eq!(times, [Duration::ZERO, HEAD_START, 2 * HEAD_START, DIRECT_FIRST]);
}

#[test]
fn a_relay_alone_is_dialed_at_once() {
    let mut world = World::connected(&[Kind::Relayed]);

    world.gone(1);
    world.pass(Duration::ZERO);

    assert_eq!(world.ways(), [0]);
}

#[test]
fn stuck_attempts_delay_nothing() {
    let mut world = World::connected(&[Kind::Quic, Kind::Relayed]);
    world.gone(1);

    world.pass(120 * SECOND); // no attempt ends by itself

    for way in [0, 1] {
        let times: Vec<_> = world.dialed.iter().filter(|dial| dial.1 == way).map(|dial| dial.0).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= AGAIN), "{times:?}");
        assert!(times.last().is_some_and(|last| *last >= 118 * SECOND));
    }
    let abandoned = world.others.iter().filter(|step| matches!(step, Step::Abandon(_))).count();
    assert_eq!(world.dialed.len() - abandoned, 2 * ABREAST, "bounded");
}

#[test]
fn a_phone_without_a_network_grows_tired_until_it_wakes() {
    let mut world = World::connected(&[Kind::Quic]);
    world.gone(1);
    world.pass(EAGER + 240 * SECOND);
    world.forget();

    world.pass(300 * SECOND);
    assert!(world.dialed.len() <= 11, "{} dials in five minutes", world.dialed.len());
    world.forget();
    world.machine.handle_jump(world.now);
    world.drain();
    world.pass(10 * SECOND);

    assert!(world.dialed.len() >= 5, "eager again: {:?}", world.dialed);
}

#[test]
fn after_a_sleep_a_session_that_lives_is_kept() {
    let mut world = World::connected(&[Kind::Quic, Kind::Tcp]);

    world.machine.handle_jump(world.now);
    world.drain();
    assert_eq!(world.others, [Step::Probe(session(1))]);
    world.pass(SECOND_THOUGHT - MILLI);
    assert_eq!(world.ways(), [0_usize; 0], "it has a moment to answer");
    world.pass(10 * MILLI);
    assert_eq!(world.ways(), [0]);
    world.machine.handle_alive(session(1));
    world.drain();
    world.pass(60 * SECOND);

    assert_eq!(world.ways(), [0], "nothing more is dialed");
    assert_eq!(world.others, [Step::Probe(session(1)), Step::Abandon(world.dialed[0].2)]);
    assert_eq!(world.machine.session(), Some(session(1)));
}

#[test]
fn a_silent_session_is_asked_again_and_left_for_a_new_one() {
    let mut world = World::connected(&[Kind::Quic]);

    world.machine.handle_jump(world.now);
    world.drain();
    world.pass(PROBE);
    world.machine.handle_silent(session(1), world.now);
    world.pass(PROBE);
    assert_eq!(world.others, [Step::Probe(session(1)), Step::Probe(session(1))]);
    assert_eq!(world.machine.session(), Some(session(1)), "better than none");
    world.forget();
    world.connects_after_sleep();

    assert_eq!(world.machine.session(), Some(session(2)));
    assert!(world.others.contains(&Step::Leave(session(1))), "{:?}", world.others);
    world.machine.handle_gone(session(1), world.now);
    world.forget();
    world.pass(60 * SECOND);
    assert!(world.dialed.is_empty() && world.others.is_empty());
}

impl World {
    fn connects_after_sleep(&mut self) {
        self.pass(AGAIN);
        self.connects(0, 2, Kind::Quic);
    }
}

#[test]
fn the_first_that_answers_is_greeted_and_the_others_are_given_up() {
    let mut world = World::connected(&[Kind::Quic, Kind::Tcp, Kind::WebSocket]);
    world.gone(1);
    world.pass(2 * HEAD_START);
    let [quic, tcp, ws] = [0, 1, 2].map(|way| world.last_attempt(way));
    world.forget();

    assert!(world.machine.handle_dialed(tcp, Kind::Tcp));
    world.drain();
    assert_eq!(world.others, [Step::Abandon(quic), Step::Abandon(ws)]);
    assert!(!world.machine.handle_dialed(quic, Kind::Quic), "too late");
    world.forget();
    world.machine.handle_jump(world.now);
    world.drain();
    assert!(world.others.is_empty(), "what is greeted goes on: {:?}", world.others);
    world.machine.handle_connected(tcp, session(2), Kind::Tcp, world.now);
    world.drain();

    assert_eq!(world.machine.session(), Some(session(2)));
    world.forget();
    world.pass(60 * SECOND);
    assert!(world.dialed.is_empty());
}

#[test]
fn a_greeting_that_fails_is_followed_by_further_attempts() {
    let mut world = World::connected(&[Kind::Quic, Kind::Tcp]);
    world.gone(1);
    world.pass(HEAD_START);
    let tcp = world.last_attempt(1);
    world.machine.handle_dialed(tcp, Kind::Tcp);
    world.machine.handle_failed(tcp);
    world.forget();

    world.pass(AGAIN);

    assert_eq!(world.ways(), [0, 1]);
}

#[test]
fn a_relayed_session_moves_to_a_direct_connection_and_is_retired() {
    let mut world = World::connected(&[Kind::Relayed]);
    assert_eq!(world.others, [Step::AwaitDirect(session(1))]);
    world.forget();

    world.machine.handle_not_moved(session(1), world.now);
    world.pass(DIRECT_AGAIN);
    assert_eq!(world.others, [Step::AwaitDirect(session(1))]);
    world.forget();
    world.machine.handle_moved(session(2), Kind::Quic);
    world.drain();
    world.gone(1);
    world.pass(60 * SECOND);

    assert_eq!(world.others, [Step::Retire(session(1))]);
    assert_eq!(world.machine.session(), Some(session(2)));
    assert!(world.dialed.is_empty(), "the end of a retired session is no loss");
}

#[test]
fn beside_a_relayed_session_direct_ways_are_tried_once() {
    let mut world = World::connected(&[Kind::Quic, Kind::Tcp, Kind::Relayed]);
    world.gone(1);
    world.pass(DIRECT_FIRST);
    assert_eq!(world.ways(), [0, 1, 2]);
    world.connects(2, 2, Kind::Relayed);
    world.forget();

    world.pass(60 * SECOND);
    assert!(world.dialed.is_empty());
    assert_eq!(world.others, [] as [Step; 0], "the direct attempts go on");
}

#[test]
fn a_direct_attempt_that_comes_second_takes_over() {
    let mut world = World::connected(&[Kind::Quic, Kind::Relayed]);
    world.gone(1);
    world.pass(DIRECT_FIRST);
    world.connects(1, 2, Kind::Relayed);
    world.forget();

    world.connects_late(0, 3);

    assert_eq!(world.machine.session(), Some(session(3)));
    assert_eq!(world.others, [Step::Retire(session(2))]);
}

impl World {
    fn connects_late(&mut self, _way: usize, number: u64) {
        let attempt = self.machine.ways[0].attempts[0].attempt;
        self.machine.handle_connected(attempt, session(number), Kind::Quic, self.now);
        self.drain();
    }
}

#[test]
fn further_ways_are_looked_for_while_nothing_is_reached() {
    let mut world = World::connected(&[Kind::Quic]);
    world.gone(1);

    world.pass(SEARCH_AFTER + SEARCH_AGAIN);
    let searches = world.others.iter().filter(|step| **step == Step::Search).count();
    assert_eq!(searches, 2);
    world.forget();
    world.machine.handle_ways(&[Kind::Relayed, Kind::Tcp], world.now);
    let before = world.now - world.start;
    world.pass(SECOND);

    let new: Vec<_> =
        world.dialed.iter().filter(|(_, way, _)| *way > 0).map(|dial| (dial.0 - before, dial.1)).collect();
    assert_eq!(new, [(Duration::ZERO, 2), (DIRECT_MAYBE, 1)], "at once, and in order");
}

#[test]
fn ways_are_bounded() {
    let mut machine = Machine::new();

    assert_eq!(machine.handle_ways(&[Kind::Quic; 100], Instant::now()), MAX_WAYS);
    assert_eq!(machine.handle_ways(&[Kind::Quic], Instant::now()), 0);
}

#[test]
fn a_doubted_session_on_rlpx_is_given_up_first() {
    let mut world = World::connected(&[Kind::Rlpx]);
    world.machine.handle_doubt(world.now);
    world.machine.handle_silent(session(1), world.now);
    world.drain();

    assert_eq!(world.others, [Step::Probe(session(1)), Step::Leave(session(1))]);
}
