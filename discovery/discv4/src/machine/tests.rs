//! What strangers and lists can make the machine keep.

use causeway_records::Contents;

use super::*;

const UNIX: u64 = 1_700_000_000;

fn secret(n: u32) -> SecretKey {
    SecretKey::from_secret_bytes(alloy_primitives::keccak256(n.to_be_bytes()).0).expect("a key")
}

fn machine(limits: Limits, now: Instant) -> Discv4 {
    let record = Record::sign(&secret(0), 1, &Contents::default()).expect("a record").record;
    let config = Config { secret_key: secret(0), tcp: 0, reach: Reach::Public, limits };
    Discv4::new(config, record, [5; 32], now)
}

/// A node that need not be there, at its own site.
fn node(n: u32, first: u8) -> Enode {
    let [_, _, a, b] = n.to_be_bytes();
    Enode::new(node_key(&secret(1)), SocketAddr::from(([first, a, b, 1], 30303)))
}

#[test]
fn the_nodes_that_are_given_to_it_are_bounded() {
    let now = Instant::now();
    let mut machine = machine(Limits::default(), now);

    for n in 0..1000 {
        machine.add_node(&node(n, 10), now);
    }

    assert_eq!(machine.seeds.len(), MAX_SEEDS);
    // Who was given first stays, and is welcome where strangers are not.
    let peer = |n| Node::of_enode(&node(n, 10)).expect("a node").peer();
    assert!(machine.is_welcome(peer(0)) && !machine.is_welcome(peer(999)));
}

#[test]
fn those_that_were_not_there_are_bounded_and_the_last_ones_left_alone() {
    const NODES: u32 = 1500;
    let mut now = Instant::now();
    let limits = Limits { pings_per_second: 10_000, ..Limits::default() };
    let mut machine = machine(limits, now);

    for n in 0..NODES {
        machine.named(Node::of_enode(&node(n, 11)).expect("a node"), now);
        if n % 100 == 99 {
            machine.handle_timeout(now, UNIX);
            now += crate::REQUEST_TIMEOUT;
            machine.handle_timeout(now, UNIX);
        }
        while machine.poll_transmit().is_some() {}
    }

    assert_eq!((machine.requests.len(), machine.unreachable.len()), (0, MAX_UNREACHABLE));
    let peer = |n| Node::of_enode(&node(n, 11)).expect("a node").peer();
    assert!(machine.is_unreachable(peer(NODES - 1), now));
    assert!(!machine.is_unreachable(peer(NODES - 1), now + UNREACHABLE_PAUSE));
    assert!(!machine.is_unreachable(peer(0), now));
}

#[test]
fn the_machines_whose_pings_back_are_counted_are_bounded() {
    let now = Instant::now();
    let mut machine = machine(Limits::default(), now);

    let back = (0..3000).filter(|n| {
        let peer = Node::of_enode(&node(*n, 11)).expect("a node").peer();
        machine.may_call_back(peer, now)
    });

    assert_eq!(back.count(), 2 * Limits::default().callbacks_per_second as usize);
    assert_eq!(machine.host_callbacks.len(), MAX_CALLBACK_HOSTS);
}
