//! Integers of any size between two's complement bytes and decimal text.
//!
//! Schoolbook arithmetic: quadratic, which is fine for the hundreds of digits that occur. Programs
//! that compute with such numbers convert the bytes to a type of their own.

/// The decimal text of little-endian two's complement bytes.
#[must_use]
pub fn int_to_decimal(bytes: &[u8]) -> String {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut limbs = magnitude(bytes, negative);
    let mut groups = Vec::new();
    while limbs.last().is_some() {
        groups.push(divide(&mut limbs));
    }
    let Some(first) = groups.pop() else {
        return "0".to_owned();
    };
    let mut out = String::with_capacity(groups.len() * 9 + 11);
    if negative {
        out.push('-');
    }
    out.push_str(&first.to_string());
    for group in groups.iter().rev() {
        out.push_str(&format!("{group:09}"));
    }
    out
}

/// Little-endian two's complement bytes of a decimal text: digits with an optional sign.
#[must_use]
pub fn int_from_decimal(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut limbs: Vec<u32> = Vec::new();
    let head = digits.len() % 9;
    let groups = std::iter::once(&digits[..head]).chain(digits[head..].chunks(9));
    for group in groups.filter(|group| !group.is_empty()) {
        let value = group.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        multiply_add(&mut limbs, 10_u32.pow(group.len() as u32), value);
    }
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    bytes.push(0);
    if negative {
        negate(&mut bytes);
    }
    Some(shorten(bytes))
}

/// Absolute value as base 2^32 digits without leading zeros.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u32> {
    let mut bytes = bytes.to_vec();
    if negative {
        bytes.push(0xff);
        negate(&mut bytes);
    }
    let mut limbs: Vec<u32> = bytes
        .chunks(4)
        .map(|chunk| {
            let mut limb = [0; 4];
            limb[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(limb)
        })
        .collect();
    trim(&mut limbs);
    limbs
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes {
        (*byte, carry) = (!*byte).overflowing_add(carry.into());
    }
}

/// Drops bytes that only repeat the sign.
fn shorten(mut bytes: Vec<u8>) -> Vec<u8> {
    while let [.., before, last] = bytes[..] {
        let sign = (before >> 7) * 0xff;
        if last != sign {
            break;
        }
        bytes.pop();
    }
    bytes
}

/// Divides by 10^9 in place and gives the remainder.
fn divide(limbs: &mut Vec<u32>) -> u32 {
    let mut rest = 0_u64;
    for limb in limbs.iter_mut().rev() {
        let value = rest << 32 | u64::from(*limb);
        *limb = (value / 1_000_000_000) as u32;
        rest = value % 1_000_000_000;
    }
    trim(limbs);
    rest as u32
}

fn multiply_add(limbs: &mut Vec<u32>, factor: u32, add: u32) {
    let mut carry = u64::from(add);
    for limb in limbs.iter_mut() {
        let value = u64::from(*limb) * u64::from(factor) + carry;
        *limb = value as u32;
        carry = value >> 32;
    }
    if carry != 0 {
        limbs.push(carry as u32);
    }
}

fn trim(limbs: &mut Vec<u32>) {
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_i128(value: i128) {
            let text = value.to_string();
            prop_assert_eq!(int_to_decimal(&value.to_le_bytes()), text.as_str());
            let bytes = int_from_decimal(&text).unwrap();
            let mut wide = [if value < 0 { 0xff } else { 0 }; 16];
            let len = bytes.len().min(16);
            wide[..len].copy_from_slice(&bytes[..len]);
            prop_assert_eq!(i128::from_le_bytes(wide), value);
        }

        #[test]
        fn text_round_trips(text in "-?[1-9][0-9]{0,400}") {
            prop_assert_eq!(int_to_decimal(&int_from_decimal(&text).unwrap()), text);
        }
    }

    #[test]
    fn odd_texts() {
        for text in ["", "-", "+", "1.0", "1_000", " 1", "x"] {
            assert_eq!(int_from_decimal(text), None, "{text:?}");
        }
        assert_eq!(int_to_decimal(&[]), "0");
        assert_eq!(int_to_decimal(&[0, 0]), "0");
        assert_eq!(int_from_decimal("-0"), Some(vec![0]));
        assert_eq!(int_from_decimal("-128"), Some(vec![0x80]));
    }
}
