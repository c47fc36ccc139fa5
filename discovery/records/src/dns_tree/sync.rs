//! Reads trees as a machine: it says which names to ask for, takes the answers, and believes only what the
//! publisher's signature reaches.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{BRANCH, Entry, EntryTextError, LINK, Label, Link, RECORD, ROOT, Root};
use crate::Record;

/// What reading lists may cost; a tree that costs more is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Trees read, those that are linked to included. Further links are ignored.
    pub trees: usize,
    /// Links followed from a list that the user named to one that it did not.
    pub link_depth: usize,
    /// Entries of one tree. The largest known lists have a few thousand.
    pub entries: usize,
    /// Entries of all trees together.
    pub all_entries: usize,
    /// Branches above an entry.
    pub depth: usize,
    /// Bytes of entries of one tree.
    pub bytes: usize,
    /// Times that a name is asked for before its tree is given up.
    pub attempts: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            trees: 16,
            link_depth: 3,
            entries: 20_000,
            all_entries: 60_000,
            depth: 8,
            bytes: 8 * 1024 * 1024,
            attempts: 3,
        }
    }
}

/// A tree as it was read, every entry of it checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedTree {
    /// Its root.
    pub root: Root,
    /// Its nodes, in the order of their ids' first appearance in the tree.
    pub records: Vec<Record>,
    /// The lists that it links to.
    pub links: Vec<Link>,
    /// Entries that are signed for but say nothing that we understand.
    pub skipped: usize,
}

/// Why a tree could not be read. An earlier reading of it stays good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeFault {
    /// The name server failed.
    #[error("no answer for {name}: {why}")]
    Unanswered {
        /// The name.
        name: String,
        /// How.
        why: Unanswered,
    },
    /// The name has no text that begins as an entry does.
    #[error("{name} has no entry of a node list")]
    Missing {
        /// The name.
        name: String,
    },
    /// The root does not parse.
    #[error("the root of the list cannot be read")]
    Root(#[source] EntryTextError),
    /// Not signed by the key in the URL.
    #[error("the root of the list is not signed by the key in its URL")]
    Signature,
    /// Older than what was read before.
    #[error("the list went back from seq {known} to {offered}")]
    LowerSeq {
        /// Offered now.
        offered: u64,
        /// Read before.
        known: u64,
    },
    /// The text under a name is not the one that the name is the hash of.
    #[error("the entry under {name} is not the one that its name is the hash of")]
    Hash {
        /// The name.
        name: String,
    },
    /// An entry does not parse though it is signed for.
    #[error("the entry under {name} cannot be read")]
    Entry {
        /// The name.
        name: String,
        /// How.
        #[source]
        error: EntryTextError,
    },
    /// A link among records.
    #[error("{name} is a link among the records of the list")]
    LinkAmongRecords {
        /// The name.
        name: String,
    },
    /// A record among links.
    #[error("{name} is a record among the links of the list")]
    RecordAmongLinks {
        /// The name.
        name: String,
    },
    /// A branch in a branch, too often.
    #[error("the list is deeper than {limit} branches")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Too many entries.
    #[error("the list has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// Too many entries in this list and those read beside it.
    #[error("the lists have more than {limit} entries in all")]
    TooManyEntriesInAll {
        /// The limit.
        limit: usize,
    },
    /// Too many bytes.
    #[error("the list has more than {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
}

/// Why a name server gave no texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No answer in time.
    #[error("it took too long")]
    TimedOut,
    /// It answered with an error, or could not be reached.
    #[error("the name server failed")]
    Failed,
}

/// The texts under a name (the pieces of each joined), none if there is no such name.
pub type Answer = Result<Vec<String>, Unanswered>;

/// A name whose texts are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without the dot at its end.
    pub name: String,
    step: Step,
}

/// Something that came out of the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncEvent {
    /// A node of a list, as soon as it is proven to be in it.
    Found {
        /// The list.
        link: Link,
        /// The node.
        record: Record,
    },
    /// A list was read to its end, or not.
    Done {
        /// The list.
        link: Link,
        /// What it holds now, or why that is not known.
        outcome: Result<Arc<SyncedTree>, TreeFault>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Records,
    Links,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    link: Link,
    /// `None`: the root.
    below: Option<(Label, Side, usize)>,
    attempt: u8,
}

/// One tree under way.
#[derive(Debug)]
struct Walk {
    known: Option<Arc<SyncedTree>>,
    link_depth: usize,
    root: Option<Root>,
    records: Vec<Record>,
    links: Vec<Link>,
    /// Names met in either half, so that none is asked for twice.
    met: BTreeSet<Label>,
    skipped: usize,
    bytes: usize,
    /// Names to ask for or asked for.
    open: usize,
    done: bool,
}

/// Reads one list or several, and those that they link to, once.
///
/// Drive it with [`TreeSync::poll_question`] and [`TreeSync::handle_answer`]; after each of the latter take the
/// events. It is over when there are neither questions nor answers to wait for.
#[derive(Debug)]
pub struct TreeSync {
    limits: Limits,
    known: BTreeMap<Link, Arc<SyncedTree>>,
    walks: BTreeMap<Link, Walk>,
    queue: VecDeque<Step>,
    events: VecDeque<SyncEvent>,
    /// Entries named in all trees.
    entries: usize,
}

impl TreeSync {
    /// Begins to read `links`. `known` is what was read before: a list that did not change is not read again,
    /// and none may go back.
    pub fn new(
        links: impl IntoIterator<Item = Link>,
        known: BTreeMap<Link, Arc<SyncedTree>>,
        limits: Limits,
    ) -> Self {
        let (walks, queue, events) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        let mut sync = Self { limits, known, walks, queue, events, entries: 0 };
        for link in links {
            sync.follow(link, 0);
        }
        sync
    }

    /// The next name to ask for; several may be asked for at once.
    pub fn poll_question(&mut self) -> Option<Question> {
        let step = loop {
            let step = self.queue.pop_front()?;
            if self.walks.get(&step.link).is_some_and(|walk| !walk.done) {
                break step; // the questions of a tree that was given up are forgotten
            }
        };
        Some(Question { name: name_of(&step), step })
    }

    /// Takes the answer to a question.
    pub fn handle_answer(&mut self, question: Question, answer: Answer) {
        let Question { name, step } = question;
        let link = step.link.clone();
        let Some(walk) = self.walks.get_mut(&link).filter(|walk| !walk.done) else { return };
        let texts = match answer {
            Ok(texts) => texts,
            Err(_) if step.attempt + 1 < self.limits.attempts => {
                self.queue.push_back(Step { attempt: step.attempt + 1, ..step });
                return;
            }
            Err(why) => return self.finish(&link, Err(TreeFault::Unanswered { name, why })),
        };
        walk.open = walk.open.saturating_sub(1);
        let taken = match step.below {
            None => self.take_root(&link, name, &texts),
            Some((label, side, depth)) => self.take_entry(&link, &label, side, depth, name, &texts),
        };
        match taken {
            Ok(()) => self.finish_if_complete(&link),
            Err(fault) => self.finish(&link, Err(fault)),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SyncEvent> {
        self.events.pop_front()
    }

    /// Whether every list was read or given up.
    pub fn is_done(&self) -> bool {
        self.walks.values().all(|walk| walk.done)
    }

    fn follow(&mut self, link: Link, link_depth: usize) {
        let room = self.walks.len() < self.limits.trees && link_depth <= self.limits.link_depth;
        if !room || self.walks.contains_key(&link) {
            return; // lists may link to each other in circles
        }
        let walk = Walk {
            known: self.known.remove(&link),
            link_depth,
            root: None,
            records: Vec::new(),
            links: Vec::new(),
            met: BTreeSet::new(),
            skipped: 0,
            bytes: 0,
            open: 1,
            done: false,
        };
        self.walks.insert(link.clone(), walk);
        self.queue.push_back(Step { link, below: None, attempt: 0 });
    }

    fn take_root(&mut self, link: &Link, name: String, texts: &[String]) -> Result<(), TreeFault> {
        let text = texts.iter().find(|text| text.starts_with(ROOT)).ok_or(TreeFault::Missing { name })?;
        let root: Root = text.parse().map_err(TreeFault::Root)?;
        if !root.is_signed_by(&link.key) {
            return Err(TreeFault::Signature);
        }
        let Some(walk) = self.walks.get_mut(link) else { return Ok(()) };
        if let Some(known) = walk.known.clone() {
            if root.seq < known.root.seq {
                return Err(TreeFault::LowerSeq { offered: root.seq, known: known.root.seq });
            }
            if (&root.records, &root.links) == (&known.root.records, &known.root.links) {
                self.entries = self.entries.saturating_add(known.records.len());
                let unchanged = SyncedTree { root, ..(*known).clone() };
                self.finish(link, Ok(Arc::new(unchanged)));
                return Ok(());
            }
        }
        let (links, records) = (root.links.clone(), root.records.clone());
        walk.root = Some(root);
        self.ask_below(link, links, Side::Links, 0)?;
        self.ask_below(link, records, Side::Records, 0)
    }

    fn take_entry(
        &mut self,
        link: &Link,
        label: &Label,
        side: Side,
        depth: usize,
        name: String,
        texts: &[String],
    ) -> Result<(), TreeFault> {
        let Some(text) = texts.iter().find(|text| label.names(text)) else {
            let like_an_entry =
                |text: &String| [BRANCH, LINK, RECORD, ROOT].iter().any(|start| text.starts_with(start));
            let lie = texts.iter().any(like_an_entry);
            return Err(if lie { TreeFault::Hash { name } } else { TreeFault::Missing { name } });
        };
        let limit = self.limits.bytes;
        let Some(walk) = self.walks.get_mut(link) else { return Ok(()) };
        walk.bytes = walk.bytes.saturating_add(text.len());
        if walk.bytes > limit {
            return Err(TreeFault::TooManyBytes { limit });
        }
        match (text.parse::<Entry>(), side) {
            (Ok(Entry::Branch(children)), side) => {
                for child in children {
                    self.ask_below(link, child, side, depth + 1)?;
                }
                Ok(())
            }
            (Ok(Entry::Record(record)), Side::Records) => {
                walk.records.push((*record).clone());
                self.events.push_back(SyncEvent::Found { link: link.clone(), record: *record });
                Ok(())
            }
            (Ok(Entry::Link(other)), Side::Links) => {
                walk.links.push(other);
                Ok(())
            }
            (Ok(Entry::Link(_)), Side::Records) => Err(TreeFault::LinkAmongRecords { name }),
            (Ok(Entry::Record(_)), Side::Links) => Err(TreeFault::RecordAmongLinks { name }),
            // Of a later version of the standard, or a record of a scheme that we do not know: signed for, so
            // the publisher meant it.
            (Err(EntryTextError::Unknown | EntryTextError::Record(_)), _) => {
                walk.skipped += 1;
                Ok(())
            }
            (Err(error), _) => Err(TreeFault::Entry { name, error }),
        }
    }

    fn ask_below(&mut self, link: &Link, label: Label, side: Side, depth: usize) -> Result<(), TreeFault> {
        if depth > self.limits.depth {
            return Err(TreeFault::TooDeep { limit: self.limits.depth });
        }
        let Some(walk) = self.walks.get_mut(link) else { return Ok(()) };
        if !walk.met.insert(label.clone()) {
            return Ok(()); // the same entry again: a loop, or an empty half beside another
        }
        if walk.met.len() > self.limits.entries {
            return Err(TreeFault::TooManyEntries { limit: self.limits.entries });
        }
        self.entries += 1;
        if self.entries > self.limits.all_entries {
            return Err(TreeFault::TooManyEntriesInAll { limit: self.limits.all_entries });
        }
        walk.open += 1;
        self.queue.push_back(Step { link: link.clone(), below: Some((label, side, depth)), attempt: 0 });
        Ok(())
    }

    fn finish_if_complete(&mut self, link: &Link) {
        let Some(walk) = self.walks.get_mut(link).filter(|walk| !walk.done && walk.open == 0) else { return };
        let Some(root) = walk.root.take() else { return };
        let tree = SyncedTree {
            root,
            records: std::mem::take(&mut walk.records),
            links: std::mem::take(&mut walk.links),
            skipped: walk.skipped,
        };
        self.finish(link, Ok(Arc::new(tree)));
    }

    fn finish(&mut self, link: &Link, outcome: Result<Arc<SyncedTree>, TreeFault>) {
        let Some(walk) = self.walks.get_mut(link) else { return };
        walk.done = true;
        walk.met = BTreeSet::new();
        walk.records = Vec::new();
        let depth = walk.link_depth + 1;
        // A list that cannot be read now is still followed to where it led.
        let last = outcome.as_ref().ok().or(walk.known.as_ref()).cloned();
        self.events.push_back(SyncEvent::Done { link: link.clone(), outcome });
        for link in last.iter().flat_map(|tree| &tree.links) {
            self.follow(link.clone(), depth);
        }
    }
}

fn name_of(step: &Step) -> String {
    match &step.below {
        None => step.link.domain.clone(),
        Some((label, _, _)) => format!("{}.{}", label.to_string().to_ascii_lowercase(), step.link.domain),
    }
}

#[cfg(test)]
mod tests;
