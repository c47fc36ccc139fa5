//! The task that carries the advertiser's and the searcher's requests to registrars, and what they say back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::{Reach, Record};
use causeway_topics::{
    ANSWER_TIMEOUT, Advertiser, Message, Registrars, Request, SearchEvent, Searcher, ServiceTable, Topic,
    WANTED_ADVERTISERS, decode_all,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    TOPICS_PROTOCOL,
    answers::Answers,
    is_relay,
    quiet::{Quiet, Side},
};
use crate::udp::{RequestError, TalkError, Udp};

/// What the driver goes by.
pub(super) struct Settings {
    pub(super) topic: Topic,
    pub(super) reach: Reach,
    /// From one lookup to the next.
    pub(super) pause: Duration,
}

/// Owns the machines that ask.
pub(super) struct Driver {
    settings: Settings,
    udp: Udp,
    record: watch::Receiver<Record>,
    answers: Arc<Answers>,
    nodes: mpsc::Receiver<Record>,
    search: Arc<Notify>,
    found: mpsc::Sender<Record>,
    /// While our record is one that registrars take.
    advertiser: Option<Advertiser>,
    searcher: Searcher,
    /// A lookup is to begin when it can.
    is_search_wanted: bool,
    last_lookup: Option<Instant>,
    quiet: Quiet,
    /// No more than a few: each machine bounds what it has under way, and a request ends when the machine gives it
    /// up.
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
}

/// What came of a request.
struct Answer {
    side: Side,
    registrar: Record,
    /// `None` if nothing came in time.
    body: Option<Result<Vec<u8>, TalkError>>,
}

impl Driver {
    #[expect(clippy::too_many_arguments, reason = "the ends of all channels, each of them needed once")]
    pub(super) fn new(
        settings: Settings,
        udp: Udp,
        record: watch::Receiver<Record>,
        answers: Arc<Answers>,
        nodes: mpsc::Receiver<Record>,
        search: Arc<Notify>,
        found: mpsc::Sender<Record>,
        now: Instant,
    ) -> Self {
        let ourselves = record.borrow().node_id();
        let searcher = Searcher::new(settings.topic, ourselves, Registrars::Any, seed());
        let mut driver = Self {
            settings,
            udp,
            record,
            answers,
            nodes,
            search,
            found,
            advertiser: None,
            searcher,
            is_search_wanted: false,
            last_lookup: None,
            quiet: Quiet::default(),
            under_way: FuturesUnordered::new(),
        };
        driver.follow_record(now);
        driver
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.carry_out(Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(answer) = self.under_way.next() => self.take(answer, Instant::now()),
                Ok(()) = self.record.changed() => self.follow_record(Instant::now()),
                () = self.search.notified() => self.is_search_wanted = true,
                () = until(due) => {}
                Some(record) = self.nodes.recv() => self.take_node(&record, Instant::now()),
            }
        }
    }

    /// Does what is due; when to look again.
    fn carry_out(&mut self, now: Instant) -> Option<Instant> {
        let mut requests = Vec::new();
        if let Some(advertiser) = &mut self.advertiser {
            advertiser.handle_timeout(now);
            requests
                .extend(std::iter::from_fn(|| advertiser.poll_request(now)).map(|to| (Side::Advertise, to)));
        }
        self.searcher.handle_timeout(now);
        let lookup_due = self.begin_lookup(now);
        requests.extend(std::iter::from_fn(|| self.searcher.poll_request(now)).map(|to| (Side::Search, to)));
        for (side, request) in requests {
            self.ask(side, request);
        }
        while let Some(event) = self.searcher.poll_event() {
            self.tell(event);
        }
        let (expiry, registrations) = {
            let mut registrar = self.answers.registrar();
            registrar.handle_timeout(now);
            (registrar.poll_timeout(), registrar.advertisements().len())
        };
        let placements = self.advertiser.as_ref().map(Advertiser::counts).unwrap_or_default();
        let nodes = self.searcher.table().len();
        self.answers.count(|stats| {
            stats.registrations = registrations;
            (stats.active, stats.waiting, stats.nodes) = (placements.active, placements.waiting, nodes);
        });
        let advertiser_due = self.advertiser.as_ref().and_then(|advertiser| advertiser.poll_timeout(now));
        [expiry, advertiser_due, self.searcher.poll_timeout(), lookup_due].into_iter().flatten().min()
    }

    /// Begins the lookup that is wanted, or says when it can begin.
    fn begin_lookup(&mut self, now: Instant) -> Option<Instant> {
        if !self.is_search_wanted || self.searcher.is_searching() {
            return None;
        }
        let rested = self.last_lookup.map(|last| last + self.settings.pause).filter(|rested| *rested > now);
        if rested.is_some() {
            return rested;
        }
        let table = self.searcher.table();
        if ready(table, now).is_empty() {
            return table.next_return(now); // or when a node is taken in
        }
        self.is_search_wanted = false;
        self.last_lookup = Some(now);
        self.searcher.start(WANTED_ADVERTISERS);
        self.answers.count(|stats| stats.lookups += 1);
        None
    }

    fn ask(&self, side: Side, request: Request) {
        let Request { registrar, message } = request;
        let (udp, body) = (self.udp.clone(), message.encode());
        let asking = async move {
            let answer = udp.talk(&registrar, TOPICS_PROTOCOL, body);
            let body = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok();
            Answer { side, registrar, body }
        };
        self.under_way.push(asking.boxed());
    }

    fn tell(&self, event: SearchEvent) {
        match event {
            SearchEvent::Found(record) if is_relay(&record, self.settings.reach) => {
                debug!(node = %record.node_id(), "found by topic");
                self.answers.count(|stats| stats.found += 1);
                if self.found.try_send(record).is_err() {
                    debug!("an advertiser is not taken, as too many wait");
                }
            }
            SearchEvent::Found(record) => {
                debug!(node = %record.node_id(), "an advertiser is no relay that we may dial");
            }
            SearchEvent::Finished(summary) => debug!(?summary, "a lookup is over"),
        }
    }

    fn take(&mut self, answer: Answer, now: Instant) {
        let Answer { side, registrar, body } = answer;
        let node = registrar.node_id();
        let messages = match body {
            Some(Ok(body)) if body.is_empty() => {
                debug!(%node, ?side, "an empty answer: the node is left alone");
                self.fail(side, node, now);
                self.forget(side, node);
                self.quiet.insert(side, node, now);
                return;
            }
            Some(Ok(body)) => decode_all(&body).map_err(|error| error.to_string()),
            // The advertiser knows by its own clock, and asks once more: the waiting before is not to be lost.
            None | Some(Err(TalkError::Request(RequestError::Timeout))) if side == Side::Advertise => {
                debug!(%node, "a registrar does not answer");
                self.answers.registrar().forget_node(node);
                return;
            }
            Some(Err(error)) => Err(error.to_string()),
            None => Err("no answer in time".to_owned()),
        };
        match messages {
            Ok(messages) => {
                // It is alive and takes part, so others may be told of it.
                self.answers.registrar().handle_node(registrar);
                for message in messages {
                    self.take_message(side, node, message, now);
                }
            }
            Err(error) => {
                debug!(%node, ?side, error, "a registrar failed");
                self.answers.registrar().forget_node(node);
                self.fail(side, node, now);
            }
        }
    }

    fn take_message(&mut self, side: Side, from: B256, mut message: Message, now: Instant) {
        if let Message::Nodes(nodes) = &mut message {
            // Strangers must not send us to whoever they like.
            nodes.records.retain(|record| self.may_ask(side, record, now));
        }
        let taken = match (side, &mut self.advertiser) {
            (Side::Advertise, Some(advertiser)) => advertiser.handle_message(from, message, now),
            (Side::Advertise, None) => Ok(()),
            (Side::Search, _) => self.searcher.handle_message(from, message, now),
        };
        if let Err(fault) = taken {
            debug!(node = %from, ?side, %fault, "a registrar's message is not taken");
        }
    }

    fn take_node(&mut self, record: &Record, now: Instant) {
        if self.may_ask(Side::Search, record, now) {
            self.searcher.handle_node(record.clone(), now);
        }
        if self.may_ask(Side::Advertise, record, now)
            && let Some(advertiser) = &mut self.advertiser
        {
            advertiser.handle_node(record.clone(), now);
        }
    }

    fn may_ask(&self, side: Side, record: &Record, now: Instant) -> bool {
        is_relay(record, self.settings.reach) && !self.quiet.contains(side, record.node_id(), now)
    }

    fn fail(&mut self, side: Side, node: B256, now: Instant) {
        match (side, &mut self.advertiser) {
            (Side::Advertise, Some(advertiser)) => advertiser.handle_failure(node, now),
            (Side::Advertise, None) => {}
            (Side::Search, _) => self.searcher.handle_failure(node, now),
        }
    }

    fn forget(&mut self, side: Side, node: B256) {
        self.answers.registrar().forget_node(node);
        match (side, &mut self.advertiser) {
            (Side::Advertise, Some(advertiser)) => advertiser.forget_node(node),
            (Side::Advertise, None) => {}
            (Side::Search, _) => self.searcher.forget_node(node),
        }
    }

    /// Our record says something new, perhaps an address, without which no registrar takes us.
    fn follow_record(&mut self, now: Instant) {
        let own = self.record.borrow_and_update().clone();
        // Whoever refused us for our address may take us now.
        self.quiet.clear();
        let Settings { topic, reach, .. } = self.settings;
        if !is_relay(&own, reach) {
            self.advertiser = None;
        } else if let Some(advertiser) = &mut self.advertiser {
            advertiser.handle_record(own, now);
        } else {
            let mut advertiser = Advertiser::new(topic, own, Registrars::Any, seed());
            for known in ready(self.searcher.table(), now) {
                advertiser.handle_node(known, now);
            }
            self.advertiser = Some(advertiser);
        }
    }
}

/// The nodes that can be asked.
fn ready(table: &ServiceTable, now: Instant) -> Vec<Record> {
    let distances = table.distances().into_iter();
    distances.flat_map(|distance| table.ready(distance, now).map(|(_, record)| record.clone())).collect()
}

fn seed() -> B256 {
    B256::new(rand::random())
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
