//! Bodies and receipts: geth's pass, altered ones do not.

use alloy_consensus::{ReceiptEnvelope, Transaction, TxEnvelope, TxReceipt};
use proptest::prelude::*;

use super::*;
use crate::check::{decode_body, decode_receipts};
use crate::vectors::{self, decoded};

#[test]
fn bodies_and_receipts_of_geth_fit_their_headers() {
    for block in vectors::clique().blocks.iter().chain(&vectors::ethash().blocks) {
        let header = decoded(&block.header);
        assert_eq!(body(&header, &block.body), Ok(()), "{}", block.number);
        assert_eq!(receipts(&header, &block.receipts), Ok(()), "{}", block.number);

        let hashes: Vec<_> =
            transactions(&block.body).expect("a body").iter().map(|raw| transaction_hash(raw)).collect();
        assert_eq!(hashes, block.transactions);
    }
}

#[test]
fn other_blocks_bodies_and_receipts_do_not_fit() {
    let blocks = &vectors::ethash().blocks;
    let header = decoded(&blocks[0].header);

    assert!(matches!(body(&header, &blocks[1].body), Err(Lie::Root { what: "transactions root", .. })));
    assert!(matches!(receipts(&header, &blocks[1].receipts), Err(Lie::Root { what: "receipts root", .. })));
    let with_uncles = decoded(&blocks[6].header);
    assert!(matches!(body(&with_uncles, &blocks[2].body), Err(Lie::Root { what: "hash of uncles", .. })));
}

#[test]
fn withdrawals_are_there_exactly_if_the_header_says_so() {
    let mut header = decoded(&vectors::ethash().blocks[2].header);
    let (without, with) = ([0xc2, 0xc0, 0xc0], [0xc3, 0xc0, 0xc0, 0xc0]);

    assert_eq!(body(&header, &without), Ok(()));
    assert_eq!(body(&header, &with), Err(Lie::Presence { what: "list of withdrawals", due: false }));
    header.withdrawals_root = Some(alloy_consensus::EMPTY_ROOT_HASH);
    assert_eq!(body(&header, &with), Ok(()));
    assert_eq!(body(&header, &without), Err(Lie::Presence { what: "list of withdrawals", due: true }));
    header.withdrawals_root = Some(B256::ZERO);
    assert!(matches!(body(&header, &with), Err(Lie::Root { what: "withdrawals root", .. })));
}

#[test]
fn real_withdrawals_give_their_root() {
    // [index 1, validator 2, address 0x03.., amount 4], one item: the trie's only leaf has the key 0x80.
    let mut withdrawal = vec![0xd8, 1, 2, 0x94];
    withdrawal.extend([3; 20]);
    withdrawal.push(4);
    let root = alloy_consensus::proofs::calculate_withdrawals_root(&[
        alloy_consensus::private::alloy_eips::eip4895::Withdrawal {
            index: 1,
            validator_index: 2,
            address: alloy_primitives::Address::repeat_byte(3),
            amount: 4,
        },
    ]);
    let mut bytes = vec![0xc0 + 2 + 26, 0xc0, 0xc0, 0xc0 + 25];
    bytes.extend(&withdrawal);
    let header = Header { withdrawals_root: Some(root), ..decoded(&vectors::ethash().blocks[2].header) };

    assert_eq!(body(&header, &bytes), Ok(()));
}

// A legacy item's list as the content of a string would give the same trie: other bytes, same root.
#[test]
fn a_list_dressed_up_as_a_typed_item_is_refused() {
    let block = &vectors::ethash().blocks[0];
    let header = decoded(&block.header);
    let items = items::list("receipts", &block.receipts).expect("a list");
    let mut dressed = Vec::new();
    let strings: Vec<Bytes> = items.iter().map(|item| Bytes::copy_from_slice(item.raw)).collect();
    alloy_rlp::encode_list::<Bytes, Bytes>(&strings, &mut dressed);

    assert_eq!(
        receipts(&header, &dressed),
        Err(Lie::Malformed { what: "receipt", reason: "not a typed one" })
    );
}

#[test]
fn malformed_bodies_are_refused() {
    let header = decoded(&vectors::ethash().blocks[2].header);
    for bytes in [
        &[][..],
        &[0x80],
        &[0xc0],
        &[0xc1, 0xc0],
        &[0xc2, 0xc0, 0x80],
        &[0xc4, 0xc0, 0xc0, 0xc0, 0xc0],
        &[0xc2, 0xc0, 0xc0, 0x00],
        &[0xc2, 0xc0],
        &[0xc3, 0xc1, 0x80, 0xc0],
        &[0xf8, 0x02, 0xc0, 0xc0],
        &[0xff; 9],
    ] {
        assert!(matches!(body(&header, bytes), Err(Lie::Malformed { .. })), "{bytes:02x?}");
    }
}

#[test]
fn answers_are_aligned_with_questions_and_may_have_gaps() {
    let blocks = &vectors::ethash().blocks;
    let headers: Vec<Header> = blocks[..5].iter().map(|block| decoded(&block.header)).collect();
    let headers: Vec<&Header> = headers.iter().collect();
    let answer = |numbers: &[usize]| numbers.iter().map(|at| blocks[*at].body.clone()).collect::<Vec<_>>();

    let verdict = in_order(&headers, &answer(&[0, 1, 2, 3, 4]), body).expect("whole");
    assert_eq!(verdict.items, (0..5).map(Some).collect::<Vec<_>>());
    let verdict = in_order(&headers, &answer(&[1, 4]), body).expect("gaps");
    assert_eq!(verdict.items, [None, Some(0), None, None, Some(1)]);
    assert_eq!(in_order(&headers, &[], body).expect("nothing").items, [None; 5]);
    assert!(in_order(&headers, &answer(&[1, 0]), body).is_err());
    assert!(in_order(&headers, &answer(&[7]), body).is_err());
    assert!(matches!(
        in_order(&headers[..1], &answer(&[0, 0]), body),
        Err(Lie::TooMany { found: 2, asked: 1, .. })
    ));
}

#[test]
fn a_transaction_is_where_it_is_said_to_be_or_not() {
    let block = &vectors::clique().blocks[7];
    assert_eq!(block.transactions.len(), 140);

    assert_eq!(transaction_at(&block.body, &block.transactions[139], 139), Ok(()));
    assert_eq!(
        transaction_at(&block.body, &block.transactions[139], 138),
        Err(Lie::Transaction {
            index: 138,
            expected: block.transactions[139],
            found: Some(block.transactions[138])
        })
    );
    for index in [140, u64::MAX] {
        assert!(matches!(
            transaction_at(&block.body, &block.transactions[0], index),
            Err(Lie::Transaction { found: None, .. })
        ));
    }
}

#[test]
fn checked_bytes_become_typed_values() {
    let block = &vectors::clique().blocks[0];

    let typed = decode_body(&block.body).expect("known types");
    assert!(matches!(typed.transactions[0], TxEnvelope::Eip1559(_)));
    assert!(matches!(typed.transactions[1], TxEnvelope::Eip2930(_)));
    assert!(matches!(typed.transactions[2], TxEnvelope::Legacy(_)));
    let hashes: Vec<B256> = typed.transactions.iter().map(|transaction| *transaction.tx_hash()).collect();
    assert_eq!(hashes, block.transactions);
    assert_eq!(typed.transactions[0].to(), Some(vectors::clique().contract));
    let receipts = decode_receipts(&block.receipts).expect("known types");
    assert!(matches!(receipts[0], ReceiptEnvelope::Eip1559(_)));
    assert_eq!((receipts.len(), receipts[0].status(), receipts[0].logs().len()), (3, true, 1));
    // Before Byzantium receipts have a state root in place of the status.
    let old = decode_receipts(&vectors::ethash().blocks[0].receipts).expect("known types");
    assert!(old[0].status_or_post_state().is_post_state());
    let with_uncle = decode_body(&vectors::ethash().blocks[6].body).expect("known types");
    assert_eq!(with_uncle.ommers.len(), 1);
    assert!(decode_body(&[0xc3, 0xc2, 0x82, 0x7e, 0x01]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_altered_body_or_receipts_fit(
        ethash in any::<bool>(), number in 0_usize..24, at in any::<prop::sample::Index>(), bits in 1..=255_u8
    ) {
        let vectors = if ethash { vectors::ethash() } else { vectors::clique() };
        let block = &vectors.blocks[number];
        let header = decoded(&block.header);
        for (bytes, check) in [(&block.body, body as fn(&Header, &[u8]) -> _), (&block.receipts, receipts)] {
            let mut altered = bytes.to_vec();
            let at = at.index(altered.len());
            altered[at] ^= bits;
            prop_assert!(check(&header, &altered).is_err());

            let mut longer = bytes.to_vec();
            longer.insert(at, bits);
            prop_assert!(check(&header, &longer).is_err());
            let mut shorter = bytes.to_vec();
            shorter.remove(at);
            prop_assert!(check(&header, &shorter).is_err());
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = Header::default();
        prop_assert!(body(&header, &bytes).is_err());
        let _ = receipts(&header, &bytes);
        let _ = transaction_at(&bytes, &B256::ZERO, 0);
        let _ = decode_body(&bytes);
        let _ = decode_receipts(&bytes);
    }
}
