//! Makes a signed tree from records and links, and the DNS records to publish it with.

use std::{collections::BTreeMap, fmt::Write};

use alloy_primitives::B256;
use secp256k1::SecretKey;

use super::{Entry, EntryTextError, Label, Link, Root};
use crate::Record;

/// Most names in a branch: with 26 characters each it stays within a UDP answer of 512 bytes (as geth's).
pub const MAX_CHILDREN: usize = 13;

/// Longest piece of a TXT record (RFC 1035).
const MAX_PIECE: usize = 255;

/// Time to live of the root: a change is seen soon.
const ROOT_TTL: u32 = 60;

/// Time to live of what never changes under its name.
const ENTRY_TTL: u32 = 86_900;

/// A complete, signed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    link: Link,
    root: Root,
    entries: BTreeMap<Label, String>,
    records: usize,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Not a domain name, or one so long that no hash fits before it.
    #[error("{domain:?} is not a domain name that a list can have")]
    Domain {
        /// The text.
        domain: String,
    },
}

impl Tree {
    /// Signs a tree at `domain`. Records go in the order of their node ids, so that a change of one moves
    /// little; of several records of one node the newest is kept.
    ///
    /// # Errors
    /// [`TreeError::Domain`]
    pub fn sign(
        secret: &SecretKey,
        domain: &str,
        seq: u64,
        records: impl IntoIterator<Item = Record>,
        links: impl IntoIterator<Item = Link>,
    ) -> Result<Self, TreeError> {
        let link = Link::new(secret, domain)
            .map_err(|_: EntryTextError| TreeError::Domain { domain: domain.chars().take(256).collect() })?;
        let mut newest: BTreeMap<B256, Record> = BTreeMap::new();
        for record in records {
            let id = record.node_id();
            if newest.get(&id).is_none_or(|known| known.seq() < record.seq()) {
                newest.insert(id, record);
            }
        }
        let mut links: Vec<String> = links.into_iter().map(|link| link.to_string()).collect();
        links.sort();
        links.dedup();
        let mut entries = BTreeMap::new();
        let records = newest.len();
        let e = grow(newest.into_values().map(|record| record.to_string()).collect(), &mut entries);
        let l = grow(links, &mut entries);
        Ok(Self { link, root: Root::sign(secret, e, l, seq), entries, records })
    }

    /// Its URL.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Its root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// How many nodes it lists.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Every TXT record, name (in lower case, as servers store them) and text. The root comes last: it is to
    /// be published when all that it names is there.
    pub fn txt_records(&self) -> Vec<(String, String)> {
        let domain = &self.link.domain;
        let below = self.entries.iter().map(|(label, text)| {
            (format!("{}.{domain}", label.to_string().to_ascii_lowercase()), text.clone())
        });
        below.chain([(domain.clone(), self.root.to_string())]).collect()
    }

    /// The same in the form of a zone file (RFC 1035), to be included in the zone that the domain lies in.
    pub fn zone(&self) -> String {
        let mut zone = format!("; {}\n; seq {}, {} nodes\n", self.link, self.root.seq, self.records);
        for (name, text) in self.txt_records() {
            let ttl = if name == self.link.domain { ROOT_TTL } else { ENTRY_TTL };
            let _ = write!(zone, "{name}. {ttl} IN TXT"); // writing to a string cannot fail
            let mut rest = text.as_str();
            while !rest.is_empty() {
                // Entries are ASCII: every index is a boundary.
                let (piece, more) = rest.split_at_checked(MAX_PIECE).unwrap_or((rest, ""));
                let _ = write!(zone, " \"{piece}\"");
                rest = more;
            }
            zone.push('\n');
        }
        zone
    }
}

/// Hangs `texts` under branches until one entry is left, which it returns the name of; none gives an empty
/// branch.
fn grow(mut texts: Vec<String>, entries: &mut BTreeMap<Label, String>) -> Label {
    loop {
        if let [only] = texts.as_slice() {
            return add(only.clone(), entries);
        }
        if texts.is_empty() {
            return add(Entry::Branch(Vec::new()).to_string(), entries);
        }
        texts = texts
            .chunks(MAX_CHILDREN)
            .map(|chunk| match chunk {
                [alone] => alone.clone(), // one left over needs no branch of its own (as in geth's trees)
                chunk => {
                    let children = chunk.iter().map(|text| add(text.clone(), entries)).collect();
                    Entry::Branch(children).to_string()
                }
            })
            .collect();
    }
}

fn add(text: String, entries: &mut BTreeMap<Label, String>) -> Label {
    let label = Label::of(&text);
    entries.insert(label.clone(), text);
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Contents;

    fn secret() -> SecretKey {
        SecretKey::from_secret_bytes([7; 32]).expect("valid secret")
    }

    fn record(byte: u8) -> Record {
        let secret = SecretKey::from_secret_bytes([byte; 32]).expect("valid secret");
        Record::sign(&secret, 1, &Contents::default()).expect("fits").record
    }

    fn tree(records: &[&str], seq: u64) -> Tree {
        let records = records.iter().map(|text| text.parse::<Record>().expect("valid"));
        Tree::sign(&secret(), "nodes.example.org", seq, records, []).expect("a name")
    }

    /// les.mainnet.ethdisco.net at ethereum/discv4-dns-lists 4b867605.
    const MAINNET: &str = "enr:-Km4QNwOvz2bh-0XqeN7AgZ2DAtc2aykNst0TgMgdSnjBrVUbFwtJxtZt9NOnbl8ahCh9O8BE9UzgaUz6uBZQJfW\
        XfGGAYztsMWKg2V0aMfGhNzpbC2AgmlkgnY0gmlwhBLE0IqDbGVzwQGJc2VjcDI1NmsxoQMeQd4oukBAajKqrGyZDuU1V3-0AovsWnI2ArtlxZ3P\
        z4RzbmFwwIN0Y3CCdl-DdWRwgnZf";

    /// les.rinkeby.ethdisco.net at ethereum/discv4-dns-lists 0007dee8, not in the order of the tree.
    const RINKEBY: [&str; 6] = [
        "enr:-Km4QHcfvcCjiVYHGVCiS0XkabRmKoOALWVdCXquBZrV8N5-bMizmxvgrS-0vW_NtL5ZaM4wTZx_XXktwJcrhWhKJvaGAX1ORRweg2V0aMfGhI4p8vOAgmlkgnY0gmlwhEBHmTSDbGVzwQGJc2VjcDI1NmsxoQNl9g4uFgjPXMWWqyx8zqRexDNyoZh3ZMbimu4oNz8v8YRzbmFwwIN0Y3CCdl-DdWRwgnZf",
        "enr:-KO4QLRdXwSAFNQk8dWpPyMDh_OjogT2Oz0enST9Cx5JKahfA1tnr5_m0t6fJ07e3auCIYXzU7_4t-jZ6qZ3ma8aNAVig2V0aMfGhI4p8vOAgmlkgnY0gmlwhA_sIKaDbGVzwQGJc2VjcDI1NmsxoQMo51WYwR1_vvZszZzSKD-prEGqqzVtQpAH5YWV-5F574RzbmFwwIN0Y3CCdl-DdWRwgnZf",
        "enr:-KW4QCbnGBrVHWsfxEQGXqQzZIjztYvtNvchrugoPaxhqSKpNpBYSQQkVtC3plVYvG3YPXNINl1ud4Ubp0h4NWxrHN-CgvqDZXRox8aEjiny84CCaWSCdjSCaXCEn1kc04NsZXPBAYlzZWNwMjU2azGhArayiJCwBnQ2gMUuZODRbbV_KBJIhVlfoDpWK-HSvw86hHNuYXDAg3RjcIJ2X4N1ZHCCdl8",
        "enr:-Km4QMrl9jj_Z7c55a46fl6Im7yAQeV416OGv-T9ruUMHND_e8f1IYkPZ8H6sTlHQb2dFrTTF4KD2wA6TwLKwSnwAF-GAYCUcioag2V0aMfGhI4p8vOAgmlkgnY0gmlwhNWIWmCDbGVzwQGJc2VjcDI1NmsxoQIeV9_61Ub7oihc289gmyo4Y9faiSnfUtgz2WB4lgn8hoRzbmFwwIN0Y3CCdl-DdWRwgnZf",
        "enr:-KW4QN3kMJm47fXwf3WQabcDeupZgEHq57NXRl6Pe9YXKifxIzWEkHAZlSINjITFTzMSp1q3MCPB6ePoeZKatpdnlQGCJ0uDZXRox8aEjiny84CCaWSCdjSCaXCENKkqZYNsZXPBAYlzZWNwMjU2azGhA6JKx8VITvTtDF6y02Yguk5KoTuMhGhOG0qrDOvqKuRchHNuYXDAg3RjcIJ2X4N1ZHCCdl8",
        "enr:-KS4QCwoHp__qe1nAkNZkOBJiw9l7UFSdXCPX0o55Ga0e54NSK2Qz7SM06hxuapmuzKimkFdHWgwXdm0lLcBBjkiSMeBmINldGjHxoSOKfLzgIJpZIJ2NIJpcIQNMGWGg2xlc8EBiXNlY3AyNTZrMaEDVzKVsmUhF5kqr2T1VUBbx33mJWfYgMcI7DUOeF9rNbCEc25hcMCDdGNwgnZfg3VkcIJ2Xw",
    ];

    #[test]
    fn a_published_list_of_one_is_rebuilt_and_its_signature_holds() {
        let tree = tree(&[MAINNET], 5777);
        let published: Link =
            "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@les.mainnet.ethdisco.net"
                .parse()
                .expect("a URL");

        let Root { records, links, seq, .. } = tree.root();
        let theirs = format!(
            "enrtree-root:v1 e={records} l={links} seq={seq} \
             sig=CYAOlEWtoLZAxHRPbgF-IWMjra_GOdTLuiR56lvC80Vj94lcnMHrwXDiU0p9CCM_mwMNv_4JzcKOzi51UE3k6QE"
        );

        assert_eq!(records.to_string(), "J2WFAHUMKPEWCWRWDM6DV7M2ZY");
        assert_eq!(links.to_string(), "FDXN3SN67NA5DKA4J2GOK7BVQI");
        assert!(theirs.parse::<Root>().expect("a root").is_signed_by(&published.key));
    }

    #[test]
    fn a_published_list_of_six_is_rebuilt() {
        assert_eq!(tree(&RINKEBY, 3145).root().records.to_string(), "OAIXISOYV36U7TGFJGINOC42G4");
    }

    #[test]
    fn every_name_is_the_hash_of_its_text_and_every_child_is_there() {
        for count in [0, 1, 2, 13, 14, 27, 200] {
            let records = (1..=count).map(record);
            let tree = Tree::sign(&secret(), "nodes.example.org", 1, records, []).expect("a name");

            let root = [&tree.root.records, &tree.root.links];
            let mut reached = Vec::new();
            let mut todo: Vec<Label> = root.into_iter().cloned().collect();
            while let Some(label) = todo.pop() {
                let text = &tree.entries[&label];
                assert!(label.names(text) && text.len() <= 370, "{text}");
                if let Entry::Branch(children) = text.parse().expect("an entry") {
                    assert!(children.len() <= MAX_CHILDREN);
                    todo.extend(children);
                }
                reached.push(label);
            }
            reached.sort();
            reached.dedup(); // both halves are the same if both are empty
            assert_eq!((reached.len(), tree.records()), (tree.entries.len(), usize::from(count)));
        }
    }

    #[test]
    fn order_and_copies_do_not_matter_and_the_newest_record_stays() {
        let key = SecretKey::from_secret_bytes([1; 32]).expect("valid secret");
        let newer = Record::sign(&key, 2, &Contents::default()).expect("fits").record;
        let (one, two) = (record(1), record(2));

        let sign = |records: Vec<Record>| {
            Tree::sign(&secret(), "nodes.example.org", 1, records, []).expect("a name")
        };

        assert_eq!(sign(vec![one, two.clone(), newer.clone(), two.clone()]), sign(vec![two, newer]));
    }

    #[test]
    fn zone_has_short_pieces_lower_case_names_and_the_root_last() {
        let zone = tree(&RINKEBY, 3).zone();

        let lines: Vec<&str> = zone.lines().filter(|line| !line.starts_with(';')).collect();
        assert_eq!(lines.len(), 9);
        assert!(lines[8].starts_with("nodes.example.org. 60 IN TXT \"enrtree-root:v1 e="));
        for line in lines {
            let (name, rest) = line.split_once(' ').expect("a name");
            assert_eq!(name, name.to_lowercase());
            assert!(rest.split('"').all(|piece| piece.len() <= 255), "{line}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for domain in ["", "a b", &"a".repeat(64), &"abc.".repeat(60)] {
            assert!(Tree::sign(&secret(), domain, 1, [], []).is_err(), "{domain}");
        }
    }
}
