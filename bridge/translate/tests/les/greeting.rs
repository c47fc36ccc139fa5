//! The server's side of the Statuses.

use alloy_primitives::{B256, Bytes};
use causeway_translate::{Fault, ServerConfig};
use causeway_wire::{
    Answer, ForkId, Head, NetworkId, RequestId,
    les::{DecodeError, Message, Status, Version, code},
};

use crate::kit::*;

fn status_of(deeds: &[Deed]) -> Status {
    let [Deed::Sent(_, Message::Status(status))] = deeds else { panic!("no status: {deeds:?}") };
    status.clone()
}

/// The fault with which a session ends when it says this.
fn fault_of(version: Version, messages: &[Message]) -> Fault {
    let mut server = Server::with_head(server_config());
    server.open(1, version);
    for (i, message) in messages.iter().enumerate() {
        let (id, deeds) = server.say(1, message.clone());
        if i + 1 == messages.len() {
            let [Deed::Released(released), Deed::Closed(1, fault)] = &deeds[..] else { panic!("{deeds:?}") };
            assert_eq!(*released, id);
            assert_eq!(server.core.pending(), (0, 0, 0));
            return fault.clone();
        }
    }
    unreachable!()
}

#[test]
fn our_status_goes_out_at_once_and_has_all_that_clients_require() {
    for version in Version::ALL {
        let mut server = Server::with_head(server_config());

        let status = status_of(&server.open(1, version));

        let expected = Status { flow_control: Some(ServerConfig::default_flow()), ..server_status(version) };
        assert_eq!(status, expected);
        let codes: Vec<u64> = status.flow_control.unwrap().costs.iter().map(|row| row.code).collect();
        assert_eq!(codes, [0x02, 0x04, 0x06, 0x0a, 0x0f, 0x11, 0x13, 0x14]);
    }
}

#[test]
fn a_cost_table_with_gaps_is_filled_up() {
    let mut flow = ServerConfig::default_flow();
    flow.costs.truncate(3);
    let mut server = Server::with_flow(flow);

    let status = status_of(&server.open(1, Version::Les4));

    assert_eq!(status.flow_control, Some(ServerConfig::default_flow()));
}

#[test]
fn our_status_waits_for_the_first_head() {
    let mut server = Server::new(server_config());
    assert_eq!(server.open(1, Version::Les4), []);
    assert_eq!(server.pass(3 * SECOND), []);

    let status = status_of(&server.head(head(100)));

    assert_eq!(status.head, head(100).head);
    assert_eq!(status.fork_id, Some(fork_id_at(100)));
}

#[test]
fn fork_id_follows_the_head() {
    let mut server = Server::with_head(server_config());
    server.head(head(1000));

    let status = status_of(&server.open(1, Version::Les4));

    assert_eq!(status.fork_id, Some(fork_id_at(1000)));
    assert_ne!(fork_id_at(1000), fork_id_at(100));
}

#[test]
fn genesis_stands_in_for_a_head_after_four_seconds() {
    let mut server = Server::new(server_config());
    server.open(1, Version::Les4);
    server.say(1, Message::Status(client_status(Version::Les4)));

    let status = status_of(&server.pass(4 * SECOND));
    assert_eq!(status.head, Head { hash: GENESIS, number: 0, td: GENESIS_TD });

    let deeds = server.head(head(100));
    let [Deed::Sent(1, Message::Announce(announce))] = &deeds[..] else { panic!("{deeds:?}") };
    assert_eq!((announce.head, announce.reorg_depth), (Some(head(100).head), 0));
}

#[test]
fn a_session_without_status_ends_after_five_seconds() {
    let mut server = Server::with_head(server_config());
    server.open(1, Version::Les4);

    assert_eq!(server.pass(4999 * MS), []);
    assert_eq!(server.pass(MS), [Deed::Closed(1, Fault::StatusTimeout { seconds: 5 })]);
    assert_eq!(Fault::StatusTimeout { seconds: 5 }.reason(), 0x0b);
    assert_eq!(server.core.pending(), (0, 0, 0));
    assert_eq!(server.core.poll_timeout(), None);
}

#[test]
fn nothing_may_come_before_the_status() {
    let request = Message::Request { id: RequestId(1), query: headers(1, 1) };

    assert_eq!(fault_of(Version::Les4, &[request]), Fault::NoStatus { code: 0x02 });
}

#[test]
fn a_second_status_ends_the_session() {
    let status = Message::Status(client_status(Version::Les3));

    assert_eq!(fault_of(Version::Les3, &[status.clone(), status]), Fault::SecondStatus);
}

#[test]
fn a_second_status_ends_the_session_before_ours_went_out_too() {
    let mut server = Server::new(server_config());
    server.open(1, Version::Les4);
    let status = Message::Status(client_status(Version::Les4));
    server.say(1, status.clone());

    let (id, deeds) = server.say(1, status);

    assert_eq!(deeds, [Deed::Released(id), Deed::Closed(1, Fault::SecondStatus)]);
}

#[test]
fn what_a_server_sends_is_not_for_a_server() {
    let status = Message::Status(client_status(Version::Les4));
    let answer = Message::Response { id: RequestId(1), buffer: 1, answer: Answer::Headers(Vec::new()) };
    for message in [answer, Message::Stop, Message::Resume { buffer: 1 }] {
        let code = message.code();
        assert_eq!(fault_of(Version::Les4, &[status.clone(), message]), Fault::WrongDirection { code });
    }
}

#[test]
fn unknown_codes_and_undecodable_payloads_end_the_session() {
    let cases = [
        (Version::Les4, 0x18, "c0", Fault::Undecodable(DecodeError::UnknownCode { code: 0x18 })),
        (Version::Les2, 0x16, "c0", Fault::Undecodable(DecodeError::UnknownCode { code: 0x16 })),
        (Version::Les4, 0x08, "c0", Fault::Undecodable(DecodeError::UnknownCode { code: 0x08 })),
    ];
    for (version, code, payload, fault) in cases {
        let mut server = Server::with_head(server_config());
        server.greeted(1, version);
        let (id, deeds) = server.say_raw(1, code, hex::decode(payload).unwrap().into());
        assert_eq!(deeds, [Deed::Released(id), Deed::Closed(1, fault)]);
    }
    for payload in ["", "80", "c1", "c107", "c907c78203e881c0808000"] {
        let mut server = Server::with_head(server_config());
        server.greeted(1, Version::Les4);
        let (_, deeds) = server.say_raw(1, code::GET_BLOCK_HEADERS, hex::decode(payload).unwrap().into());
        let [Deed::Released(_), Deed::Closed(1, fault)] = &deeds[..] else { panic!("{payload}: {deeds:?}") };
        assert!(matches!(fault, Fault::Undecodable(DecodeError::Rlp { .. })), "{payload}: {fault:?}");
        assert_eq!(fault.reason(), 0x10);
    }
}

#[test]
fn oversized_messages_end_the_session() {
    let limits = [(code::GET_BLOCK_BODIES, 128 << 10), (code::SEND_TX_V2, 1 << 20)];
    for (code, limit) in limits {
        let mut server = Server::with_head(server_config());
        server.greeted(1, Version::Les4);
        let (id, deeds) = server.say_raw(1, code, Bytes::from(vec![0xc0; limit + 1]));
        let fault = Fault::TooLarge { code, size: limit + 1, limit };
        assert_eq!(deeds, [Deed::Released(id), Deed::Closed(1, fault)]);
    }
}

#[test]
fn another_server_is_kept_as_long_as_it_is_silent() {
    let mut server = Server::with_head(server_config());
    server.open(1, Version::Les4);
    let (_, deeds) = server.say(1, Message::Status(server_status(Version::Les4)));
    assert!(matches!(deeds[..], [Deed::Released(_)]));

    assert_eq!(server.pass(60 * SECOND), []);
    assert_eq!(server.head(head(101)), [], "it is told nothing");

    let (id, deeds) = server.ask(1, 1, headers(1, 1));
    assert_eq!(deeds, [Deed::Released(id), Deed::Closed(1, Fault::ServerTalks { code: 0x02 })]);
}

#[test]
fn statuses_that_do_not_agree_end_the_session() {
    let ours = client_status(Version::Les4);
    let other = B256::repeat_byte(9);
    let cases = [
        (Status { genesis: other, ..ours.clone() }, Fault::WrongGenesis { theirs: other, ours: GENESIS }),
        (
            Status { network: NetworkId(8), ..ours.clone() },
            Fault::WrongNetwork { theirs: NetworkId(8), ours: NetworkId(7) },
        ),
        (Status { version: 3, ..ours.clone() }, Fault::WrongVersion { theirs: 3, ours: 4 }),
        (Status { fork_id: None, ..ours }, Fault::MissingKey { key: "forkID" }),
    ];
    for (status, fault) in cases {
        assert_eq!(fault_of(Version::Les4, &[Message::Status(status)]), fault);
    }
}

#[test]
fn fork_ids_are_judged_by_eip_2124() {
    let stale = fork_id_at(0);
    let cases = [
        (fork_id_at(100), true),                         // the same
        (ForkId { next: 0, ..fork_id_at(100) }, true),   // knows of no next fork
        (stale, true),                                   // syncing, knows what comes
        (ForkId { next: 0, ..stale }, false),            // will not take the fork at 10
        (ForkId { next: 50, ..fork_id_at(100) }, false), // forked at 50, we did not
        (fork_id_at(1000), true),                        // ahead of us
        (ForkId { hash: [1, 2, 3, 4], next: 0 }, false), // another chain
    ];
    for (theirs, accepted) in cases {
        let mut server = Server::with_head(server_config());
        server.open(1, Version::Les4);
        let status = Status { fork_id: Some(theirs), ..client_status(Version::Les4) };

        let (_, deeds) = server.say(1, Message::Status(status));

        let fault = Fault::WrongFork { theirs, ours: fork_id_at(100) };
        assert_eq!(!deeds.contains(&Deed::Closed(1, fault)), accepted, "{theirs:?}");
        assert_eq!(server.core.pending().0, usize::from(accepted));
    }
}

#[test]
fn a_fork_id_in_an_old_version_binds_nobody() {
    for version in [Version::Les2, Version::Les3] {
        let mut server = Server::with_head(server_config());
        server.open(1, version);
        let fork_id = Some(ForkId { hash: [1, 2, 3, 4], next: 5 });
        let status = Message::Status(Status { fork_id, ..client_status(version) });

        // Written as les/4 writes it, so that the key is there.
        let (message, deeds) = server.say_raw(1, code::STATUS, status.encode(Version::Les4));

        assert_eq!(deeds, [Deed::Released(message)]);
    }
}

#[test]
fn fork_ids_are_judged_as_of_the_head_that_our_status_names() {
    let mut server = Server::new(server_config());
    server.open(1, Version::Les4);
    let theirs = ForkId { next: 0, ..fork_id_at(100) }; // does not know the fork at 1000
    let (_, deeds) =
        server.say(1, Message::Status(Status { fork_id: Some(theirs), ..client_status(Version::Les4) }));
    assert!(matches!(deeds[..], [Deed::Released(_)]));

    let deeds = server.head(head(1000));

    let fault = Fault::WrongFork { theirs, ours: fork_id_at(1000) };
    assert!(matches!(&deeds[..], [Deed::Sent(1, Message::Status(_)), Deed::Closed(1, f)] if *f == fault));
}

#[test]
fn requests_behind_the_status_are_served_once_ours_went_out() {
    let mut server = Server::new(server_config());
    server.open(1, Version::Les4);
    server.say(1, Message::Status(client_status(Version::Les4)));
    assert_eq!(server.ask(1, 7, headers(1, 1)).1, []);
    assert_eq!(server.ask(1, 8, headers(2, 1)).1, []);
    assert_eq!(server.core.pending(), (1, 0, 2));

    let deeds = server.head(head(100));

    assert!(matches!(deeds[..], [Deed::Sent(1, Message::Status(_)), Deed::Asked(..), Deed::Asked(..)]));
}

#[test]
fn what_is_held_behind_the_statuses_is_bounded() {
    let mut server = Server::new(server_config());
    server.open(1, Version::Les4);
    server.say(1, Message::Status(client_status(Version::Les4)));

    for id in 0..64 {
        assert_eq!(server.ask(1, id, headers(id, 1)).1, []);
    }
    let (message, deeds) = server.ask(1, 64, headers(64, 1));

    assert_eq!(deeds, [Deed::Released(message)]);
    let released = server.close(1);
    assert_eq!(released.len(), 64);
    assert_eq!(server.core.pending(), (0, 0, 0));
}

#[test]
fn the_batch_behind_a_wrong_status_is_dropped() {
    let mut server = Server::with_head(server_config());
    server.open(1, Version::Les4);
    let status = Status { network: NetworkId(1), ..client_status(Version::Les4) };
    server.say(1, Message::Status(status));

    let (message, deeds) = server.ask(1, 1, headers(1, 1));

    assert_eq!(deeds, [Deed::Released(message)]);
}

#[test]
fn a_session_opened_twice_starts_anew() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let (message, ticket) = server.ask_new(1, 1, headers(1, 1));

    let deeds = server.open(1, Version::Les4);

    assert_eq!(deeds[..2], [Deed::Forgot(ticket), Deed::Released(message)]);
    assert_eq!(server.core.pending(), (1, 0, 0));
}

#[test]
fn light_peers_beyond_the_limit_are_refused() {
    let mut server = Server::with_head(ServerConfig { max_sessions: 1, ..server_config() });
    server.open(1, Version::Les4);

    let deeds = server.open(2, Version::Les4);

    assert_eq!(deeds, [Deed::Closed(2, Fault::TooManyPeers { limit: 1 })]);
    assert_eq!(Fault::TooManyPeers { limit: 1 }.reason(), 0x04);
    server.close(2);
    server.close(1);
    assert!(matches!(server.open(3, Version::Les4)[..], [Deed::Sent(3, Message::Status(_))]));
}

#[test]
fn peer_that_wishes_for_quiet_gets_it_and_no_wish_leads_out_of_bounds() {
    let beats = |wish| {
        let mut server = Server::with_head(server_config());
        server.open(1, Version::Les4);
        let status = Status { heartbeat: wish, ..client_status(Version::Les4) };
        let (_, deeds) = server.say(1, Message::Status(status));
        let mut beats = deeds.iter().filter_map(|deed| match deed {
            Deed::Beats(1, interval) => Some(interval.as_secs()),
            _ => None,
        });
        let first = beats.next();
        assert_eq!(beats.next(), None);
        first
    };

    assert_eq!(beats(None), None);
    assert_eq!(beats(Some(15)), None);
    assert_eq!(beats(Some(600)), Some(600));
    assert_eq!(beats(Some(0)), Some(5));
    assert_eq!(beats(Some(u64::MAX)), Some(600));
}
