//! Strangers: who is taken in, and who is dialed when.

use causeway_records::{Multiaddr, Refusal, Way};

use super::*;
use crate::Refused;

#[test]
fn a_record_gives_its_role_and_its_ways() {
    let now = Instant::now();
    let mut pool = pool(now);
    pool.handle_record(signed(1, 1, &relay_node(1)), Source::Dns, now).expect("taken in");

    let dial = pool.poll_dial(now).expect("due");

    assert_eq!((dial.key, dial.role, dial.source), (record(1).key(), Role::Relay, Source::Dns));
    assert!(matches!(dial.ways.as_slice(), [Way::Devp2p(_), Way::Libp2p(_)]));
}

#[test]
fn who_is_no_use_is_refused_with_the_reason() {
    let now = Instant::now();
    let mut pool = pool_of(PoolConfig { me: record(1).key(), ..config() }, now);
    let mut hear = |contents: &Contents| pool.handle_record(signed(2, 1, contents), Source::Dns, now);

    let home = hear(&Contents { ip: Some(Ipv4Addr::LOCALHOST), ..full_node(2) });
    let other = hear(&Contents { eth: Some(ForkId { hash: [9; 4], next: 0 }), ..full_node(2) });
    let eth_only = hear(&Contents { les: false, ..full_node(2) });
    let light = hear(&Contents { les: false, eth: None, tcp: None, ..relay_node(2) });
    let myself = pool.handle_record(record(1), Source::Dns, now);

    assert!(matches!(home, Err(Refused::Unusable(Refusal::NotPublic { .. }))), "{home:?}");
    assert!(matches!(other, Err(Refused::Unusable(Refusal::OtherChain(_)))), "{other:?}");
    assert_eq!(eth_only, Err(Refused::NotWanted { role: Role::EthFullNode }));
    assert_eq!(light, Err(Refused::NotWanted { role: Role::LightPeer }));
    assert_eq!(myself, Err(Refused::Myself));
    assert_eq!(pool.summary().candidates, 0);
}

#[test]
fn the_newest_record_counts() {
    let now = Instant::now();
    let mut pool = pool(now);
    let moved = Contents { tcp: Some(30_999), ..full_node(1) };
    let gone = Contents { eth: Some(ForkId { hash: [9; 4], next: 0 }), ..full_node(1) };

    pool.handle_record(signed(1, 2, &moved), Source::Discv5, now).expect("taken in");
    assert_eq!(pool.handle_record(record(1), Source::Dns, now), Err(Refused::Older { known: 2, heard: 1 }));
    let dial = pool.poll_dial(now).expect("due");
    let [Way::Devp2p(enodes)] = dial.ways.as_slice() else { panic!("{dial:?}") };
    assert_eq!(enodes[0].tcp, 30_999);
    pool.handle_failure(dial.key, Failure::Unreachable, now);

    assert!(pool.handle_record(signed(1, 3, &gone), Source::Discv5, now).is_err());
    assert_eq!(pool.summary().candidates, 0);
}

#[test]
fn the_more_trustworthy_source_goes_first_and_the_unknown_last() {
    let now = Instant::now();
    let mut pool = pool_of(
        PoolConfig {
            dials_at_once: 1,
            targets: Targets { les_full_nodes: 9, ..Targets::default() },
            ..config()
        },
        now,
    );
    pool.handle_enode(enode(5), Source::Discv4, now).expect("taken in");
    take(&mut pool, 1, Source::Discv5, now);
    take(&mut pool, 2, Source::Rendezvous, now);
    take(&mut pool, 3, Source::Dns, now);
    pool.add_named(crate::Named::Enode(enode(4)), Source::Static, now).expect("taken in");
    for number in 1..=5 {
        pool.nodes.values_mut().for_each(|node| node.tried = true); // nobody to explore
        let key = pool.poll_dial(now).expect("due").key;
        let expected = [4, 3, 2, 1, 5][number - 1];
        assert_eq!(key, record(expected).key(), "dial {number}");
        pool.handle_failure(key, Failure::AlreadyConnected, now);
    }
}

#[test]
fn now_and_then_a_new_one_is_tried_though_proven_ones_wait() {
    let now = Instant::now();
    let mut explored = 0;
    for seed in 0..64 {
        let mut pool = Pool::new(config(), forks(100), [seed; 32], now);
        let proven = take(&mut pool, 1, Source::Dns, now);
        pool.nodes.values_mut().for_each(|node| node.tried = true);
        take(&mut pool, 2, Source::Discv5, now);
        explored += usize::from(pool.poll_dial(now).is_some_and(|dial| dial.key != proven));
    }

    assert!((2..20).contains(&explored), "{explored} of 64");
}

#[test]
fn a_dial_that_hangs_does_not_hold_up_another() {
    let now = Instant::now();
    let targets = Targets { les_full_nodes: 1, ..Targets::default() };
    let mut pool = pool_of(PoolConfig { targets, ..config() }, now);
    take(&mut pool, 1, Source::Dns, now);
    take(&mut pool, 2, Source::Dns, now);

    assert_eq!(dials(&mut pool, now).len(), 1);
    let hanging = wait(&pool, now);
    assert_eq!(dials(&mut pool, now + hanging / 2).len(), 0);
    assert_eq!(dials(&mut pool, now + hanging).len(), 1);
}

#[test]
fn at_most_so_many_at_once() {
    let now = Instant::now();
    let targets = Targets { les_full_nodes: 20, ..Targets::default() };
    let dials_of = |most, dials_at_once| {
        let mut pool = pool_of(PoolConfig { targets, most, dials_at_once, ..config() }, now);
        for number in 1..=20 {
            take(&mut pool, number, Source::Dns, now);
        }
        dials(&mut pool, now).len()
    };

    assert_eq!((dials_of(50, 16), dials_of(5, 16), dials_of(50, 1)), (16, 5, 1));
}

#[test]
fn a_failed_stranger_waits_and_one_that_keeps_failing_is_forgotten() {
    let mut now = Instant::now();
    let mut pool = pool(now);
    let other = take(&mut pool, 2, Source::Dns, now);
    pool.handle_connected(other, dialed(), now); // our own link works
    let key = take(&mut pool, 1, Source::Discv5, now);

    let mut waits = Vec::new();
    while pool.poll_dial(now).is_some() {
        pool.handle_failure(key, Failure::Unreachable, now);
        if pool.nodes.contains_key(&key) {
            let due = wait(&pool, now);
            waits.push(due.as_secs());
            now += due;
        }
    }

    let expected = [35, 70, 140, 280, 560, 1120];
    assert_eq!(waits.len(), expected.len());
    for (wait, least) in waits.iter().zip(expected) {
        assert!((least..=least + least / 4).contains(wait), "{waits:?}");
    }
    assert_eq!(pool.handle_record(record(1), Source::Discv5, now), Err(Refused::GivenUp));
    assert_eq!(pool.handle_record(record(1), Source::Discv5, now + secs(3_601)), Ok(()));
}

#[test]
fn too_many_peers_costs_time_but_not_standing() {
    let now = Instant::now();
    let mut pool = pool(now);
    let other = take(&mut pool, 2, Source::Dns, now);
    pool.handle_connected(other, dialed(), now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);

    pool.handle_failure(key, Failure::TooManyPeers, now);

    assert!((60..=75).contains(&wait(&pool, now).as_secs()));
    assert_eq!(pool.peers(now)[1].failures, 0);
}

#[test]
fn a_subnet_gets_its_share_and_no_more() {
    let now = Instant::now();
    let targets = Targets { les_full_nodes: 50, ..Targets::default() };
    let config = PoolConfig { targets, most: 100, dials_at_once: 50, ..config() };
    let neighbour = |number: u8| Contents { ip: Some(Ipv4Addr::new(8, 8, 8, number)), ..full_node(1) };
    let crowd = |config: PoolConfig| {
        let mut pool = pool_of(config, now);
        let refused = (1..=20_u8)
            .filter_map(|number| {
                pool.handle_record(signed(number, 1, &neighbour(number)), Source::Dns, now).err()
            })
            .collect::<Vec<_>>();
        (pool, refused)
    };

    let (mut pool, refused) = crowd(config.clone());
    assert_eq!(refused, vec![Refused::SubnetFull { limit: 16 }; 4]);
    assert_eq!(dials(&mut pool, now).len(), 2, "peers of one subnet");

    let (mut pool, _) = crowd(PoolConfig { subnet_peers: 50, ..config });
    assert_eq!(dials(&mut pool, now).len(), 4, "dials within a minute");
    assert_eq!(dials(&mut pool, now + secs(59)).len(), 0);
    assert_eq!(dials(&mut pool, now + secs(60)).len(), 4);
}

#[test]
fn a_full_table_keeps_the_more_promising() {
    let now = Instant::now();
    let mut pool = pool_of(PoolConfig { candidates: 3, ..config() }, now);
    let worst = take(&mut pool, 1, Source::Discv5, now);
    take(&mut pool, 2, Source::Dns, now);
    take(&mut pool, 3, Source::Rendezvous, now);

    assert_eq!(pool.handle_enode(enode(4), Source::Discv4, now), Err(Refused::Full { limit: 3 }));
    take(&mut pool, 5, Source::Dns, now);

    assert_eq!(pool.nodes.len(), 3);
    assert!(!pool.nodes.contains_key(&worst));
}

#[test]
fn candidates_are_judged_again_when_our_chain_passes_a_fork() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);

    pool.set_forks(forks(1_001)); // it says that it has not passed the fork at 1,000
    let next = forks(1_001).current();
    let ahead = Contents { eth: Some(ForkId { hash: next.hash.0, next: 0 }), ..full_node(2) };
    let other_chain = ForkFilter::new(Head::default(), B256::repeat_byte(2), 0, []);
    pool.handle_record(signed(2, 1, &ahead), Source::Dns, now).expect("taken in");
    pool.set_forks(other_chain);
    assert_eq!(dials(&mut pool, now), []);

    pool.set_forks(forks(100));
    assert!(dials(&mut pool, now).contains(&key));
}

#[test]
fn a_rendezvous_gives_addresses_and_a_role() {
    let now = Instant::now();
    let mut pool = pool(now);
    let addr = |text: &str| -> Multiaddr { text.parse().expect("valid") };
    let home = vec![addr("/ip4/10.0.0.1/tcp/1/ws")];
    let both = vec![addr("/ip4/10.0.0.1/tcp/1/ws"), addr("/dns4/relay.example.org/tcp/443/wss")];
    let key = record(1).key();

    let refused = pool.handle_addresses(key, Role::Relay, home, Source::Rendezvous, now);
    assert!(matches!(refused, Err(Refused::Unusable(Refusal::NotPublic { .. }))));
    let light = pool.handle_addresses(key, Role::LightPeer, both.clone(), Source::Rendezvous, now);
    assert_eq!(light, Err(Refused::NotWanted { role: Role::LightPeer }));
    pool.handle_addresses(key, Role::Relay, both.clone(), Source::Rendezvous, now).expect("taken in");

    let dial = pool.poll_dial(now).expect("due");
    assert_eq!((dial.role, dial.ways), (Role::Relay, vec![Way::Libp2p(both[1..].to_vec())]));
}

#[test]
fn many_addresses_and_enodes_of_one_node_are_bounded() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = record(1).key();
    let addrs = (1..200).map(|port| format!("/ip4/8.8.8.8/tcp/{port}/ws").parse().expect("valid")).collect();

    pool.handle_addresses(key, Role::Relay, addrs, Source::Rendezvous, now).expect("taken in");
    for tcp in 1..100 {
        pool.handle_enode(Enode { tcp, ..enode(1) }, Source::Discv4, now).expect("taken in");
    }

    let ways = pool.poll_dial(now).expect("due").ways;
    let [Way::Devp2p(enodes), Way::Libp2p(addrs)] = ways.as_slice() else { panic!("{ways:?}") };
    assert_eq!((enodes.len(), addrs.len()), (4, crate::MAX_ADDRESSES));
}

#[test]
fn who_comes_back_to_a_full_table_competes_like_everybody() {
    let now = Instant::now();
    let mut pool = pool_of(PoolConfig { candidates: 2, ..config() }, now);
    let guest = record(9).key();
    pool.handle_enode(enode(9), Source::Discv4, now).expect("taken in");
    pool.handle_connected(guest, on(Stack::Devp2p, true, Role::LesFullNode), now);
    take(&mut pool, 1, Source::Dns, now);
    let worst = take(&mut pool, 2, Source::Discv5, now);

    pool.handle_disconnected(guest, Stack::Devp2p, true, Failure::TooManyPeers, now + secs(60));

    assert_eq!(pool.nodes.len(), 2);
    assert!(!pool.nodes.contains_key(&worst));
}
