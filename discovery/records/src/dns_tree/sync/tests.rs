//! Good and lying trees, read from a map in place of the DNS.

use secp256k1::SecretKey;

use super::*;
use crate::{Contents, dns_tree::Tree};

type Zone = BTreeMap<String, Vec<String>>;
type Outcomes = BTreeMap<String, Result<Arc<SyncedTree>, TreeFault>>;

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_secret_bytes([byte; 32]).expect("valid secret")
}

fn record(number: u8) -> Record {
    Record::sign(&secret(number), 1, &Contents::default()).expect("fits").record
}

fn tree(domain: &str, seq: u64, records: u8, links: &[Link]) -> Tree {
    let records = (1..=records).map(record);
    Tree::sign(&secret(99), domain, seq, records, links.iter().cloned()).expect("a name")
}

fn link(domain: &str) -> Link {
    Link::new(&secret(99), domain).expect("a name")
}

fn publish(trees: &[&Tree]) -> Zone {
    let all = trees.iter().flat_map(|tree| tree.txt_records());
    all.map(|(name, text)| (name, vec![text])).collect()
}

/// Answers every question from `zone`; gives the outcomes by domain, and how many questions it took.
fn drive(sync: &mut TreeSync, zone: &Zone) -> (Outcomes, usize) {
    let mut asked = 0;
    let mut outcomes = Outcomes::new();
    while let Some(question) = sync.poll_question() {
        asked += 1;
        let answer = zone.get(&question.name).cloned().unwrap_or_default();
        sync.handle_answer(question, Ok(answer));
        while let Some(event) = sync.poll_event() {
            if let SyncEvent::Done { link, outcome } = event {
                assert!(outcomes.insert(link.domain, outcome).is_none(), "told twice");
            }
        }
    }
    assert!(sync.is_done());
    (outcomes, asked)
}

fn read(zone: &Zone, limits: Limits) -> Result<Arc<SyncedTree>, TreeFault> {
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), limits);
    drive(&mut sync, zone).0.remove("a.example").expect("an outcome")
}

#[test]
fn a_tree_is_read_as_it_was_made() {
    for count in [0, 1, 13, 14, 40] {
        let made = tree("a.example", 3, count, &[]);

        let read = read(&publish(&[&made]), Limits::default()).expect("a good tree");

        let mut ids: Vec<_> = read.records.iter().map(Record::node_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), read.root.seq, read.skipped), (usize::from(count), 3, 0));
    }
}

#[test]
fn lists_that_link_to_each_other_are_read_once() {
    let a = tree("a.example", 1, 2, &[link("b.example")]);
    let b = tree("b.example", 1, 3, &[link("a.example"), link("b.example")]);
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), Limits::default());

    let (outcomes, asked) = drive(&mut sync, &publish(&[&a, &b]));

    assert!(outcomes.values().all(Result::is_ok));
    assert_eq!((outcomes.len(), asked), (2, 5 + 8));
}

#[test]
fn an_endless_chain_of_lists_ends() {
    let names: Vec<String> = (0..20).map(|number| format!("n{number}.example")).collect();
    let trees: Vec<Tree> = names.windows(2).map(|pair| tree(&pair[0], 1, 1, &[link(&pair[1])])).collect();
    let zone = publish(&trees.iter().collect::<Vec<_>>());
    let mut sync = TreeSync::new([link("n0.example")], BTreeMap::new(), Limits::default());

    let (outcomes, _) = drive(&mut sync, &zone);

    assert_eq!(outcomes.len(), 1 + Limits::default().link_depth);
}

#[test]
fn an_unchanged_list_costs_one_question() {
    let first = tree("a.example", 1, 40, &[]);
    let known = read(&publish(&[&first]), Limits::default()).expect("good");
    let again = Tree::sign(&secret(99), "a.example", 2, known.records.clone(), []).expect("a name");
    let mut sync = TreeSync::new(
        [link("a.example")],
        BTreeMap::from([(link("a.example"), Arc::clone(&known))]),
        Limits::default(),
    );

    let (mut outcomes, asked) = drive(&mut sync, &publish(&[&again]));

    let now = outcomes.remove("a.example").expect("an outcome").expect("good");
    assert_eq!((asked, now.root.seq), (1, 2));
    assert!(now.records == known.records);
}

#[test]
fn a_list_may_not_go_back() {
    let known = read(&publish(&[&tree("a.example", 5, 1, &[])]), Limits::default()).expect("good");
    let older = publish(&[&tree("a.example", 4, 2, &[])]);
    let mut sync =
        TreeSync::new([link("a.example")], BTreeMap::from([(link("a.example"), known)]), Limits::default());

    let (outcomes, asked) = drive(&mut sync, &older);

    assert_eq!(outcomes["a.example"], Err(TreeFault::LowerSeq { offered: 4, known: 5 }));
    assert_eq!(asked, 1);
}

#[test]
fn another_ones_signature_is_refused() {
    let theirs = Tree::sign(&secret(98), "a.example", 1, [record(1)], []).expect("a name");

    assert_eq!(read(&publish(&[&theirs]), Limits::default()), Err(TreeFault::Signature));
}

#[test]
fn a_swapped_entry_is_refused_and_a_stray_text_is_not_minded() {
    let made = tree("a.example", 1, 3, &[]);
    let mut zone = publish(&[&made]);
    for texts in zone.values_mut() {
        texts.insert(0, "v=spf1 -all".to_owned());
    }
    assert!(read(&zone, Limits::default()).is_ok());

    let name = zone.keys().find(|name| zone[*name][1].starts_with(RECORD)).expect("a record").clone();
    zone.insert(name.clone(), vec![record(77).to_string()]);
    assert_eq!(read(&zone, Limits::default()), Err(TreeFault::Hash { name: name.clone() }));

    zone.remove(&name);
    assert_eq!(read(&zone, Limits::default()), Err(TreeFault::Missing { name }));
}

/// A tree whose entries are given as texts, signed by the right key.
fn forge(e: &str, l: &str, more: &[String]) -> Zone {
    let root = Root::sign(&secret(99), Label::of(e), Label::of(l), 1);
    let mut zone = Zone::from([("a.example".to_owned(), vec![root.to_string()])]);
    for text in [e.to_owned(), l.to_owned()].iter().chain(more) {
        let name = format!("{}.a.example", Label::of(text).to_string().to_lowercase());
        zone.insert(name, vec![text.clone()]);
    }
    zone
}

const EMPTY: &str = "enrtree-branch:";

#[test]
fn entries_in_the_wrong_half_are_refused() {
    let other = link("b.example").to_string();

    let links = read(&forge(&other, EMPTY, &[]), Limits::default());
    let records = read(&forge(EMPTY, &record(1).to_string(), &[]), Limits::default());

    assert!(matches!(links, Err(TreeFault::LinkAmongRecords { .. })));
    assert!(matches!(records, Err(TreeFault::RecordAmongLinks { .. })));
}

#[test]
fn entries_of_the_future_are_counted_and_malformed_ones_refused() {
    let future = read(&forge("enrtree-shiny:1", EMPTY, &[]), Limits::default()).expect("good");
    let broken = read(&forge("enrtree-branch:!", EMPTY, &[]), Limits::default());

    assert_eq!((future.records.len(), future.skipped), (0, 1));
    assert!(matches!(broken, Err(TreeFault::Entry { .. })));
}

#[test]
fn depth_entries_and_bytes_are_bounded() {
    let mut texts = vec![record(1).to_string()];
    for _ in 0..20 {
        let last = texts.last().expect("one at least");
        texts.push(format!("{BRANCH}{}", Label::of(last)));
    }
    let top = texts.pop().expect("one at least");
    let deep = forge(&top, EMPTY, &texts);
    let wide = publish(&[&tree("a.example", 1, 60, &[])]);

    let limits = Limits::default();
    assert_eq!(read(&deep, limits), Err(TreeFault::TooDeep { limit: limits.depth }));
    assert_eq!(read(&wide, Limits { entries: 50, ..limits }), Err(TreeFault::TooManyEntries { limit: 50 }));
    assert_eq!(read(&wide, Limits { bytes: 5000, ..limits }), Err(TreeFault::TooManyBytes { limit: 5000 }));
}

/// A tree of 10^6 nodes need not be made: the branches alone are over the limit.
#[test]
fn a_million_nodes_cost_no_more_than_the_limit() {
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), Limits::default());
    // Every name below the root is answered with a branch of new names, made up as they are asked for:
    // their hashes cannot be right, so the forger's first entry is its last.
    let root = Root::sign(&secret(99), Label::of("x"), Label::of(EMPTY), 1).to_string();
    let mut asked = 0;
    while let Some(question) = sync.poll_question() {
        asked += 1;
        let text = if question.name == "a.example" {
            root.clone()
        } else {
            format!("{BRANCH}{}", Label::of(&asked.to_string()))
        };
        sync.handle_answer(question, Ok(vec![text]));
    }
    assert!(sync.is_done() && asked == 2, "{asked}");

    // Its publisher can sign for as many as it likes.
    let leaves: Vec<String> = (0..400_u32).map(|number| format!("leaf {number}")).collect();
    let branches: Vec<String> = leaves
        .chunks(20)
        .map(|leaves| {
            let labels: Vec<String> = leaves.iter().map(|leaf| Label::of(leaf).to_string()).collect();
            format!("{BRANCH}{}", labels.join(","))
        })
        .collect();
    let labels: Vec<String> = branches.iter().map(|text| Label::of(text).to_string()).collect();
    let top = format!("{BRANCH}{}", labels.join(","));
    let zone = forge(&top, EMPTY, &[branches, leaves].concat());
    let mut sync =
        TreeSync::new([link("a.example")], BTreeMap::new(), Limits { entries: 100, ..Limits::default() });

    let (outcomes, asked) = drive(&mut sync, &zone);

    assert_eq!(outcomes["a.example"], Err(TreeFault::TooManyEntries { limit: 100 }));
    assert!(asked <= 100);
}

#[test]
fn a_silent_server_is_asked_a_few_times() {
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), Limits::default());
    let mut asked = 0;
    while let Some(question) = sync.poll_question() {
        asked += 1;
        sync.handle_answer(question, Err(Unanswered::TimedOut));
    }

    let fault = TreeFault::Unanswered { name: "a.example".to_owned(), why: Unanswered::TimedOut };
    let done = SyncEvent::Done { link: link("a.example"), outcome: Err(fault) };
    assert_eq!((asked, sync.poll_event()), (3, Some(done)));
}

#[test]
fn nodes_are_told_before_their_tree_is_complete() {
    let made = tree("a.example", 1, 30, &[]);
    let zone = publish(&[&made]);
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), Limits::default());
    let mut found = 0;
    while found == 0 {
        let question = sync.poll_question().expect("not over yet");
        let answer = zone[&question.name].clone();
        sync.handle_answer(question, Ok(answer));
        while let Some(event) = sync.poll_event() {
            found += usize::from(matches!(event, SyncEvent::Found { .. }));
        }
    }

    assert!(!sync.is_done());
}

/// Labels of entries that need not exist: who promises them has not made them.
fn promises(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| Label::of(&format!("{of}/{number}")).to_string()).collect()
}

#[test]
fn a_list_that_promises_a_million_nodes_is_given_up_at_the_limit() {
    // Three levels of 36 names each are made, which promise 36^4 nodes and more below.
    const FANOUT: usize = 36;
    let grow = |level: &[String]| -> (Vec<String>, Vec<String>) {
        let texts: Vec<String> =
            level.chunks(FANOUT).map(|labels| format!("{BRANCH}{}", labels.join(","))).collect();
        let labels = texts.iter().map(|text| Label::of(text).to_string()).collect();
        (texts, labels)
    };
    let bottom = promises("node", FANOUT.pow(3));
    let (third, labels) = grow(&bottom);
    let (second, labels) = grow(&labels);
    let (top, _) = grow(&labels);
    let zone = forge(&top[0], EMPTY, &[second, third].concat());
    let limits = Limits::default();
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), limits);

    let (outcomes, asked) = drive(&mut sync, &zone);

    assert_eq!(outcomes["a.example"], Err(TreeFault::TooManyEntries { limit: limits.entries }));
    assert!(asked <= limits.entries / FANOUT + FANOUT, "{asked} questions");
}

#[test]
fn lists_that_stay_below_the_limit_together_pass_another_one() {
    let trees: Vec<Tree> = (0..4).map(|number| tree(&format!("n{number}.example"), 1, 10, &[])).collect();
    let zone = publish(&trees.iter().collect::<Vec<_>>());
    let links = trees.iter().map(|tree| tree.link().clone());
    let limits = Limits { all_entries: 30, ..Limits::default() };
    let mut sync = TreeSync::new(links, BTreeMap::new(), limits);

    let (outcomes, asked) = drive(&mut sync, &zone);

    let refused =
        outcomes.values().filter(|outcome| **outcome == Err(TreeFault::TooManyEntriesInAll { limit: 30 }));
    assert!(refused.count() >= 1 && asked <= 30 + 4, "{outcomes:?}");
}

#[test]
fn an_entry_under_names_of_every_length_counts_as_often() {
    let text = record(1).to_string();
    let hash = alloy_primitives::keccak256(&text);
    let labels: Vec<String> = (12..=32).map(|length| Label(hash[..length].to_vec()).to_string()).collect();
    let top = format!("{BRANCH}{}", labels.join(","));
    let mut zone = forge(&top, EMPTY, &[]);
    for label in &labels {
        zone.insert(format!("{}.a.example", label.to_lowercase()), vec![text.clone()]);
    }

    assert_eq!(
        read(&zone, Limits { entries: 20, ..Limits::default() }),
        Err(TreeFault::TooManyEntries { limit: 20 })
    );
}

#[test]
fn a_branch_that_leads_back_to_itself_cannot_be_had() {
    // Its text would have to hold its own hash; whoever serves one under that name lies.
    let own = Label::of("a loop");
    let text = format!("{BRANCH}{own}");
    let mut zone = forge(EMPTY, EMPTY, &[]);
    let root = Root::sign(&secret(99), own.clone(), Label::of(EMPTY), 1).to_string();
    zone.insert("a.example".to_owned(), vec![root]);
    let name = format!("{}.a.example", own.to_string().to_lowercase());
    zone.insert(name.clone(), vec![text]);

    assert_eq!(read(&zone, Limits::default()), Err(TreeFault::Hash { name }));
}

#[test]
fn a_root_where_an_entry_belongs_and_an_entry_where_the_root_does_are_refused() {
    let root = Root::sign(&secret(99), Label::of(EMPTY), Label::of(EMPTY), 7).to_string();
    let below = read(&forge(&root, EMPTY, &[]), Limits::default()).expect("signed for, and nothing");
    assert_eq!((below.root.seq, below.records.len(), below.skipped), (1, 0, 1));

    for text in [record(1).to_string(), EMPTY.to_owned(), link("b.example").to_string(), "v=spf1".to_owned()]
    {
        let zone = Zone::from([("a.example".to_owned(), vec![text])]);
        let name = "a.example".to_owned();
        assert_eq!(read(&zone, Limits::default()), Err(TreeFault::Missing { name }));
    }
}

#[test]
fn texts_of_any_length_and_number_are_named_and_not_followed() {
    let huge = format!("{BRANCH}{}", promises("node", 2000).join(","));
    let signed_for = read(&forge(&huge, EMPTY, &[]), Limits::default());
    let Err(TreeFault::Entry { error: EntryTextError::TooLong { length }, .. }) = signed_for else {
        panic!("{signed_for:?}")
    };
    assert_eq!(length, huge.len());

    let root = format!("{ROOT} {}", "e=A ".repeat(10_000));
    let zone = Zone::from([("a.example".to_owned(), vec![root.clone()])]);
    let fault = TreeFault::Root(EntryTextError::TooLong { length: root.len() });
    assert_eq!(read(&zone, Limits::default()), Err(fault));

    let made = tree("a.example", 1, 1, &[]);
    let mut zone = publish(&[&made]);
    for texts in zone.values_mut() {
        texts.splice(0..0, vec!["v=spf1 -all".to_owned(); 10_000]);
    }
    assert!(read(&zone, Limits::default()).is_ok());
}

#[test]
fn an_old_tree_is_kept_whatever_is_wrong_with_the_new_one() {
    let good = tree("a.example", 5, 3, &[link("b.example")]);
    let b = tree("b.example", 1, 2, &[]);
    let both = publish(&[&good, &b]);
    let mut sync = TreeSync::new([link("a.example")], BTreeMap::new(), Limits::default());
    let known = drive(&mut sync, &both).0.remove("a.example").expect("an outcome").expect("good");
    let forged = Tree::sign(&secret(98), "a.example", 6, [record(1)], []).expect("a name");
    let zone = publish(&[&b, &forged]);
    let mut sync =
        TreeSync::new([link("a.example")], BTreeMap::from([(link("a.example"), known)]), Limits::default());

    let (outcomes, _) = drive(&mut sync, &zone);

    // The list that the old tree led to is read all the same.
    assert_eq!(outcomes["a.example"], Err(TreeFault::Signature));
    assert!(outcomes["b.example"].is_ok());
}
