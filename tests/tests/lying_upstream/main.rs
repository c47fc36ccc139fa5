//! A full node that lies: nothing of it reaches a light peer, it is disconnected and remembered, and with an
//! honest full node beside it the light peer gets the right answer.

mod alter;
mod announcements;
mod answers;
mod rules;
mod statuses;

use std::{sync::Arc, time::Duration};

use causeway_bridge::AdmitError;
use causeway_tests::{
    full_node::{Lie, LyingNode},
    house::{Chain, FullNode, PATIENCE, Relay, RelayOptions, Way, eventually},
    light_peer::{Heard, LightPeer},
    probe::{self, Probe},
};
use causeway_wire::{
    Answer, RequestId,
    les::{Message, Version},
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

/// Houses at once: more would wait for the machine and not for each other.
const AT_ONCE: usize = 12;

/// No play takes so long, unless something waits for ever.
const LONGEST_PLAY: Duration = Duration::from_secs(45);

/// Blocks behind genesis.
const HISTORY: u64 = 8;

/// How long the relay waits for one full node, and how long a light peer waits in all.
const UPSTREAM_PATIENCE: Duration = Duration::from_millis(1500);
const QUESTION_PATIENCE: Duration = Duration::from_secs(8);

/// What becomes of the liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is not taken in.
    Refused,
    /// It is disconnected and not spoken to again.
    Banished,
    /// Nothing false was said, or nothing that can be told from the truth: it may stay.
    Stays,
}

/// One lie and what must come of it.
pub(crate) struct Case {
    name: &'static str,
    lie: Lie,
    /// What the light peer asks.
    probe: Probe,
    verdict: Verdict,
    /// Whether the chain has to grow before it is told.
    grows: bool,
    version: Version,
}

impl Case {
    pub(crate) fn new(name: &'static str, probe: Probe, verdict: Verdict, lie: Lie) -> Self {
        Self { name, lie, probe, verdict, grows: false, version: Version::Les4 }
    }

    pub(crate) fn growing(self) -> Self {
        Self { grows: true, ..self }
    }

    pub(crate) fn speaking(self, version: Version) -> Self {
        Self { version, ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_in_the_status() {
    play_all(statuses::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_in_announcements() {
    play_all(announcements::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_in_answers() {
    play_all(answers::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_rules() {
    play_all(rules::cases()).await;
}

#[test]
fn every_lie_has_a_name_of_its_own() {
    let all = [statuses::cases(), announcements::cases(), answers::cases(), rules::cases()];
    let names: Vec<_> = all.iter().flatten().map(|case| case.name).collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();

    assert_eq!(names.len(), distinct.len());
    assert!(names.len() >= 40, "{}", names.len());
}

async fn play_all(cases: Vec<Case>) {
    let only = std::env::var("LIE").ok();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut plays = JoinSet::new();
    for (index, case) in cases.into_iter().enumerate() {
        if only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        let room = Arc::clone(&room);
        let way = Way::ALL[index % Way::ALL.len()];
        plays.spawn(async move {
            let name = case.name;
            let _place = room.acquire_owned().await.expect("nobody closes it");
            // In a task of its own: its panic is then told with the lie's name.
            let played = tokio::spawn(async move {
                let play = tokio::time::timeout(LONGEST_PLAY, play(case, way));
                play.await.expect("the play comes to an end");
            });
            (name, played.await)
        });
    }
    let mut failures = Vec::new();
    while let Some(played) = plays.join_next().await {
        let (name, outcome) = played.expect("the outer task does nothing");
        if let Err(error) = outcome {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            failures.push(format!("{name}: {}", text.unwrap_or_default()));
        }
    }
    assert!(failures.is_empty(), "{} of the lies:\n{}", failures.len(), failures.join("\n"));
}

async fn play(case: Case, way: Way) {
    let chain = Chain::new(HISTORY);
    let liar = LyingNode::start(&chain, case.lie, case.version).await;
    let relay = Relay::start(RelayOptions {
        patience: QUESTION_PATIENCE,
        upstream_patience: UPSTREAM_PATIENCE,
        ..RelayOptions::default()
    })
    .await;
    let admitted = relay.admit(&liar.address()).await;

    // The liar alone. The light peer does not wait for a Status: the relay may have no head to tell.
    let mut peer = LightPeer::dial(&relay.address(way), case.version).await;
    peer.send(&Message::Status(peer.status()));
    let query = case.probe.query(&chain.backend);
    let right = case.probe.answer(&chain.backend);
    let asked = peer.request(query.clone());
    if case.grows {
        if case.verdict != Verdict::Refused {
            relay.reaches(chain.head().head.hash).await;
        }
        chain.grow();
    }
    match case.verdict {
        Verdict::Refused => {
            let error = admitted.expect_err("it is not taken in");
            assert!(matches!(error, AdmitError::Greet(_)), "{error}");
        }
        Verdict::Banished => {
            let _ = admitted;
            eventually("the liar is remembered", || relay.nodes.banished(&liar.peer()).is_some()).await;
            liar.is_left().await;
            let again = relay.admit(&liar.address()).await;
            assert!(matches!(again, Err(AdmitError::Liar(_))), "{again:?}");
        }
        Verdict::Stays => {
            admitted.expect("it is taken in");
            liar.has_lied().await;
        }
    }
    let mut answered = nothing_false(&mut peer, asked, &right, Duration::from_millis(20)).await;

    // An honest full node beside it.
    let honest = FullNode::start(&chain).await;
    relay.admit(&honest.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let begun = Instant::now();
    let again = peer.request(query);
    while answered != Some(again) {
        assert!(begun.elapsed() < PATIENCE, "the light peer is not answered");
        answered = nothing_false(&mut peer, again, &right, Duration::from_millis(200)).await.or(answered);
    }
    assert!(begun.elapsed() < QUESTION_PATIENCE, "the light peer waited for {:?}", begun.elapsed());
    assert_eq!(relay.nodes.banished(&liar.peer()).is_some(), case.verdict == Verdict::Banished);

    peer.leave().await;
    relay.is_idle().await;
    honest.stop().await;
    liar.stop().await;
    relay.stop().await;
}

/// Hears the light peer out until it is silent for `quiet`; gives the question that was answered with `right`
/// last. Anything but the right answer or none is a failure, and for `asked` none is a failure if the right
/// one could be had, which the caller sees by the question not being given back.
async fn nothing_false(
    peer: &mut LightPeer,
    asked: RequestId,
    right: &Answer,
    quiet: Duration,
) -> Option<RequestId> {
    let mut answered = None;
    while answered != Some(asked)
        && let Some(heard) = peer.hear_within(quiet).await
    {
        match heard {
            Heard::Message(Message::Response { id, answer, .. }) => {
                if probe::same(&answer, right) {
                    answered = Some(id);
                } else {
                    assert!(probe::is_none(&answer), "an altered answer came through: {answer:?}");
                }
            }
            Heard::Message(Message::Status(_) | Message::Announce(_)) => {}
            Heard::Message(other) => panic!("the relay sends {other:?}"),
            Heard::End(reason) => panic!("the light peer's session ended: {reason}"),
        }
    }
    answered
}
