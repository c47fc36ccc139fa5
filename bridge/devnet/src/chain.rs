//! The chain: blocks by hash and by number, the state after each recent one, and how it grows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_wire::{Head, HeadUpdate, Inclusion};

use crate::account::DevAccount;
use crate::config::{Config, DevError, MAX_BLOCKS};
use crate::execute::Draft;
use crate::genesis::{self, PERIOD};
use crate::pool::Pool;
use crate::seal::seal;
use crate::state::State;
use crate::traffic;
use crate::transaction::Transaction;

/// Blocks off the canonical chain that are remembered.
const MAX_SIDE_BLOCKS: usize = 256;

/// One block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) parent: B256,
    pub(crate) timestamp: u64,
    /// The header as it goes over the wire; decoded where it is needed, because there are so many.
    pub(crate) rlp: Bytes,
    pub(crate) td: U256,
    /// `None` once it is too old.
    pub(crate) contents: Option<Contents>,
    /// The state after it; `None` once it is too old.
    pub(crate) state: Option<State>,
}

impl Block {
    fn header(&self) -> Header {
        alloy_rlp::decode_exact(&self.rlp).expect("it was encoded here")
    }
}

/// What is in a block beside its header.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) body: Bytes,
    pub(crate) receipts: Bytes,
    transactions: Vec<B256>,
    /// The transactions that came from outside: they wait again if the block is rolled back.
    sent: Vec<Arc<Transaction>>,
    /// The call of the contract that is in every block.
    call: Option<B256>,
}

/// Something in a recent block that can be asked for and is known to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The block's number.
    pub number: u64,
    /// Its hash.
    pub block: B256,
    /// The transaction in it that calls [`genesis::CONTRACT`].
    pub transaction: B256,
    /// The slot of the contract that the call set.
    pub slot: U256,
    /// What the slot holds since.
    pub value: U256,
}

/// How much is held, for tests of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Headers, on every branch.
    pub headers: usize,
    /// Blocks with body and receipts.
    pub bodies: usize,
    /// States.
    pub states: usize,
    /// Blocks off the canonical chain.
    pub side_blocks: usize,
    /// Transactions whose block is known.
    pub included: usize,
    /// Transactions that wait.
    pub waiting: usize,
}

/// A clique chain with one signer that makes itself up as time goes by.
#[derive(Debug)]
pub struct DevChain {
    config: Config,
    signer: DevAccount,
    traffic: DevAccount,
    pub(crate) blocks: HashMap<B256, Block>,
    /// Hashes by number.
    pub(crate) canonical: Vec<B256>,
    /// Hashes of blocks that were rolled back, oldest first.
    side: VecDeque<B256>,
    pub(crate) included: HashMap<B256, Inclusion>,
    pub(crate) pool: Pool,
    /// Reorganisations so far.
    branch: u64,
}

impl DevChain {
    /// A chain with its history, whose head is `now`.
    ///
    /// # Errors
    /// If the history does not fit between genesis and now, or is longer than a chain may be.
    pub fn new(config: Config) -> Result<Self, DevError> {
        if config.history >= MAX_BLOCKS {
            return Err(DevError::Full);
        }
        let earliest = genesis::TIMESTAMP + config.history * PERIOD;
        if config.now < earliest {
            return Err(DevError::TooEarly { now: config.now, earliest });
        }
        let state = genesis::state();
        let header = genesis::header(&state);
        let mut chain = Self {
            config,
            signer: DevAccount::signer(),
            traffic: DevAccount::traffic(),
            blocks: HashMap::new(),
            canonical: Vec::new(),
            side: VecDeque::new(),
            included: HashMap::new(),
            pool: Pool::default(),
            branch: 0,
        };
        let contents = Contents {
            body: Bytes::from_static(&[0xc2, 0xc0, 0xc0]),
            receipts: Bytes::from_static(&[0xc0]),
            transactions: Vec::new(),
            sent: Vec::new(),
            call: None,
        };
        chain.append(header, state, contents);
        for back in (0..config.history).rev() {
            chain.seal(config.now - back * PERIOD);
        }
        Ok(chain)
    }

    /// Seals one more block if it is time for one; gives its hash.
    ///
    /// # Errors
    /// [`DevError::Full`].
    pub fn advance(&mut self, now: u64) -> Result<Option<B256>, DevError> {
        if now.saturating_sub(self.head().timestamp) < PERIOD {
            return Ok(None);
        }
        self.check_room(1)?;
        Ok(Some(self.seal(now)))
    }

    /// Rolls `depth` blocks back and builds a branch that is longer by one block, whose head is `now`.
    /// Transactions that were sent here and rolled back go into the new branch.
    ///
    /// # Errors
    /// If there are not so many blocks with a state, or not enough seconds since the fork point for the branch.
    pub fn reorg(&mut self, depth: u64, now: u64) -> Result<B256, DevError> {
        let most = self.head().number.min(self.states_kept() - 1);
        if depth > most {
            return Err(DevError::TooDeep { depth, most });
        }
        self.check_room(1)?;
        let fork = self.head().number - depth;
        let base = self.at(fork).map_or(0, |block| block.timestamp);
        let earliest = base + (depth + 1) * PERIOD;
        if now < earliest {
            return Err(DevError::TooEarly { now, earliest });
        }
        self.roll_back(depth);
        self.branch += 1;
        for step in 1..=depth {
            self.seal(base + step * PERIOD);
        }
        Ok(self.seal(now))
    }

    /// The head with its lineage.
    pub fn head_update(&self) -> HeadUpdate {
        let head = self.head();
        HeadUpdate {
            head: Head { hash: self.head_hash(), number: head.number, td: head.td },
            timestamp: head.timestamp,
            lineage: self.canonical.iter().rev().take(HeadUpdate::LINEAGE).copied().collect(),
            origins: Arc::new([]),
        }
    }

    /// The header and its hash at a number of the canonical chain.
    pub fn header(&self, number: u64) -> Option<(B256, Header)> {
        let hash = self.canonical.get(usize::try_from(number).ok()?)?;
        Some((*hash, self.blocks.get(hash)?.header()))
    }

    /// Something recent to ask for; `None` only if somebody has emptied the account behind the traffic.
    pub fn sample(&self) -> Option<Sample> {
        self.canonical.iter().rev().take(HeadUpdate::LINEAGE).find_map(|hash| {
            let block = self.blocks.get(hash)?;
            let transaction = block.contents.as_ref()?.call?;
            let number = block.number;
            let slot = U256::from(number);
            let value = self.head().state.as_ref()?.account(genesis::CONTRACT)?.slot(slot);
            Some(Sample { number, block: *hash, transaction, slot, value })
        })
    }

    /// The blocks after genesis one after another, `[header, transactions, uncles]` each: what `geth import` reads.
    ///
    /// # Errors
    /// If old bodies are already gone.
    pub fn export_rlp(&self) -> Result<Vec<u8>, DevError> {
        let mut out = Vec::new();
        for (number, hash) in (0..).zip(&self.canonical).skip(1) {
            let block = self.blocks.get(hash);
            let parts = block.and_then(|block| Some((&block.rlp, &block.contents.as_ref()?.body)));
            let Some((header, body)) = parts else { return Err(DevError::Pruned { number }) };
            // A block is the header before the body's two lists.
            let mut lists = body.as_ref();
            let length = alloy_rlp::Header::decode(&mut lists).map_or(0, |_| lists.len());
            alloy_rlp::Header { list: true, payload_length: header.len() + length }.encode(&mut out);
            out.extend_from_slice(header);
            out.extend_from_slice(lists);
        }
        Ok(out)
    }

    /// How much is held.
    pub fn counts(&self) -> Counts {
        Counts {
            headers: self.blocks.len(),
            bodies: self.blocks.values().filter(|block| block.contents.is_some()).count(),
            states: self.blocks.values().filter(|block| block.state.is_some()).count(),
            side_blocks: self.side.len(),
            included: self.included.len(),
            waiting: self.pool.len(),
        }
    }

    pub(crate) fn at(&self, number: u64) -> Option<&Block> {
        self.blocks.get(self.canonical.get(usize::try_from(number).ok()?)?)
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.get(&self.head_hash()).expect("canonical blocks are never forgotten")
    }

    /// The state after the head.
    pub(crate) fn state(&self) -> &State {
        self.head().state.as_ref().expect("the head's state is always kept")
    }

    fn head_hash(&self) -> B256 {
        self.canonical
            .last()
            .copied()
            .expect("the chain begins with genesis and is never rolled back to before it")
    }

    fn states_kept(&self) -> u64 {
        self.config.states_kept.max(1)
    }

    fn check_room(&self, blocks: u64) -> Result<(), DevError> {
        if self.canonical.len() as u64 + blocks > MAX_BLOCKS { Err(DevError::Full) } else { Ok(()) }
    }

    fn seal(&mut self, timestamp: u64) -> B256 {
        let state = self.state().clone();
        let parent = self.head().header();
        let mut draft = Draft::new(&parent, state, &self.canonical, timestamp, self.signer.address);
        let sent = self.pool.fill(&mut draft, traffic::GAS);
        let call = traffic::fill(&mut draft, &self.traffic, self.branch);
        let mut filled = draft.finish();
        seal(&mut filled.header, &self.signer, self.branch);
        let contents = Contents {
            body: filled.body,
            receipts: filled.receipts,
            transactions: filled.transactions,
            sent,
            call,
        };
        self.append(filled.header, filled.state, contents)
    }

    fn append(&mut self, header: Header, state: State, contents: Contents) -> B256 {
        let rlp: Bytes = alloy_rlp::encode(&header).into();
        let hash = keccak256(&rlp);
        let number = header.number;
        let parent_td = self.blocks.get(&header.parent_hash).map_or(U256::ZERO, |parent| parent.td);
        for (index, transaction) in (0..).zip(&contents.transactions) {
            self.included.insert(*transaction, Inclusion { block: hash, number, index });
        }
        self.pool.settle(&state, header.timestamp);
        let block = Block {
            number,
            parent: header.parent_hash,
            timestamp: header.timestamp,
            rlp,
            td: parent_td + header.difficulty,
            contents: Some(contents),
            state: Some(state),
        };
        self.blocks.insert(hash, block);
        self.canonical.push(hash);
        self.forget(number);
        hash
    }

    /// Drops what is too old for a head of this number.
    fn forget(&mut self, head: u64) {
        let (states_kept, bodies_kept) = (self.states_kept(), self.config.bodies_kept.max(1));
        if let Some(old) = head.checked_sub(states_kept).and_then(|number| self.at_mut(number)) {
            old.state = None;
        }
        let old = head.checked_sub(bodies_kept).and_then(|number| self.at_mut(number));
        for transaction in
            old.and_then(|old| old.contents.take()).map_or_else(Vec::new, |contents| contents.transactions)
        {
            self.included.remove(&transaction);
        }
        while self.side.len() > MAX_SIDE_BLOCKS {
            if let Some(hash) = self.side.pop_front() {
                self.blocks.remove(&hash);
            }
        }
        for hash in &self.side {
            let Some(block) = self.blocks.get_mut(hash) else { continue };
            if block.number + states_kept <= head {
                block.state = None;
            }
            if block.number + bodies_kept <= head {
                block.contents = None;
            }
        }
    }

    fn at_mut(&mut self, number: u64) -> Option<&mut Block> {
        self.blocks.get_mut(self.canonical.get(usize::try_from(number).ok()?)?)
    }

    fn roll_back(&mut self, depth: u64) {
        let mut sent = Vec::new();
        for _ in 0..depth {
            let Some(hash) = self.canonical.pop() else { break };
            self.side.push_back(hash);
            let Some(contents) = self.blocks.get(&hash).and_then(|block| block.contents.as_ref()) else {
                continue;
            };
            for transaction in &contents.transactions {
                self.included.remove(transaction);
            }
            sent.extend(contents.sent.iter().rev().cloned());
        }
        let (state, now) = (self.state().clone(), self.head().timestamp);
        for transaction in sent.into_iter().rev() {
            // One that is refused now has been replaced meanwhile, or its funds came from the old branch.
            let _ = self.pool.add(transaction, &state, now);
        }
    }
}
