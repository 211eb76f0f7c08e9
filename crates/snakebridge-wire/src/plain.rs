//! Values that can stand within others as they are.

use crate::opcode as op;

/// Most bytes that are looked at. For more than that it makes no difference.
const MOST: usize = 512;

/// The opcodes of a value, without its end, if they make it wherever they stand and nothing can go wrong with that: numbers,
/// text and bytes, in tuples and lists. What Python has to hash or to look up may fail.
///
/// ```
/// use snakebridge_wire::{Encoder, plain};
///
/// let mut encoder = Encoder::default();
/// encoder.value(&("math", "sqrt", (16,)))?;
/// let value = encoder.finish();
/// assert_eq!(plain(&value), Some(&value[..value.len() - 1]));
/// # Ok::<(), snakebridge_wire::EncodeError>(())
/// ```
#[must_use]
pub fn plain(value: &[u8]) -> Option<&[u8]> {
    let (&op::STOP, opcodes) = value.split_last()? else { return None };
    if opcodes.len() > MOST {
        return None;
    }
    let mut rest = opcodes;
    while let Some((&opcode, after)) = rest.split_first() {
        let length = |at: usize| after.get(at).map(|length| usize::from(*length));
        let argument = match opcode {
            op::NONE | op::NEWTRUE | op::NEWFALSE | op::MARK => 0,
            op::EMPTY_LIST | op::APPEND | op::APPENDS => 0,
            op::EMPTY_TUPLE | op::TUPLE1 | op::TUPLE2 | op::TUPLE3 | op::TUPLE => 0,
            op::BININT1 => 1,
            op::BININT2 => 2,
            op::BININT => 4,
            op::BINFLOAT => 8,
            op::LONG1 | op::SHORT_BINUNICODE | op::SHORT_BINBYTES => 1 + length(0)?,
            // The other two bytes of the length are zeros here.
            op::BINUNICODE | op::BINBYTES => 4 + length(0)? + (length(1)? << 8),
            _ => return None,
        };
        rest = after.get(argument..)?;
    }
    Some(opcodes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;
    use crate::Encoder;

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.value(value).expect("it can be encoded");
        encoder.finish()
    }

    #[test]
    fn numbers_and_text_are_plain_in_tuples_and_lists() {
        let long = "x".repeat(300);
        let numbers = (0, 300, 100_000, -1, i64::MAX, u64::MAX, 1.5, true, ());
        for value in [
            encoded(&("math", "sqrt", numbers)),
            encoded(&("a", vec![Some(1), None], vec![long], (), vec![0; 0], (1, 2, 3, 4))),
            encoded(&(1, 2)),
        ] {
            assert_eq!(plain(&value), Some(&value[..value.len() - 1]));
        }
    }

    #[test]
    fn nothing_else_is() {
        let dict = BTreeMap::from([(1, 2)]);
        for value in [encoded(&(dict,)), encoded(&vec!["x"; 500]), Vec::new(), b"(K".to_vec()] {
            assert_eq!(plain(&value), None, "{value:?}");
        }
    }

    #[test]
    fn what_is_cut_is_not() {
        let whole = encoded(&("math", 1.5, 7, "x".repeat(300)));
        let is_plain = |end: &usize| plain(&[&whole[..*end], b"."].concat()).is_some();
        // Between opcodes it cannot be seen: before and after the mark, and after each of the items.
        assert_eq!((0..whole.len() - 1).filter(is_plain).count(), 6);
    }
}
