//! Which heads light peers are told of.

use std::sync::Arc;

use alloy_primitives::U256;
use causeway_translate::{sign_head, signer_of_head};
use causeway_wire::{
    HeadUpdate,
    les::{Announce, AnnounceKind, Message, Origin, Status, Version},
};

use crate::kit::*;

/// A server at head 100 with one light peer that wants these announcements.
fn server_for(kind: Option<AnnounceKind>, origins: bool) -> Server {
    let mut server = Server::with_head(server_config());
    server.open(1, Version::Les4);
    let status = Status { announce: kind, origins, ..client_status(Version::Les4) };
    server.say(1, Message::Status(status));
    server
}

fn announced(deeds: &[Deed]) -> Announce {
    let [Deed::Sent(1, Message::Announce(announce))] = deeds else { panic!("no announcement: {deeds:?}") };
    announce.clone()
}

fn with_origins(update: &HeadUpdate, count: usize) -> Arc<HeadUpdate> {
    let signature = sign_head(&update.head, &secret_key());
    let origin = Origin { node: node_key(), head: update.head, signature };
    Arc::new(HeadUpdate { origins: vec![origin; count].into(), ..update.clone() })
}

#[test]
fn new_heads_are_announced() {
    for kind in [None, Some(AnnounceKind::Simple)] {
        let mut server = server_for(kind, false);

        let announce = announced(&server.head(head(101)));

        assert_eq!(announce.head, Some(head(101).head));
        assert_eq!((announce.reorg_depth, announce.signature, announce.update_bytes), (0, None, 0));
    }
}

#[test]
fn who_wants_no_announcements_gets_none() {
    let mut server = server_for(Some(AnnounceKind::None), false);

    assert_eq!(server.head(head(101)), []);
}

#[test]
fn nobody_is_told_before_its_status() {
    let mut server = Server::with_head(server_config());
    server.open(1, Version::Les4);
    assert_eq!(server.head(head(101)), []);

    let (_, deeds) = server.say(1, Message::Status(client_status(Version::Les4)));

    assert_eq!(announced(&deeds[1..]).head, Some(head(101).head), "our Status told of the one before");
}

#[test]
fn total_difficulty_must_grow_over_what_that_peer_was_told() {
    let mut server = server_for(None, false);

    assert_eq!(server.head(head(100)), []);
    assert_eq!(server.head(head_on(1, 99, 100, 1100)), [], "equal");
    assert_eq!(server.head(head_on(1, 99, 101, 1099)), [], "less");
    server.open(2, Version::Les4);
    server.say(2, Message::Status(client_status(Version::Les4)));

    let deeds = server.head(head_on(1, 99, 102, 1100));
    assert!(matches!(deeds[..], [Deed::Sent(2, _)]), "its Status told less: {deeds:?}");
    let deeds = server.head(head_on(1, 99, 103, 1101));
    assert_eq!(deeds.len(), 2);
}

#[test]
fn reorg_depth_counts_from_what_that_peer_was_told_last() {
    let mut server = server_for(None, false);
    server.head(head(101));
    server.head(head(102));
    server.open(2, Version::Les4);
    server.say(2, Message::Status(client_status(Version::Les4)));

    let deeds = server.head(head_on(1, 98, 102, 2000));
    let depths: Vec<u64> = deeds
        .iter()
        .map(|deed| match deed {
            Deed::Sent(_, Message::Announce(announce)) => announce.reorg_depth,
            _ => panic!("{deed:?}"),
        })
        .collect();
    assert_eq!(depths, [4, 4]);

    // Peer 1 was told of head 100 only when the reorg is over: its own depth.
    let mut server = server_for(None, false);
    server.core.handle_head(head(101), server.now);
    let announce = announced(&server.head(head_on(1, 99, 103, 2000)));
    assert_eq!(announce.reorg_depth, 1);
}

#[test]
fn only_the_latest_of_many_heads_is_announced() {
    let mut server = server_for(None, false);
    for number in 101..200 {
        server.core.handle_head(head(number), server.now);
    }

    let announce = announced(&server.head(head(200)));

    assert_eq!(announce.head, Some(head(200).head));
    assert_eq!(announce.reorg_depth, 0);
}

#[test]
fn who_asked_for_signed_announcements_gets_them_signed() {
    let mut server = server_for(Some(AnnounceKind::Signed), false);

    let announce = announced(&server.head(head(101)));

    let signature = announce.signature.expect("signed");
    assert_eq!(signer_of_head(&head(101).head, &signature), Some(node_key()));
}

#[test]
fn only_who_asked_for_origins_gets_them_and_at_most_eight() {
    let update = with_origins(&head(101), 12);

    let mut server = server_for(None, true);
    let announce = announced(&server.head(update.clone()));
    assert_eq!(announce.origins, update.origins[..8]);

    let mut server = server_for(None, false);
    let announce = announced(&server.head(update));
    assert_eq!((announce.origins.len(), announce.update_bytes), (0, 0));
}

#[test]
fn large_total_difficulties_are_announced_as_they_are() {
    let mut server = server_for(None, false);
    let mut update = HeadUpdate::clone(&head(101));
    update.head.td = (U256::from(1) << 99) + U256::from(7);

    let announce = announced(&server.head(Arc::new(update.clone())));

    assert_eq!(announce.head, Some(update.head));
}
