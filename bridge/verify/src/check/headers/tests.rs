//! Header answers against their query.

use std::sync::Arc;

use super::*;
use crate::vectors::{self, Vectors};
use crate::{HeaderChain, Root};

const BY_NUMBER: HeaderQuery =
    HeaderQuery { start: HashOrNumber::Number(3), amount: 4, skip: 0, reverse: false };

fn answer(vectors: &Vectors, numbers: &[usize]) -> Vec<Bytes> {
    numbers.iter().map(|number| vectors.blocks[number - 1].header.clone()).collect()
}

fn by_hash(vectors: &Vectors, number: usize) -> HashOrNumber {
    HashOrNumber::Hash(vectors.blocks[number - 1].hash)
}

#[test]
fn right_answers_are_known() {
    let vectors = vectors::ethash();
    let chain = vectors.chain();
    for (query, numbers) in [
        (BY_NUMBER, &[3, 4, 5, 6][..]),
        (BY_NUMBER, &[3, 4]),
        (BY_NUMBER, &[]),
        (HeaderQuery { skip: 4, ..BY_NUMBER }, &[3, 8, 13, 18]),
        (HeaderQuery { start: HashOrNumber::Number(9), reverse: true, ..BY_NUMBER }, &[9, 8, 7, 6]),
        (HeaderQuery { start: HashOrNumber::Number(9), skip: 2, reverse: true, ..BY_NUMBER }, &[9, 6, 3]),
        (HeaderQuery { start: by_hash(vectors, 3), skip: 4, ..BY_NUMBER }, &[3, 8, 13]),
        (HeaderQuery { start: by_hash(vectors, 9), skip: 3, reverse: true, ..BY_NUMBER }, &[9, 5, 1]),
        (HeaderQuery { start: HashOrNumber::Number(24), skip: u64::MAX, ..BY_NUMBER }, &[24]),
    ] {
        let checked = headers(&chain, &query, &answer(vectors, numbers)).expect("a right answer");
        let found: Vec<usize> = checked.iter().map(|header| header.header.number as usize).collect();
        assert_eq!(found, numbers);
        assert!(checked.iter().all(|header| header.known));
    }
}

#[test]
fn answers_beyond_the_known_chain_only_have_to_fit() {
    let vectors = vectors::ethash();
    let mut chain = HeaderChain::new(Arc::clone(&vectors.spec), Root::Genesis, 64).expect("a genesis");
    chain.insert(&vectors.headers()[..4]).expect("geth's headers");

    let checked = headers(&chain, &BY_NUMBER, &answer(vectors, &[3, 4, 5, 6])).expect("a right answer");

    assert_eq!(checked.iter().map(|header| header.known).collect::<Vec<_>>(), [true, true, false, false]);
}

#[test]
fn wrong_answers_are_lies() {
    let vectors = vectors::ethash();
    let chain = vectors.chain();
    let what =
        |query: HeaderQuery, numbers: &[usize]| match headers(&chain, &query, &answer(vectors, numbers)) {
            Err(Lie::Header { what, .. }) => what,
            other => panic!("{other:?}"),
        };

    assert_eq!(what(BY_NUMBER, &[4]), "number");
    assert_eq!(what(BY_NUMBER, &[3, 5]), "number");
    assert_eq!(what(BY_NUMBER, &[3, 2]), "number");
    assert_eq!(what(HeaderQuery { skip: 4, ..BY_NUMBER }, &[3, 4]), "number");
    assert_eq!(what(HeaderQuery { reverse: true, ..BY_NUMBER }, &[3, 4]), "number");
    assert_eq!(what(HeaderQuery { start: by_hash(vectors, 3), ..BY_NUMBER }, &[4]), "hash");
    assert_eq!(what(HeaderQuery { skip: u64::MAX, ..BY_NUMBER }, &[3, 3]), "number");
    assert_eq!(what(HeaderQuery { skip: u64::MAX - 1, ..BY_NUMBER }, &[3, 4]), "number");
    assert_eq!(what(HeaderQuery { skip: 9, reverse: true, ..BY_NUMBER }, &[3, 1]), "number");
    assert!(matches!(
        headers(&chain, &BY_NUMBER, &answer(vectors, &[3, 4, 5, 6, 7])),
        Err(Lie::TooMany { found: 5, asked: 4, .. })
    ));
    assert!(matches!(
        headers(&chain, &BY_NUMBER, &[Bytes::from_static(&[0xc0])]),
        Err(Lie::Malformed { .. })
    ));
}

#[test]
fn every_altered_byte_is_noticed() {
    let vectors = vectors::ethash();
    let chain = vectors.chain();
    let good = answer(vectors, &[3, 4, 5, 6]);
    for index in 0..good.len() {
        for at in 0..good[index].len() {
            let mut altered = good.clone();
            let mut header = altered[index].to_vec();
            header[at] ^= 1;
            altered[index] = header.into();
            assert!(headers(&chain, &BY_NUMBER, &altered).is_err(), "header {index}, byte {at}");
        }
    }
}

#[test]
fn another_chains_block_may_be_a_reorg() {
    let (ours, theirs) = (vectors::ethash(), vectors::clique());

    let lie = headers(&ours.chain(), &BY_NUMBER, &answer(theirs, &[3])).expect_err("another chain");

    assert!(matches!(lie, Lie::NotCanonical { number: 3, .. }));
    assert!(lie.may_be_reorg());
}

#[test]
fn headers_that_do_not_link_are_lies_where_nothing_is_known() {
    let vectors = vectors::ethash();
    let chain = HeaderChain::new(Arc::clone(&vectors.spec), Root::Genesis, 64).expect("a genesis");
    let other = vectors::clique();
    let mixed = [vectors.blocks[2].header.clone(), other.blocks[3].header.clone()];
    let query = HeaderQuery { start: by_hash(vectors, 3), ..BY_NUMBER };

    assert!(matches!(headers(&chain, &query, &mixed), Err(Lie::Header { what: "parent", .. })));
    let downwards = HeaderQuery { start: by_hash(vectors, 4), reverse: true, ..BY_NUMBER };
    let mixed = [vectors.blocks[3].header.clone(), other.blocks[2].header.clone()];
    assert!(matches!(headers(&chain, &downwards, &mixed), Err(Lie::Header { what: "hash", .. })));
}

#[test]
fn from_a_side_branch_only_its_own_past_is_right() {
    let vectors = vectors::ethash();
    let mut chain = vectors.chain();
    let mut side = vectors::decoded(&vectors.blocks[20].header);
    side.state_root = B256::ZERO;
    let side: Bytes = alloy_rlp::encode(side).into();
    chain.insert(std::slice::from_ref(&side)).expect("a possible header");
    let start = HashOrNumber::Hash(keccak256(&side));

    let down = HeaderQuery { start, skip: 1, reverse: true, ..BY_NUMBER };
    let past = [side.clone(), vectors.blocks[18].header.clone()];
    assert!(headers(&chain, &down, &past).expect("its past").iter().all(|header| header.known));
    let up = HeaderQuery { start, skip: 1, ..BY_NUMBER };
    assert_eq!(headers(&chain, &up, &past[..1]).expect("itself").len(), 1);
    let canonical = [side, vectors.blocks[22].header.clone()];
    assert!(matches!(headers(&chain, &up, &canonical), Err(Lie::Header { what: "place", .. })));
}
