//! Entries of node lists in the DNS, and the reading of whole lists from a name server that does as it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use causeway_records::{
    Contents, Record,
    dns_tree::{
        Answer, Entry, Label, Limits, Link, MAX_ENTRY_TEXT, Root, SyncEvent, SyncedTree, TreeSync, Unanswered,
    },
};
use secp256k1::SecretKey;

use crate::pieces::Pieces;

/// Lists that can link to each other; the first is the one that is read.
const DOMAINS: [&str; 3] = ["a.example", "b.example", "c.example"];

/// Most texts of one input.
const TEXTS: usize = 40;

/// ```text
/// form(1), then
/// 0: an entry
/// else: limits(4) count(1), texts: kind(1) with
///         0: text(sized)  1: names(1) index(1)…  2: record(1)  3: domain(1)  else: names of nothing
///       roots: for each domain signed?(1) records(1) links(1) seq(1)
///       for each question: what is answered(1)
/// ```
/// What is read is written alike. However a name server answers: reading ends within its limits, each list is told
/// of once, and a list is told as read only if its publisher signed for all of it.
pub fn dns_entry(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    if pieces.byte() == 0 {
        let text = String::from_utf8_lossy(pieces.rest()).into_owned();
        read(&text);
    } else {
        let lists = Lists::of(&mut pieces);
        let known = lists.sync(BTreeMap::new(), &mut pieces);
        // Read again: nothing may go back, and what is known costs one question.
        lists.sync(known, &mut pieces);
    }
}

fn read(text: &str) {
    if let Ok(entry) = text.parse::<Entry>() {
        assert!(text.len() <= MAX_ENTRY_TEXT, "{} bytes were read", text.len());
        assert_eq!(entry.to_string().parse(), Ok(entry), "written otherwise than read");
    }
    if let Ok(root) = text.parse::<Root>() {
        assert_eq!(root.to_string(), text, "a root is read in one spelling only");
    }
    if let Ok(link) = text.parse::<Link>() {
        assert_eq!(link.to_string().parse(), Ok(link), "written otherwise than read");
    }
    if let Ok(label) = text.parse::<Label>() {
        assert_eq!(label.to_string(), text, "written otherwise than read");
    }
    assert!(Label::of(text).names(text));
}

/// A secret for every byte: 32 zeroes or 0xff are none.
fn secret(byte: u8) -> SecretKey {
    SecretKey::from_secret_bytes([1 + byte % 250; 32]).expect("a valid secret")
}

fn link(domain: &str) -> Link {
    Link::new(&secret(99), domain).expect("a name")
}

struct Lists {
    limits: Limits,
    texts: Vec<String>,
    roots: BTreeMap<String, String>,
}

impl Lists {
    fn of(pieces: &mut Pieces<'_>) -> Self {
        let [trees, entries, depth, bytes]: [u8; 4] = pieces.array();
        let limits = Limits {
            trees: usize::from(trees % 4),
            link_depth: usize::from(trees / 4 % 4),
            entries: usize::from(entries),
            all_entries: usize::from(entries) * 2,
            depth: usize::from(depth % 10),
            bytes: usize::from(bytes) * 64,
            attempts: 1 + depth / 10 % 3,
        };
        let mut texts = vec!["enrtree-branch:".to_owned()];
        let count = usize::from(pieces.byte()).min(TEXTS);
        for _ in 0..count {
            texts.push(text(pieces, &texts));
        }
        let mut roots = BTreeMap::new();
        for domain in DOMAINS {
            let [signed, records, links, seq]: [u8; 4] = pieces.array();
            let label = |index: u8| Label::of(&texts[usize::from(index) % texts.len()]);
            let signer = secret(if signed == 255 { 98 } else { 99 });
            let root = Root::sign(&signer, label(records), label(links), seq.into());
            roots.insert(domain.to_owned(), root.to_string());
        }
        Self { limits, texts, roots }
    }

    /// The honest answer.
    fn answer(&self, name: &str) -> Vec<String> {
        if let Some(root) = self.roots.get(name) {
            return vec![root.clone()];
        }
        let label = name.split('.').next().unwrap_or_default().to_ascii_uppercase().parse::<Label>();
        let named = |text: &&String| label.as_ref().is_ok_and(|label| label.names(text));
        self.texts.iter().filter(named).cloned().collect()
    }

    fn sync(&self, known: Known, pieces: &mut Pieces<'_>) -> Known {
        let limits = self.limits;
        let seqs: BTreeMap<Link, u64> =
            known.iter().map(|(link, tree)| (link.clone(), tree.root.seq)).collect();
        let mut sync = TreeSync::new([link(DOMAINS[0])], known, limits);
        let mut now = Known::new();
        let mut told = BTreeSet::new();
        let (mut asked, mut found) = (0, 0);
        loop {
            while let Some(event) = sync.poll_event() {
                match event {
                    SyncEvent::Found { link, .. } => {
                        assert!(!told.contains(&link), "a node of a list that is over");
                        found += 1;
                    }
                    SyncEvent::Done { link, outcome } => {
                        assert!(told.insert(link.clone()), "{link} is told twice");
                        if let Ok(tree) = outcome {
                            check(&link, &tree, limits);
                            assert!(seqs.get(&link).is_none_or(|seq| *seq <= tree.root.seq), "it went back");
                            now.insert(link, tree);
                        }
                    }
                }
            }
            let Some(question) = sync.poll_question() else { break };
            asked += 1;
            let answer = self.lie(&question.name, pieces);
            sync.handle_answer(question, answer);
        }
        assert!(sync.is_done(), "nothing is asked, and it is not over");
        assert!(told.len() <= limits.trees, "{} lists", told.len());
        assert!(found <= limits.all_entries, "{found} nodes");
        let most = (limits.trees + limits.all_entries) * usize::from(limits.attempts);
        assert!(asked <= most, "{asked} questions, at most {most}");
        now
    }

    /// What the name server says.
    fn lie(&self, name: &str, pieces: &mut Pieces<'_>) -> Answer {
        let honest = self.answer(name);
        match pieces.byte() {
            0..=200 => Ok(honest),
            201..=210 => Err(Unanswered::TimedOut),
            211..=220 => Err(Unanswered::Failed),
            221..=230 => Ok(Vec::new()),
            231..=240 => Ok([self.texts.clone(), honest].concat()),
            _ => Ok(vec![self.texts[usize::from(pieces.byte()) % self.texts.len()].clone()]),
        }
    }
}

type Known = BTreeMap<Link, Arc<SyncedTree>>;

fn check(link: &Link, tree: &SyncedTree, limits: Limits) {
    assert!(tree.root.is_signed_by(&link.key), "a root that its publisher did not sign");
    let held = tree.records.len() + tree.links.len() + tree.skipped;
    assert!(held <= limits.entries, "{held} entries, at most {}", limits.entries);
}

fn text(pieces: &mut Pieces<'_>, before: &[String]) -> String {
    match pieces.byte() {
        0 => String::from_utf8_lossy(pieces.sized()).into_owned(),
        1 => {
            let names = pieces.byte() % 40;
            let index = |pieces: &mut Pieces<'_>| usize::from(pieces.byte()) % before.len();
            let labels: Vec<String> =
                (0..names).map(|_| Label::of(&before[index(pieces)]).to_string()).collect();
            format!("enrtree-branch:{}", labels.join(","))
        }
        2 => {
            let record = Record::sign(&secret(pieces.byte()), 1, &Contents::default());
            record.expect("fits").record.to_string()
        }
        3 => link(DOMAINS[usize::from(pieces.byte()) % DOMAINS.len()]).to_string(),
        other => {
            let labels: Vec<String> =
                (0..other % 40).map(|number| Label::of(&format!("{other}/{number}")).to_string()).collect();
            format!("enrtree-branch:{}", labels.join(","))
        }
    }
}
