//! The client role of LES on one session: questions in, requests out, within the server's credit.

mod check;
mod command;
mod offer;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use causeway_wire::{
    Answer, Head, NodeKey, Query, RequestId, heartbeat,
    les::{Announce, AnnounceKind, Message, Serving, Status, Version, code, is_request, limit, request_code},
};
use tracing::{debug, trace};

pub use self::command::{AccountKeyForm, AskError, ClientCommand, ClientConfig};
use self::{
    check::UpdateBudget,
    offer::{Offer, Suitable},
};
use crate::{
    Fault, Ticket,
    agreement::STATUS_TIMEOUT,
    allowance::{Allowance, MaySend},
};

/// Requests under way at once, whatever the server's credit; the next ones wait.
const MAX_UNDER_WAY: usize = 512;

/// The client role of LES on one session.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    version: Version,
    server: Option<NodeKey>,
    stage: Stage,
    queue: VecDeque<Queued>,
    under_way: BTreeMap<RequestId, UnderWay>,
    next_id: u64,
    /// When the credit will do for the first in the queue.
    credit_due: Option<Instant>,
    consecutive_timeouts: u32,
    commands: VecDeque<ClientCommand>,
}

#[derive(Debug)]
enum Stage {
    /// Our Status went out, theirs did not come yet.
    Greeting { deadline: Instant },
    /// The Statuses agree.
    Serving(Box<Service>),
    /// The session ended.
    Closed,
}

/// A server that serves us.
#[derive(Debug)]
struct Service {
    status: Status,
    offer: Offer,
    allowance: Allowance,
    updates: UpdateBudget,
    /// Total difficulty that was last announced.
    td: U256,
    /// The head of the last Announce.
    announced: Option<Head>,
    /// Between Stop and Resume.
    stopped: bool,
}

#[derive(Debug)]
struct Queued {
    ticket: Ticket,
    query: Query,
    deadline: Instant,
}

#[derive(Debug)]
struct UnderWay {
    /// `None` if nobody waits any more.
    ticket: Option<Ticket>,
    code: u64,
    amount: u64,
    deadline: Instant,
}

impl Client {
    /// Begins a session: our Status is the first command. `random` seeds request ids.
    pub fn new(
        config: ClientConfig,
        version: Version,
        server: Option<NodeKey>,
        random: u64,
        now: Instant,
    ) -> Self {
        let mut client = Self {
            version,
            server,
            stage: Stage::Greeting { deadline: now + STATUS_TIMEOUT },
            queue: VecDeque::new(),
            under_way: BTreeMap::new(),
            next_id: random,
            credit_due: None,
            consecutive_timeouts: 0,
            commands: VecDeque::new(),
            config,
        };
        let status = client.our_status();
        client.send(&Message::Status(status));
        client
    }

    /// Asks. The request goes out, in order, as soon as the server's credit allows.
    pub fn ask(&mut self, ticket: Ticket, query: Query, now: Instant) {
        let refusal = match &self.stage {
            Stage::Closed => Some(AskError::Closed),
            Stage::Greeting { .. } | Stage::Serving(_) if self.queue.len() >= self.config.max_queue => {
                Some(AskError::QueueFull)
            }
            Stage::Greeting { .. } | Stage::Serving(_) => None,
        };
        if let Some(error) = refusal {
            return self.answered(ticket, Err(error));
        }
        self.enqueue(Queued { ticket, query, deadline: now + self.config.patience });
        self.send_queued(now);
    }

    /// Nobody waits for this answer any more; a request not yet sent is dropped.
    pub fn forget(&mut self, ticket: Ticket) {
        self.queue.retain(|queued| queued.ticket != ticket);
        for request in self.under_way.values_mut().filter(|request| request.ticket == Some(ticket)) {
            request.ticket = None; // its answer will still tell the buffer
        }
    }

    /// A message of the server arrived.
    pub fn handle_message(&mut self, code: u64, payload: &Bytes, now: Instant) {
        trace!(code, size = payload.len(), "message");
        if let Err(fault) = self.take(code, payload, now) {
            return self.fail(fault);
        }
        self.send_queued(now);
    }

    /// The session is gone: every question gets [`AskError::Closed`].
    pub fn handle_close(&mut self) {
        self.stage = Stage::Closed;
        self.credit_due = None;
        for queued in std::mem::take(&mut self.queue) {
            self.answered(queued.ticket, Err(AskError::Closed));
        }
        self.fail_under_way(&AskError::Closed);
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Stage::Greeting { deadline } = self.stage
            && deadline <= now
        {
            return self.fail(Fault::StatusTimeout { seconds: STATUS_TIMEOUT.as_secs() });
        }
        while let Some(queued) = self.queue.pop_front_if(|queued| queued.deadline <= now) {
            self.answered(queued.ticket, Err(AskError::Timeout));
        }
        let overdue: Vec<RequestId> =
            self.under_way.iter().filter(|(_, request)| request.deadline <= now).map(|(id, _)| *id).collect();
        for id in overdue {
            self.give_up(id, now);
        }
        self.send_queued(now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let greeting = match &self.stage {
            Stage::Greeting { deadline } => Some(*deadline),
            Stage::Serving(_) | Stage::Closed => None,
        };
        let queued = self.queue.front().map(|queued| queued.deadline);
        let sent = self.under_way.values().map(|request| request.deadline).min();
        [greeting, queued, sent, self.credit_due].into_iter().flatten().min()
    }

    /// The next thing to carry out.
    pub fn poll_command(&mut self) -> Option<ClientCommand> {
        self.commands.pop_front()
    }

    /// What the server promised and said in its Status, once greeted.
    pub fn status(&self) -> Option<&Status> {
        match &self.stage {
            Stage::Serving(service) => Some(&service.status),
            Stage::Greeting { .. } | Stage::Closed => None,
        }
    }

    /// Questions sent or waiting.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.under_way.values().filter(|request| request.ticket.is_some()).count()
    }

    /// Requests in a row that the server let time out; any answer resets it. When to give such a server up
    /// is the shell's to decide.
    pub fn consecutive_timeouts(&self) -> u32 {
        self.consecutive_timeouts
    }

    /// Whether the server has stopped us: what is asked now waits for its Resume.
    pub fn is_stopped(&self) -> bool {
        matches!(&self.stage, Stage::Serving(service) if service.stopped)
    }

    fn take(&mut self, code: u64, payload: &Bytes, now: Instant) -> Result<(), Fault> {
        match (&self.stage, code) {
            (Stage::Closed, _) => return Ok(()),
            (Stage::Greeting { .. }, code::STATUS) => {}
            (Stage::Greeting { .. }, _) => return Err(Fault::NoStatus { code }),
            (Stage::Serving(_), code::STATUS) => return Err(Fault::SecondStatus),
            (Stage::Serving(_), _) => {}
        }
        let (size, limit) = (payload.len(), limit::ANSWER_BYTES);
        if size > limit {
            return Err(Fault::TooLarge { code, size, limit });
        }
        if is_request(code) {
            return Err(Fault::WrongDirection { code });
        }
        let message = Message::decode(self.version, code, &payload.clone().into())?;
        match message {
            Message::Status(status) => self.greet(status, now),
            Message::Announce(announce) => self.announced(announce, now),
            Message::Response { id, buffer, .. } => self.response(id, buffer, message, now),
            Message::Stop => {
                self.stop();
                Ok(())
            }
            Message::Resume { buffer } => {
                self.resume(buffer, now);
                Ok(())
            }
            Message::Request { .. } => Err(Fault::WrongDirection { code }),
        }
    }

    fn greet(&mut self, status: Status, now: Instant) -> Result<(), Fault> {
        self.config.chain.check(&status, self.version)?;
        self.config.chain.check_fork(&status, self.version)?;
        let flow = check::promise(&status, self.version)?;
        let service = Service {
            offer: Offer::new(&status, &flow.costs, self.version, self.config.account_key),
            allowance: Allowance::new(flow.buffer_limit, flow.recharge, now),
            updates: UpdateBudget::new(self.config.signed, self.config.origins, now),
            td: status.head.td,
            announced: Some(status.head),
            stopped: false,
            status: status.clone(),
        };
        self.stage = Stage::Serving(Box::new(service));
        let heartbeat = heartbeat::agreed(self.config.heartbeat, status.heartbeat);
        self.commands.push_back(ClientCommand::Greeted { status: Box::new(status), heartbeat });
        for queued in std::mem::take(&mut self.queue) {
            self.enqueue(queued); // now it is known what is served
        }
        Ok(())
    }

    fn announced(&mut self, announce: Announce, now: Instant) -> Result<(), Fault> {
        let Stage::Serving(service) = &mut self.stage else { return Ok(()) };
        service.updates.charge(&announce, now)?;
        if let Some((limit, recharge)) = announce.buffer {
            check::buffer(limit, recharge)?;
            service.allowance.promised(limit, recharge, now);
        }
        service.offer.merge(&announce.costs, self.version);
        if let Some(head) = announce.head.as_ref().filter(|head| service.announced.as_ref() != Some(*head)) {
            let signer = self.server.as_ref().filter(|_| self.config.signed);
            check::head(&announce, head, service.td, signer)?;
            service.td = head.td;
            // geth sends what is newest when its queue comes to it: of two quick heads the second one twice.
            service.announced = Some(*head);
            self.commands.push_back(ClientCommand::Announced(Box::new(announce)));
        } else if announce.head.is_none() && self.config.origins && !announce.origins.is_empty() {
            self.commands.push_back(ClientCommand::Announced(Box::new(announce)));
        }
        Ok(())
    }

    fn response(&mut self, id: RequestId, buffer: u64, message: Message, now: Instant) -> Result<(), Fault> {
        let Stage::Serving(service) = &mut self.stage else { return Ok(()) };
        service.allowance.answered(id, buffer, now);
        let Some(request) = self.under_way.get(&id) else {
            debug!(id = id.0, "answer to nothing that is under way");
            return Ok(());
        };
        if let Message::Response { answer, .. } = &message {
            check::answer(request.code, request.amount, &message, answer)?;
        }
        self.consecutive_timeouts = 0;
        let ticket = self.under_way.remove(&id).and_then(|request| request.ticket);
        if let (Some(ticket), Message::Response { answer, .. }) = (ticket, message) {
            self.answered(ticket, Ok(answer));
        }
        Ok(())
    }

    fn stop(&mut self) {
        let Stage::Serving(service) = &mut self.stage else { return };
        service.stopped = true;
        service.allowance.stopped();
        self.fail_under_way(&AskError::Stopped);
    }

    fn resume(&mut self, buffer: u64, now: Instant) {
        let Stage::Serving(service) = &mut self.stage else { return };
        if !service.stopped {
            debug!("resume without a stop");
            return;
        }
        service.stopped = false;
        service.allowance.resumed(buffer, now);
    }

    fn give_up(&mut self, id: RequestId, now: Instant) {
        let Some(request) = self.under_way.remove(&id) else { return };
        self.consecutive_timeouts = self.consecutive_timeouts.saturating_add(1);
        if let Stage::Serving(service) = &mut self.stage {
            service.allowance.given_up(now);
        }
        if let Some(ticket) = request.ticket {
            self.answered(ticket, Err(AskError::Timeout));
        }
    }

    /// Puts a question into the queue, or answers it if the server is known not to.
    fn enqueue(&mut self, mut queued: Queued) {
        if let Stage::Serving(service) = &self.stage {
            match service.offer.suit(queued.query) {
                Suitable::Ask(query) => queued.query = query,
                Suitable::Answered(answer) => return self.answered(queued.ticket, Ok(answer)),
                Suitable::No => return self.answered(queued.ticket, Err(AskError::NotServed)),
            }
        }
        self.queue.push_back(queued);
    }

    /// Sends what the credit allows, in order.
    fn send_queued(&mut self, now: Instant) {
        self.credit_due = None;
        while let Stage::Serving(service) = &mut self.stage
            && !service.stopped
            && self.under_way.len() < MAX_UNDER_WAY
            && let Some(Queued { ticket, query, .. }) = self.queue.pop_front_if(|queued| {
                let cost = service.offer.worst_case(&queued.query).unwrap_or(u64::MAX);
                match service.allowance.may_send(cost, now) {
                    MaySend::Now => return true,
                    MaySend::After(wait) => self.credit_due = Some(now + wait.max(Duration::from_micros(1))),
                    MaySend::AfterAnswer => {}
                }
                false
            })
        {
            let id = RequestId(self.next_id);
            self.next_id = self.next_id.wrapping_add(1);
            let cost = service.offer.worst_case(&query).unwrap_or(u64::MAX);
            service.allowance.sent(id, cost, now);
            let request = UnderWay {
                ticket: Some(ticket),
                code: request_code(&query),
                amount: query.amount(),
                deadline: now + self.config.patience,
            };
            self.under_way.insert(id, request);
            self.send(&Message::Request { id, query });
        }
    }

    fn our_status(&self) -> Status {
        Status {
            version: self.version.number(),
            network: self.config.chain.network,
            head: Head { hash: B256::ZERO, number: 0, td: U256::ZERO },
            genesis: self.config.chain.genesis,
            fork_id: self.config.chain.fork_id(self.version),
            announce: Some(if self.config.signed { AnnounceKind::Signed } else { AnnounceKind::Simple }),
            serving: Serving::default(),
            recent_tx_lookup: None,
            flow_control: None,
            checkpoint: None,
            checkpoint_height: None,
            origins: self.config.origins,
            heartbeat: self.config.heartbeat,
        }
    }

    fn send(&mut self, message: &Message) {
        let payload = message.encode(self.version).into();
        self.commands.push_back(ClientCommand::Send { code: message.code(), payload });
    }

    fn answered(&mut self, ticket: Ticket, outcome: Result<Answer, AskError>) {
        self.commands.push_back(ClientCommand::Answered { ticket, outcome });
    }

    fn fail_under_way(&mut self, error: &AskError) {
        for request in std::mem::take(&mut self.under_way).into_values() {
            if let Some(ticket) = request.ticket {
                self.answered(ticket, Err(error.clone()));
            }
        }
    }

    fn fail(&mut self, fault: Fault) {
        debug!(%fault, "server's session ended");
        self.handle_close();
        self.commands.push_back(ClientCommand::Close(fault));
    }
}
