//! Helper tries: geth's proofs pass, altered ones do not.

use alloy_primitives::{b256, hex};
use causeway_wire::les::Checkpoint;
use proptest::prelude::*;

use super::*;
use crate::vectors::{self, Vectors};

fn cht_request(number: u64) -> HelperTrieRequest {
    HelperTrieRequest {
        trie: HelperTrie::CanonicalHash,
        section: 0,
        key: cht_key(number),
        from_level: 0,
        auxiliary: 2,
    }
}

fn check(root: B256, nodes: &[Bytes], auxiliary: &[Bytes], number: u64) -> Result<Vec<HelperShown>, Lie> {
    helper_tries(&[cht_request(number)], nodes, auxiliary, &|_, _| Some(root))
}

fn check_17(vectors: &Vectors, nodes: &[Bytes], auxiliary: &[Bytes]) -> Result<Vec<HelperShown>, Lie> {
    check(vectors.cht_root, nodes, auxiliary, 17)
}

// les.md 9.5: a synthetic trie of three blocks, of which block 0 is mainnet's genesis.
#[test]
fn small_cht_has_the_published_root_and_proof() {
    let genesis = crate::ChainSpec::builtin("mainnet").expect("a built-in network");
    let blocks = [
        (0, genesis.genesis_hash, U256::from(17_179_869_184_u64)),
        (1, B256::repeat_byte(0x22), U256::from(34_351_349_760_u64)),
        (2, B256::repeat_byte(0x33), U256::from(51_500_000_000_u64)),
    ];
    let root = cht_root(blocks.into_iter());
    assert_eq!(root, b256!("4d282b074c070096be261bea3d220ce718fa82e300e1568912c749e16e19ec09"));

    let nodes = [
        &hex!("ea881000000000000000a0b1f7377c5e0ddf3021b947f55421be3b99595f34f6ace574354ebb9e030362f2")[..],
        &hex!("f871a0a385ccc4ae08d5ebdaab9522e57eaa9a9f6293ff54ec4e9c015764ec31a49255a05e9c23b306df090e7d6541292d0749bf6b3fdfb5359b274ce285d73e78c157f9a0e3e77198d3f54e0acfd5e49322719580876dc05738161151d7bbea850e8db1198080808080808080808080808080"),
        &hex!("ea20a8e7a0d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3850400000000"),
    ]
    .map(Bytes::copy_from_slice);
    let header: Bytes = alloy_rlp::encode(&genesis.genesis).into();
    assert_eq!(header.len(), 535);

    let shown = check(root, &nodes, &[header], 0);
    let [(_, hash, td), ..] = blocks;
    assert_eq!(
        shown,
        Ok(vec![HelperShown::Block { hash, td, header: Some(Box::new(genesis.genesis.clone())) }])
    );
}

#[test]
fn cht_of_geth_is_ours() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        assert_eq!(cht_root(vectors.chain().canonical_blocks()), vectors.cht_root);
        let block = &vectors.blocks[16];

        let shown = check_17(vectors, &vectors.cht_proof_17, std::slice::from_ref(&block.header));

        let header = Some(Box::new(vectors::decoded(&block.header)));
        assert_eq!(shown, Ok(vec![HelperShown::Block { hash: block.hash, td: block.td, header }]));
    }
}

#[test]
fn header_has_to_be_the_proven_one() {
    let vectors = vectors::clique();
    let nodes = &vectors.cht_proof_17;
    let header = |number: usize| vectors.blocks[number - 1].header.clone();

    assert!(matches!(check_17(vectors, nodes, &[header(16)]), Err(Lie::Root { .. })));
    assert!(matches!(check_17(vectors, nodes, &[]), Err(Lie::TooFew { .. })));
    assert!(matches!(check_17(vectors, nodes, &[header(17), header(17)]), Err(Lie::TooMany { .. })));
    assert!(matches!(check_17(vectors, nodes, &[Bytes::from_static(&[0xc0])]), Err(Lie::Malformed { .. })));
    assert!(matches!(check(vectors.cht_root, nodes, &[header(17)], 18), Err(Lie::UselessNode { .. })));
    assert_eq!(check_17(vectors, &[], &[]), Ok(vec![HelperShown::LeftOut]));
    let plain = HelperTrieRequest { auxiliary: 0, ..cht_request(17) };
    let shown = helper_tries(&[plain], nodes, &[], &|_, _| Some(vectors.cht_root)).expect("without header");
    assert!(matches!(shown.as_slice(), [HelperShown::Block { header: None, .. }]));
}

#[test]
fn a_number_beyond_the_trie_is_absent() {
    let vectors = vectors::clique();
    // The root is an extension over the leading zeroes: it alone shows that a huge number is not there.
    let root = &vectors.cht_proof_17[..1];
    assert_eq!(check(vectors.cht_root, root, &[], u64::MAX), Ok(vec![HelperShown::Absent]));
}

#[test]
fn without_a_trusted_root_nothing_is_shown() {
    let vectors = vectors::clique();
    let shown = helper_tries(&[cht_request(17)], &vectors.cht_proof_17, &[], &|_, _| None);
    assert_eq!(shown, Ok(vec![HelperShown::LeftOut]));
}

#[test]
fn unordered_blocks_are_passed_over() {
    let block = |number: u64| (number, B256::repeat_byte(1), U256::from(number));
    let ordered = cht_root([1, 2, 3].map(block).into_iter());
    assert_eq!(cht_root([1, 2, 2, 1, 3].map(block).into_iter()), ordered);
}

// les.md 7.4: mainnet's checkpoint of go-ethereum v1.10.26.
#[test]
fn checkpoint_hash_is_that_of_the_oracle() {
    let checkpoint = Checkpoint {
        section: 451,
        head: b256!("e47f84b9967eb2ad2afff74d59901b63134660011822fdababaf8fdd18a75aa6"),
        cht_root: b256!("c31e0462ca3d39a46111bb6b63ac4e1cac84089472b7474a319d582f72b3f0c0"),
        bloom_root: b256!("7c9f25ce3577a3ab330d52a7343f801899cf9d4980c69f81de31ccc1a055c809"),
    };
    assert_eq!(
        checkpoint_hash(&checkpoint),
        b256!("65d65a440f3ee56bfc10aff5323802f8bd727f32c128578fed2ef3b3ef1613ee")
    );
}

#[test]
fn keys_are_big_endian() {
    assert_eq!(cht_key(14_000_000).as_ref(), hex!("0000000000d59f80"));
    assert_eq!(bloom_key(1337, 100).as_ref(), hex!("05390000000000000064"));
}

// Examples of les.md 7.3, equal to go-ethereum's `bitutil`.
#[test]
fn bits_are_decompressed_as_published() {
    let mut expected = vec![0; 4096];
    (expected[5], expected[4000]) = (0x80, 0x01);
    assert_eq!(decompress_bits(&hex!("818002800804808001"), 4096), Ok(expected));
    let mut expected = vec![0; 4096];
    expected[0] = 1;
    assert_eq!(decompress_bits(&hex!("8080808001"), 4096), Ok(expected));
    assert_eq!(decompress_bits(&[], 4096), Ok(vec![0; 4096]));
    assert_eq!(decompress_bits(&[7; 4096], 4096), Ok(vec![7; 4096]));
}

#[test]
fn wrong_bits_are_refused() {
    for bytes in [&hex!("80808080")[..], &hex!("808080800100"), &hex!("8080808000"), &hex!("ff"), &[1; 4097]]
    {
        assert!(decompress_bits(bytes, 4096).is_err(), "{bytes:02x?}");
    }
    // A bit for the sixteenth byte of a vector of nine.
    assert!(decompress_bits(&hex!("400101"), 9).is_err());
}

/// Compression as in les.md 7.3, for the round trip.
fn compress(data: &[u8]) -> Vec<u8> {
    fn packed(data: &[u8]) -> Vec<u8> {
        if data.iter().all(|byte| *byte == 0) {
            return Vec::new();
        }
        if data.len() <= 1 {
            return data.to_vec();
        }
        let mut bitmap = vec![0; data.len().div_ceil(8)];
        for (index, _) in data.iter().enumerate().filter(|(_, byte)| **byte != 0) {
            bitmap[index / 8] |= 0x80 >> (index % 8);
        }
        let mut out = packed(&bitmap);
        out.extend(data.iter().filter(|byte| **byte != 0));
        out
    }
    let packed = packed(data);
    if packed.len() < data.len() { packed } else { data.to_vec() }
}

#[test]
fn bloom_bits_are_proven_or_absent() {
    let mut bits = vec![0; 4096];
    bits[77] = 9;
    let value = compress(&bits);
    let key = bloom_key(3, 0);
    let mut builder = HashBuilder::default();
    builder.add_leaf(Nibbles::unpack(&key), &value);
    let root = builder.root();
    let leaf = {
        let mut path = vec![0x20];
        path.extend(&key);
        let mut node = Vec::new();
        alloy_rlp::encode_list::<Bytes, Bytes>(&[path.into(), value.into()], &mut node);
        Bytes::from(node)
    };
    let ask = |bit| HelperTrieRequest {
        trie: HelperTrie::BloomBits,
        section: 0,
        key: bloom_key(bit, 0),
        from_level: 0,
        auxiliary: 0,
    };

    let shown = helper_tries(&[ask(3), ask(4)], &[leaf], &[], &|_, _| Some(root));

    assert_eq!(shown, Ok(vec![HelperShown::Bits(bits), HelperShown::Bits(vec![0; 4096])]));
}

proptest! {
    #[test]
    fn compressed_bits_come_back(set in prop::collection::vec((0_usize..4096, any::<u8>()), 0..3000)) {
        let mut bits = vec![0; 4096];
        for (at, byte) in set {
            bits[at] = byte;
        }
        prop_assert_eq!(decompress_bits(&compress(&bits), 4096), Ok(bits));
    }

    #[test]
    fn random_bits_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), length in 0_usize..600) {
        if let Ok(bits) = decompress_bits(&bytes, length) {
            prop_assert_eq!(bits.len(), length);
        }
    }

    #[test]
    fn no_altered_helper_proof_passes(node in 0_usize..5, at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let vectors = vectors::clique();
        let mut parts = vectors.cht_proof_17.clone();
        parts.push(vectors.blocks[16].header.clone());
        let mut altered = parts[node].to_vec();
        let at = at.index(altered.len());
        altered[at] ^= change;
        parts[node] = altered.into();

        prop_assert!(check_17(vectors, &parts[..4], &parts[4..]).is_err());
    }
}
