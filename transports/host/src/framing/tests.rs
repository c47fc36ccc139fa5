//! Every boundary, every limit, and bytes that are no messages at all.

use proptest::{collection::vec, prelude::*};

use super::*;

const LIMIT: usize = 128 * 1024;

fn cutter() -> ItemCutter {
    ItemCutter::new(ItemLimits { default: LIMIT, by_code: vec![(0x13, 1024 * 1024)] })
}

/// An RLP string of `length` bytes of 0xaa, a payload for tests.
fn string(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_string(&mut out, &vec![0xaa; length]);
    out
}

fn cut_all(bytes: &[u8], boundaries: &[usize]) -> Result<Vec<Item>, CutError> {
    let mut cutter = cutter();
    let mut items = Vec::new();
    let mut start = 0;
    for end in boundaries.iter().copied().chain([bytes.len()]) {
        cutter.push(&bytes[start..end]);
        start = end;
        while let Some(item) = cutter.next_item()? {
            items.push(item);
        }
    }
    assert!(cutter.is_between_items());
    Ok(items)
}

fn refused(bytes: &[u8]) -> CutError {
    let mut cutter = cutter();
    cutter.push(bytes);
    let error = cutter.next_item().expect_err("refused");
    assert_eq!(cutter.buffered(), 0);
    assert_eq!(cutter.next_item(), Err(error), "the stream stays broken");
    error
}

#[test]
fn message_is_a_list_of_code_and_payload() {
    assert_eq!(encode_item(2, &[0xc1, 0x05])[..], [0xc3, 0x02, 0xc1, 0x05]);
    assert_eq!(encode_item(0, &[0xc0])[..], [0xc2, 0x80, 0xc0]);
    assert_eq!(encode_item(0x80, &[0xc0])[..], [0xc3, 0x81, 0x80, 0xc0]);
    assert_eq!(encode_item(0x1234, &[0xc0])[..], [0xc4, 0x82, 0x12, 0x34, 0xc0]);
    assert_eq!(encode_item(1, &string(54))[..3], [0xf8, 56, 1]);
    assert_eq!(encode_item(1, &string(300))[..4], [0xf9, 0x01, 0x30, 1]);
}

#[test]
fn code_zero_is_read_in_both_forms() {
    for first in [0x00, 0x80] {
        let items = cut_all(&[0xc2, first, 0xc0], &[]).expect("cut");
        assert_eq!(items, [Item { code: 0, payload: Bytes::from_static(&[0xc0]) }]);
    }
}

#[test]
fn items_are_cut_at_every_boundary() {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for (code, length) in [(0, 0), (2, 1), (0x15, 54), (0x7f, 55), (0x80, 56), (u64::MAX, 300)] {
        let payload = string(length);
        bytes.extend_from_slice(&encode_item(code, &payload));
        expected.push(Item { code, payload: payload.into() });
    }

    for boundary in 0..=bytes.len() {
        assert_eq!(cut_all(&bytes, &[boundary]).expect("cut"), expected, "cut at {boundary}");
    }
    let every_byte: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(cut_all(&bytes, &every_byte).expect("cut"), expected);
}

#[test]
fn large_items_cross_and_leave_no_buffer() {
    let payload = string(1000 * 1000);
    let mut cutter = cutter();
    for chunk in encode_item(0x13, &payload).chunks(16 * 1024) {
        assert_eq!(cutter.next_item(), Ok(None));
        cutter.push(chunk);
    }

    let item = cutter.next_item().expect("cut").expect("whole");

    assert_eq!(item.payload, payload);
    assert_eq!(cutter.buffer.capacity(), 0);
}

#[test]
fn item_that_is_only_announced_pins_little() {
    let mut cutter = cutter();
    let message = encode_item(0x13, &string(1024 * 1024 - 8));

    cutter.push(&message[..1000]);

    assert_eq!(cutter.next_item(), Ok(None));
    assert!(cutter.buffer.capacity() <= 2 * AHEAD * 1000, "{}", cutter.buffer.capacity());
}

#[test]
fn item_under_way_is_moved_seldom() {
    let mut cutter = cutter();
    let message = encode_item(0x13, &string(1024 * 1024 - 8));
    let (mut moves, mut place) = (0, std::ptr::null());

    for chunk in message.chunks(16 * 1024) {
        assert_eq!(cutter.next_item(), Ok(None));
        cutter.push(chunk);
        moves += usize::from(cutter.buffer.as_ptr() != place);
        place = cutter.buffer.as_ptr();
    }

    assert!(cutter.next_item().is_ok_and(|item| item.is_some()));
    assert!(moves <= 4, "{moves} moves");
}

#[test]
fn announced_lengths_are_judged_by_the_header_alone() {
    // 2 MiB, over every limit: known from four bytes.
    assert!(matches!(refused(&[0xfa, 0x20, 0x00, 0x00]), CutError::TooLarge { announced: 0x20_0000, .. }));
    // Lengths beyond memory.
    assert!(matches!(refused(&[0xff; 9]), CutError::TooLarge { .. }));
    // 200 KiB with code 2, allowed for code 0x13 only: known from the fifth byte.
    assert_eq!(
        refused(&[0xfa, 0x03, 0x20, 0x00, 0x02]),
        CutError::PayloadTooLarge { code: 2, announced: 200 * 1024 - 1, limit: LIMIT }
    );
    let mut allowed = cutter();
    allowed.push(&[0xfa, 0x03, 0x20, 0x00, 0x13]);
    assert_eq!(allowed.next_item(), Ok(None));
    assert!(allowed.buffer.capacity() < 100, "nothing is reserved for what is only announced");
}

#[test]
fn limits_are_exact() {
    let whole = |length: usize| encode_item(2, &string(length - 4));
    assert_eq!(whole(LIMIT).len(), LIMIT + 5);

    assert_eq!(cut_all(&whole(LIMIT), &[]).expect("cut")[0].payload.len(), LIMIT);
    assert!(matches!(refused(&whole(LIMIT + 1)), CutError::PayloadTooLarge { code: 2, .. }));
}

#[test]
fn malformed_messages_are_refused() {
    assert_eq!(refused(&[0x05]), CutError::NotAList { first: 5 });
    assert_eq!(refused(&[0x83, 1, 2, 3]), CutError::NotAList { first: 0x83 });
    assert_eq!(refused(&[0xc0]), CutError::PayloadMissing);
    assert_eq!(refused(&[0xc1, 0x02]), CutError::PayloadMissing);
    assert_eq!(refused(&[0xc1, 0x82]), CutError::PayloadMissing); // the code ends beyond the list
    assert_eq!(refused(&[0xc2, 0x02, 0xc1]), CutError::PayloadMissing); // the payload does
    assert_eq!(refused(&[0xc2, 0x02, 0xf8]), CutError::PayloadMissing);
    assert_eq!(refused(&[0xc3, 0x02, 0xc0, 0xc0]), CutError::Leftover(1));
    assert_eq!(refused(&[0xc2, 0xc0, 0xc0]), CutError::Code);
    assert_eq!(refused(&[0xca, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9]), CutError::Code);
    assert_eq!(refused(&[0xc3, 0x81, 0x02, 0xc0]), CutError::NonCanonical); // 2 stands for itself
    assert_eq!(refused(&[0xc4, 0x82, 0x00, 0x80, 0xc0]), CutError::NonCanonical);
    assert_eq!(refused(&[0xf8, 0x02, 0x02, 0xc0]), CutError::NonCanonical);
    assert_eq!(refused(&[0xf9, 0x00, 0x40]), CutError::NonCanonical);
}

proptest! {
    #[test]
    fn boundaries_do_not_matter(
        messages in vec((any::<u64>(), 0_usize..5000), 0..8),
        mut boundaries in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (code, length) in messages {
            let payload = string(length);
            bytes.extend_from_slice(&encode_item(code, &payload));
            expected.push(Item { code, payload: payload.into() });
        }
        boundaries.sort_by_key(|index| index.index(bytes.len() + 1));
        let boundaries: Vec<usize> = boundaries.iter().map(|index| index.index(bytes.len() + 1)).collect();

        prop_assert_eq!(cut_all(&bytes, &boundaries), Ok(expected));
    }

    #[test]
    fn any_bytes_are_cut_or_refused_the_same_way_whatever_the_boundaries(
        bytes in vec(any::<u8>(), 0..200),
        split in any::<prop::sample::Index>(),
    ) {
        let run = |chunks: [&[u8]; 2]| {
            let mut cutter = cutter();
            let mut items = Vec::new();
            for chunk in chunks {
                cutter.push(chunk);
                loop {
                    match cutter.next_item() {
                        Ok(Some(item)) => items.push(item),
                        Ok(None) => break,
                        Err(error) => return (items, Some(error)),
                    }
                }
            }
            (items, None)
        };
        let (left, right) = bytes.split_at(split.index(bytes.len() + 1));

        let (whole, split) = (run([&bytes, &[]]), run([left, right]));

        prop_assert_eq!(whole.0, split.0);
        prop_assert_eq!(whole.1.is_some(), split.1.is_some());
    }
}
