//! Huffman-coded strings (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: among codes of one length the symbols ascend, and each length goes on where the shorter one ended.
//! So the lengths say it all, and the rest is worked out of them at compile time.

/// Bits of the longest code.
const LONGEST: usize = 30;

/// Bits of each byte's code, by appendix B. EOS has 30 bits, the last code of all.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

struct Canon {
    /// For each length: the first code that is longer, with its bits at the top of 32.
    ends: [u32; LONGEST + 1],
    /// For each length: the place in `symbols` of the symbol that the code 0 of that length would have.
    offsets: [i64; LONGEST + 1],
    /// Bytes, by length and value.
    symbols: [u8; 256],
}

static CANON: Canon = canon();

const fn canon() -> Canon {
    let mut canon = Canon {
        ends: [0; LONGEST + 1],
        offsets: [0; LONGEST + 1],
        symbols: [0; 256],
    };
    let (mut length, mut placed, mut code) = (1, 0, 0u32);
    while length <= LONGEST {
        code <<= 1;
        canon.offsets[length] = placed as i64 - code as i64;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                canon.symbols[placed] = symbol as u8;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        canon.ends[length] = code << (32 - length);
        length += 1;
    }
    // The last 30-bit code is EOS, which never stands in a string.
    assert!(placed == 256 && code == (1 << LONGEST) - 1);
    canon
}

/// Appends the decoded string. Returns `None` where it holds EOS or its padding isn't the begin of EOS (5.2).
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // Bits that aren't decoded yet, at the top.
    let mut bits = 0u64;
    let mut count = 0;
    let mut rest = coded.iter();
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let window = (bits >> 32) as u32;
        let Some(length) = (5..=LONGEST).find(|length| window < CANON.ends[*length]) else {
            // EOS, or its begin where the string ends.
            return (count < 8 && is_padding(bits, count)).then_some(());
        };
        if length > count {
            return (count < 8 && is_padding(bits, count)).then_some(());
        }
        let code = i64::from(window >> (32 - length));
        out.push(CANON.symbols[(code + CANON.offsets[length]) as usize]);
        bits <<= length;
        count -= length;
    }
}

/// Whether the `count` bits that are left are all ones.
fn is_padding(bits: u64, count: usize) -> bool {
    count == 0 || bits >> (64 - count) == (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    /// The examples of appendix C.4 and C.6.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let examples: [(&[u8], &str); 4] = [
            (
                b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
                "www.example.com",
            ),
            (b"\xa8\xeb\x10\x64\x9c\xbf", "no-cache"),
            (b"\x64\x02", "302"),
            (
                b"\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (coded, text) in examples {
            assert_eq!(decoded(coded), Some(text.into()), "{text}");
        }
        assert_eq!(decoded(b""), Some(Vec::new()));
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        // "0" has the code 00000.
        assert_eq!(decoded(&[0b0000_0111]), Some(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), None);
        assert_eq!(decoded(&[0b0000_0111, 0xff]), None, "a byte of padding");
        assert_eq!(decoded(&[0xff; 4]), None, "EOS");
        assert_eq!(decoded(&[0xff; 9]), None);
    }

    proptest! {
        #[test]
        fn what_another_implementation_codes_is_read(text: Vec<u8>) {
            let mut coded = Vec::new();
            httlib_huffman::encode(&text, &mut coded).expect("it can code everything");
            prop_assert_eq!(decoded(&coded), Some(text));
        }

        #[test]
        fn anything_is_read_or_refused_as_another_implementation_does(coded: Vec<u8>) {
            let mut theirs = Vec::new();
            let read = httlib_huffman::decode(
                &coded,
                &mut theirs,
                httlib_huffman::DecoderSpeed::FourBits,
            );
            if let Some(ours) = decoded(&coded) {
                prop_assert!(read.is_ok());
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
