//! Base64 (RFC 4648, standard alphabet, padded): how Go's encoding/json writes bytes.

/// The bytes that `text` stands for; `None` when it is not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len().checked_sub(digits.len())?;
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = (bits << 6) | value(*digit)?;
        }
        // Two digits make one byte, three make two, four make three; a single one cannot be.
        let count = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        let missing = 4_usize.checked_sub(group.len())?;
        bits = bits.checked_shl(u32::try_from(missing).ok()?.checked_mul(6)?)?;
        let [_, a, b, c] = bits.to_be_bytes();
        bytes.extend([a, b, c].iter().take(count));
    }
    Some(bytes)
}

/// The value of one digit.
fn value(digit: u8) -> Option<u32> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    ALPHABET.iter().position(|other| *other == digit).and_then(|value| u32::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_decode() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zm9v=", "Zm-v", "Zm 9", "Z=9v", "žžžž"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
