//! The task: takes what sources and the dialer say, and carries out what the pool decides.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use causeway_pool::{Memory, Pool, PoolEvent, Source};
use causeway_records::{Contents, Record};
use causeway_wire::NodeKey;
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Message, Order, Report, View,
    sources::{Sources, next},
};
use crate::{
    OwnRecord,
    own_record::replace,
    udp::{Found, Udp},
};

/// How often what was learned of peers is written to disk.
const SAVE: Duration = Duration::from_secs(60);

/// Pause before a dialer that is busy is given further orders.
const STUCK: Duration = Duration::from_millis(50);

/// Largest file of remembered peers that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The one owner of the pool and of our record.
pub(super) struct Task {
    pub(super) pool: Pool,
    pub(super) own: OwnRecord,
    pub(super) peers_file: Option<PathBuf>,
    pub(super) sources: Sources,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) events: broadcast::Sender<Arc<PoolEvent>>,
    /// Something is to be written to disk.
    pub(super) dirty: bool,
    /// It could not be written last time.
    pub(super) unsaved: bool,
}

impl Task {
    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut save = tokio::time::interval(SAVE);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.carry_out();
            let due = self.pool.poll_timeout().map(Instant::from_std);
            // While the dialer takes nothing out, what is due stays due.
            let stuck = self.orders.capacity() <= 1;
            let due = due.map(|due| if stuck { due.max(Instant::now() + STUCK) } else { due });
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(message) = self.inbox.recv() => match message {
                    Message::Report(report) => self.handle(*report),
                    Message::View(reply) => {
                        let _ = reply.send(self.view());
                    }
                },
                () = until(due) => {}
                Some(found) = next(&mut self.sources.found) => self.take(found),
                Some(record) = next(&mut self.sources.listed) => self.take_listed(record),
                Some(record) = next(&mut self.sources.advertised) => self.take_record(record, Source::Discv5),
                _ = save.tick() => self.save(),
            }
        }
        self.dirty = true;
        self.save();
    }

    /// Carries out what the pool decided.
    fn carry_out(&mut self) {
        let now = Instant::now().into_std();
        // An order that finds no room comes again: a dial is asked for only while there is room for it.
        while self.orders.capacity() > 1
            && let Some(dial) = self.pool.poll_dial(now)
        {
            debug!(peer = %short(&dial.key), role = %dial.role, source = %dial.source, "dial");
            let _ = self.orders.try_send(Order::Dial(dial));
        }
        while self.orders.capacity() > 1
            && let Some(key) = self.pool.poll_evict(now)
        {
            let _ = self.orders.try_send(Order::Leave(key));
        }
        if let Some(search) = self.pool.poll_search(now) {
            debug!(fast = search.fast, missing = ?search.missing, "search");
            if let Some(udp) = &self.sources.udp {
                udp.search();
            }
            if let Some(topics) = self.sources.topics.as_ref().filter(|_| !search.missing.is_empty()) {
                topics.search();
            }
            let _ = self.orders.try_send(Order::Search);
        }
        while let Some(event) = self.pool.poll_event() {
            self.dirty |= !matches!(event, PoolEvent::Summary(_));
            // An error says that nobody listens.
            let _ = self.events.send(Arc::new(event));
        }
    }

    fn handle(&mut self, report: Report) {
        let now = Instant::now().into_std();
        match report {
            Report::Connected(key, connected) => self.pool.handle_connected(key, connected, now),
            Report::Offer(key) => self.pool.handle_offer(key, now),
            Report::Role(key, role) => self.pool.handle_role(key, role),
            Report::Disconnected(key, stack, inbound, why) => {
                self.pool.handle_disconnected(key, stack, inbound, why, now);
            }
            Report::Failed(key, why) => self.pool.handle_failure(key, why, now),
            Report::Value(key, value) => self.pool.handle_value(key, value, now),
            Report::Lied(key) => self.pool.handle_lie(key, now),
            Report::Addresses(key, role, addresses) => {
                let taken = self.pool.handle_addresses(key, role, addresses, Source::Rendezvous, now);
                if let Err(refused) = taken {
                    debug!(peer = %short(&key), %refused, "not taken into the pool");
                }
            }
            Report::Chain(forks, eth) => {
                self.pool.set_forks(forks);
                self.change_record(|contents| contents.eth = Some(eth));
            }
            Report::Endpoints(endpoints) => self.change_record(|contents| {
                let Contents { eth, les, snap, .. } = *contents;
                *contents = Contents { eth, les, snap, ..endpoints };
            }),
        }
    }

    fn take(&mut self, found: Found) {
        match (found.record, found.enode) {
            (Some(record), _) => {
                self.offer(&record);
                self.take_record(record, found.source);
            }
            (None, Some(enode)) => {
                let taken = self.pool.handle_enode(enode, found.source, Instant::now().into_std());
                if let Err(refused) = taken {
                    debug!(source = %found.source, %refused, "not taken into the pool");
                }
            }
            (None, None) => {}
        }
    }

    fn take_record(&mut self, record: Record, source: Source) {
        if let Err(refused) = self.pool.handle_record(record, source, Instant::now().into_std()) {
            debug!(%source, %refused, "not taken into the pool");
        }
    }

    /// Relays may be registrars of topics.
    fn offer(&self, record: &Record) {
        if let Some(topics) = &self.sources.topics {
            topics.offer(record);
        }
    }

    fn take_listed(&mut self, record: Record) {
        if let Some(udp) = &self.sources.udp {
            udp.add(&record);
        }
        self.offer(&record);
        self.take_record(record, Source::Dns);
    }

    fn change_record(&mut self, change: impl FnOnce(&mut Contents)) {
        if let Err(error) = self.own.update(change) {
            warn!(%error, "our node record cannot be signed anew; the old one stays");
        }
    }

    fn view(&self) -> View {
        let now = Instant::now().into_std();
        View {
            summary: self.pool.summary(),
            peers: self.pool.peers(now),
            udp: self.sources.udp.as_ref().map(Udp::stats),
            topics: self.sources.topics.as_ref().map(|topics| topics.stats().borrow().clone()),
        }
    }

    fn save(&mut self) {
        let Some(file) = self.peers_file.as_ref().filter(|_| self.dirty) else { return };
        self.dirty = false;
        let memory = self.pool.memory(Instant::now().into_std(), unix());
        let written =
            memory.to_json().map_err(io::Error::other).and_then(|text| replace(file, text.as_bytes()));
        match written {
            Ok(()) => self.unsaved = false,
            // Once is enough: it is tried again every minute.
            Err(error) if !std::mem::replace(&mut self.unsaved, true) => {
                warn!(file = %file.display(), %error, "what was learned of peers cannot be kept");
            }
            Err(error) => debug!(%error, "what was learned of peers still cannot be kept"),
        }
    }
}

/// Takes in what an earlier run learned of peers; their records.
pub(super) fn recall(pool: &mut Pool, file: &PathBuf, now: std::time::Instant) -> Vec<Record> {
    let text = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            Err(io::Error::other(format!("{} bytes are over the limit of {MAX_FILE}", metadata.len())))
        }
        Ok(_) => fs::read_to_string(file),
        Err(error) => Err(error),
    };
    let memory = text
        .map_err(|error| error.to_string())
        .and_then(|text| Memory::from_json(&text).map_err(|error| in_full(&error)));
    match memory {
        Ok(memory) => {
            let records = memory.records().cloned().collect();
            let peers = pool.remember(memory, now, unix());
            info!(peers, "peers of earlier runs remembered");
            records
        }
        Err(error) => {
            warn!(file = %file.display(), %error, "remembered peers cannot be read; beginning without them");
            Vec::new()
        }
    }
}

/// An error with what caused it.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The last four bytes, as logs show peers.
fn short(key: &NodeKey) -> causeway_wire::PeerId {
    causeway_wire::PeerId::devp2p(*key)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
