//! The checks of answers against known headers. All take raw bytes and give a verdict or the lie.

mod block;
mod decode;
mod headers;
mod helper_tries;
mod items;
mod lie;
mod node;
mod quorum;
mod state;

pub use block::{body, in_order, receipts, transaction_at, transaction_hash, transactions};
pub use decode::{DecodeError, decode_body, decode_receipts};
pub use headers::{CheckedHeader, HeaderQuery, headers};
pub use helper_tries::{
    BLOOM_BITS, CHT_SECTION, HelperShown, bloom_key, checkpoint_hash, cht_key, cht_root, decompress_bits,
    helper_tries,
};
pub use lie::Lie;
pub use quorum::{Quorum, announcement_signer, origin};
pub use state::{NodeSet, Shown, account, codes, proofs, prune, slot_value};

/// What a check established for multi-item answers: which of the asked items the answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Per asked item, the index of its answer; `None` for one that was left out.
    pub items: Vec<Option<usize>>,
}

impl Verdict {
    /// Aligns answers with asked items: both in the same order, items left out allowed, `fits(item, answer)`
    /// saying whether an answer is that item's. The error is that of the last item tried.
    fn align(
        asked: usize,
        answers: usize,
        mut fits: impl FnMut(usize, usize) -> Result<(), Lie>,
    ) -> Result<Self, Lie> {
        if answers > asked {
            return Err(Lie::TooMany { what: "answers", found: answers, asked });
        }
        let mut items = vec![None; asked];
        let mut next = 0;
        for answer in 0..answers {
            let mut lie = Lie::OutOfPlace { index: answer };
            loop {
                let Some(item) = items.get_mut(next) else { return Err(lie) };
                next += 1;
                match fits(next - 1, answer) {
                    Ok(()) => {
                        *item = Some(answer);
                        break;
                    }
                    Err(reason) => lie = reason,
                }
            }
        }
        Ok(Self { items })
    }
}
