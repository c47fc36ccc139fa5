//! Clique: signers, votes, epochs, difficulty.

use std::collections::BTreeMap;

use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

use super::*;
use crate::vectors::{self, decoded};

/// Signers by letter, each with a key of its own.
#[derive(Default)]
struct Pool {
    keys: BTreeMap<char, SecretKey>,
}

impl Pool {
    fn key(&mut self, name: char) -> SecretKey {
        let fresh = || SecretKey::from_secret_bytes(keccak256([name as u8]).0).expect("a key");
        *self.keys.entry(name).or_insert_with(fresh)
    }

    fn address(&mut self, name: char) -> Address {
        if name == '-' {
            return Address::ZERO;
        }
        let key = self.key(name);
        let [_, point @ ..] = PublicKey::from_secret_key(&key).serialize_uncompressed();
        crate::seal::address(&causeway_wire::NodeKey(point.into()))
    }

    fn addresses(&mut self, names: &str) -> Vec<Address> {
        let mut addresses: Vec<Address> = names.chars().map(|name| self.address(name)).collect();
        addresses.sort();
        addresses
    }

    fn extra(&mut self, signers: &str) -> Bytes {
        let mut extra = vec![0; VANITY];
        extra.extend(self.addresses(signers).iter().flatten());
        extra.extend([0; SEAL]);
        extra.into()
    }

    fn seal(&mut self, signer: char, header: &mut Header) {
        let digest = Message::from_digest(clique_seal_hash(header).0);
        let (id, compact) =
            RecoverableSignature::sign_ecdsa_recoverable(digest, &self.key(signer)).serialize_compact();
        let mut extra = header.extra_data.to_vec();
        let seal = extra.len() - SEAL;
        extra[seal..seal + 64].copy_from_slice(&compact);
        extra[seal + 64] = u8::from(id);
        header.extra_data = extra.into();
    }
}

/// Plays blocks on a chain of these signers. A block is written `A` (signed by A), `A+B` (and votes to add
/// B), `A-B` (to drop B) or `A=AB` (a checkpoint that lists A and B).
fn play(epoch: u64, signers: &str, blocks: &[&str]) -> Result<String, CliqueFault> {
    let mut pool = Pool::default();
    let genesis = Header { extra_data: pool.extra(signers), ..Header::default() };
    let mut snapshot = Snapshot::at_checkpoint(&genesis, epoch).expect("signers");
    for (index, block) in blocks.iter().enumerate() {
        let mut parts = block.chars();
        let signer = parts.next().expect("a signer");
        let (sign, rest) = (parts.next().unwrap_or(' '), parts.as_str());
        let voted = if matches!(sign, '+' | '-') { rest.chars().next().expect("an account") } else { '-' };
        let number = index as u64 + 1;
        let turn = snapshot.in_turn(number) == Some(pool.address(signer));
        let mut header = Header {
            number,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: pool.address(voted),
            nonce: if sign == '+' { ADD } else { DROP },
            difficulty: U256::from(if turn { 2 } else { 1 }),
            extra_data: pool.extra(if sign == '=' { rest } else { "" }),
            ..Header::default()
        };
        pool.seal(signer, &mut header);
        snapshot = snapshot.apply(&header)?;
    }
    let mut names: Vec<char> = ('A'..='F')
        .filter(|name| {
            let address = pool.address(*name);
            snapshot.signers().any(|signer| *signer == address)
        })
        .collect();
    names.sort_unstable();
    Ok(names.into_iter().collect())
}

// The cases of go-ethereum v1.10.26 `consensus/clique/snapshot_test.go`, told in our words.
#[test]
fn votes_make_the_signers_that_geth_says() {
    for (story, signers, blocks, expected) in [
        ("nobody votes", "A", &["A"][..], "A"),
        ("a second signer takes one vote, a third two", "A", &["A+B", "B", "A+C"], "AB"),
        (
            "two signers add two, the third addition lacks a vote",
            "AB",
            &["A+C", "B+C", "A+D", "B+D", "C", "A+E", "B+E"],
            "ABCD",
        ),
        ("the only signer drops itself", "A", &["A-A"], ""),
        ("one of two is not enough to drop", "AB", &["A-B"], "AB"),
        ("both of two are", "AB", &["A-B", "B-B"], "A"),
        ("two of three drop the third", "ABC", &["A-C", "B-C"], "AB"),
        ("two of four do not", "ABCD", &["A-C", "B-C"], "ABCD"),
        ("three of four do", "ABCD", &["A-D", "B-D", "C-D"], "ABC"),
        ("a vote for adding counts once", "AB", &["A+C", "B", "A+C", "B", "A+C"], "AB"),
        ("several additions at a time", "AB", &["A+C", "B", "A+D", "B", "A", "B+D", "A", "B+C"], "ABCD"),
        ("a vote for dropping counts once", "AB", &["A-B", "B", "A-B", "B", "A-B"], "AB"),
        (
            "several droppings at a time",
            "ABCD",
            &["A-C", "B", "C", "A-D", "B", "C", "A", "B-D", "C-D", "A", "B-C"],
            "AB",
        ),
        ("a dropped signer's votes to drop are void", "ABC", &["C-B", "A-C", "B-C", "A-B"], "AB"),
        ("a dropped signer's votes to add are void", "ABC", &["C+D", "A-C", "B-C", "A+D"], "AB"),
        (
            "only the account that is voted on changes",
            "ABCD",
            &["A-C", "B", "C", "A-D", "B-C", "C", "A", "B-D", "C-D"],
            "ABC",
        ),
        (
            "what has enough votes by a dropping passes on touch",
            "ABCD",
            &["A-C", "B", "C", "A-D", "B-C", "C", "A", "B-D", "C-D", "A", "C+C"],
            "AB",
        ),
        (
            "or falls short again on touch",
            "ABCD",
            &["A-C", "B", "C", "A-D", "B-C", "C", "A", "B-D", "C-D", "A", "B+C"],
            "ABC",
        ),
        (
            "votes do not outlive a change of the account's standing",
            "ABCDE",
            &["A+F", "B+F", "C+F", "D-F", "E-F", "B-F", "C-F", "D+F", "E+F", "B-A", "C-A", "D-A", "B+F"],
            "BCDEF",
        ),
    ] {
        assert_eq!(play(30_000, signers, blocks).as_deref(), Ok(expected), "{story}");
    }
}

#[test]
fn a_checkpoint_ends_all_votes() {
    assert_eq!(play(3, "AB", &["A+C", "B", "A=AB", "B+C"]).as_deref(), Ok("AB"));
}

#[test]
fn strangers_and_hasty_signers_are_refused() {
    assert!(matches!(play(30_000, "A", &["B"]), Err(CliqueFault::NotASigner { .. })));
    assert!(matches!(play(30_000, "AB", &["A", "A"]), Err(CliqueFault::SignedRecently { .. })));
    assert!(matches!(play(3, "ABC", &["A", "B", "A=ABC", "A"]), Err(CliqueFault::SignedRecently { .. })));
    assert!(matches!(play(30_000, "A", &["A-A", "A"]), Err(CliqueFault::NotASigner { .. })));
}

#[test]
fn a_checkpoint_has_to_list_the_signers() {
    for listed in ["A", "AC", "ABC"] {
        let checkpoint = format!("A={listed}");
        assert_eq!(play(3, "AB", &["A", "B", &checkpoint]), Err(CliqueFault::CheckpointSigners));
    }
    assert_eq!(play(3, "AB", &["A", "B", "A"]), Err(CliqueFault::CheckpointSigners));
}

#[test]
fn seal_hashes_and_signers_are_those_of_geth() {
    for block in &vectors::clique().blocks {
        let header = decoded(&block.header);
        assert_eq!(Some(clique_seal_hash(&header)), block.seal_hash);
        assert_eq!(clique_signer(&header).ok(), block.signer);
    }
}

/// The first header of geth's chain, changed and signed again where it can be.
fn fault(change: impl Fn(&mut Header)) -> CliqueFault {
    let mut pool = Pool::default();
    let genesis = Header { extra_data: pool.extra("A"), ..Header::default() };
    let snapshot = Snapshot::at_checkpoint(&genesis, 3).expect("signers");
    let mut header = Header {
        number: 1,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        difficulty: U256::from(2),
        extra_data: pool.extra(""),
        ..Header::default()
    };
    let good = {
        let mut good = header.clone();
        pool.seal('A', &mut good);
        good
    };
    snapshot.apply(&good).expect("a good header");
    change(&mut header);
    if header.extra_data.len() >= SEAL {
        pool.seal('A', &mut header);
    }
    snapshot.apply(&header).expect_err("a fault")
}

#[test]
fn each_rule_of_form_is_kept() {
    assert_eq!(
        fault(|header| header.extra_data = vec![0; 96].into()),
        CliqueFault::ExtraLength { length: 96 }
    );
    assert_eq!(fault(|header| header.extra_data = Bytes::new()), CliqueFault::ExtraLength { length: 0 });
    let huge = MAX_EXTRA + 1;
    assert_eq!(
        fault(|header| header.extra_data = vec![0; huge].into()),
        CliqueFault::ExtraLength { length: huge }
    );
    assert_eq!(
        fault(|header| header.extra_data = vec![0; 117].into()),
        CliqueFault::SignerBytes { length: 20 }
    );
    let uneven = |header: &mut Header| (header.number, header.extra_data) = (3, vec![0; 98].into());
    assert_eq!(fault(uneven), CliqueFault::SignerBytes { length: 1 });
    let vote = |header: &mut Header| (header.number, header.beneficiary) = (3, Address::repeat_byte(1));
    assert_eq!(fault(vote), CliqueFault::CheckpointVote);
    assert_eq!(fault(|header| (header.number, header.nonce) = (3, ADD)), CliqueFault::CheckpointVote);
    let nonce = B64::repeat_byte(1);
    assert_eq!(fault(|header| header.nonce = nonce), CliqueFault::Vote { nonce });
    assert_eq!(fault(|header| header.mix_hash = B256::repeat_byte(1)), CliqueFault::MixDigest);
    assert_eq!(fault(|header| header.ommers_hash = B256::ZERO), CliqueFault::Uncles);
    let withdrawals = |header: &mut Header| {
        header.base_fee_per_gas = Some(1);
        header.withdrawals_root = Some(B256::ZERO);
    };
    assert_eq!(fault(withdrawals), CliqueFault::ForkFields);
    let found = U256::from(3);
    assert_eq!(fault(|header| header.difficulty = found), CliqueFault::Difficulty { expected: None, found });
    let found = U256::from(1);
    assert_eq!(
        fault(|header| header.difficulty = found),
        CliqueFault::Difficulty { expected: Some(2), found }
    );
}

#[test]
fn a_seal_has_no_ethereum_offset() {
    let mut header = decoded(&vectors::clique().blocks[0].header);
    let mut extra = header.extra_data.to_vec();
    *extra.last_mut().expect("a seal") += 27;
    header.extra_data = extra.into();

    assert_eq!(clique_signer(&header), Err(CliqueFault::Signature));
}
