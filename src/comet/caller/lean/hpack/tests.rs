use super::*;
use crate::base::text::one_line;
use proptest::prelude::*;

#[derive(Clone, Copy)]
struct Nothing;

impl Meaning for Nothing {
    fn of(_: &[u8], _: &[u8]) -> Self {
        Nothing
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn read(decoder: &mut Decoder<Nothing>, block: &[u8]) -> Result<Fields, Fault> {
    let mut fields = Vec::new();
    decoder.decode(block, |_, name, value| {
        fields.push((name.to_vec(), value.to_vec()))
    })?;
    Ok(fields)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Reads blocks one after the other, and returns the fields of each, a line for a field.
fn lines(decoder: &mut Decoder<Nothing>, blocks: &[&str]) -> Vec<String> {
    let text = |block: &&str| {
        let fields = read(decoder, &bytes(block)).expect("it can be read");
        let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
            format!(
                "{}: {}\n",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        fields.iter().map(line).collect::<String>()
    };
    blocks.iter().map(text).collect()
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n",
];

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
];

/// Appendix C.2.
#[test]
fn each_kind_of_field_is_read() {
    let fields = [
        (
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            "custom-key: custom-header\n",
        ),
        ("040c2f73616d706c652f70617468", ":path: /sample/path\n"),
        ("100870617373776f726406736563726574", "password: secret\n"),
        ("82", ":method: GET\n"),
    ];
    for (block, expected) in fields {
        assert_eq!(lines(&mut Decoder::new(), &[block]), [expected]);
    }
}

/// Appendix C.3 and C.4.
#[test]
fn requests_are_read_with_and_without_huffman() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, coded] {
        assert_eq!(lines(&mut Decoder::new(), &blocks), REQUESTS);
    }
}

/// Appendix C.5 and C.6: the table has 256 bytes, so entries go.
#[test]
fn responses_are_read_while_entries_are_evicted() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        assert_eq!(
            read(&mut decoder, &bytes("3fe101")),
            Ok(vec![]),
            "a size of 256"
        );
        assert_eq!(lines(&mut decoder, &blocks), RESPONSES);
        assert!(read(&mut decoder, &bytes("c0")).is_ok());
        assert!(
            read(&mut decoder, &bytes("c1")).is_err(),
            "three entries are left"
        );
    }
}

#[test]
fn what_is_no_header_block_is_refused() {
    for (block, why) in [
        ("80", "index 0"),
        ("be", "an entry of the empty table"),
        ("ff808080808001", "a number that is too large"),
        ("ff", "a number that is cut"),
        ("400a6375", "a string that is cut"),
        ("4001", "a name that is missing"),
        ("400161", "a value that is missing"),
        ("408162ff0161", "a Huffman code that is wrong"),
        ("3fe21f", "a table of 4097 bytes"),
        ("823f00", "a size behind a field"),
    ] {
        assert!(read(&mut Decoder::new(), &bytes(block)).is_err(), "{why}");
    }
    assert_eq!(
        read(&mut Decoder::new(), &bytes("203fe11f82")).map(|fields| fields.len()),
        Ok(1)
    );
}

/// Appendix C.1.
#[test]
fn numbers_are_written_as_they_are_read() {
    let written = |first, prefix, number| {
        let mut out = Vec::new();
        write_integer(&mut out, first, prefix, number);
        out
    };
    assert_eq!(written(0, 5, 10), [10]);
    assert_eq!(written(0xe0, 5, 1337), [0xff, 0x9a, 0x0a]);
    assert_eq!(written(0, 8, 42), [42]);
    for number in [0, 30, 31, 32, 158, 159, 160, 16_384, 268_435_455] {
        let bytes = written(0, 5, number);
        assert_eq!(Input(&bytes).integer(5), Ok(number));
    }
}

/// Few names, so that entries are used again.
fn a_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        "[a-d]",
        "grpc-[a-z]{1,9}",
        Just("date".into()),
        Just(":status".into())
    ];
    let value = prop_oneof![Just("200".to_owned()), "[ -~]{0,6}", "[a-z]{0,600}"];
    (name, value).prop_map(|(name, value)| (name.into_bytes(), value.into_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_another_implementation_writes_is_read(
        blocks in prop::collection::vec(
            (prop::collection::vec(a_field(), 0..8), prop::option::of(0_usize..4097)),
            1..40,
        )
    ) {
        let mut encoder = loona_hpack::Encoder::new();
        let mut decoder = Decoder::new();
        for (fields, size) in blocks {
            let mut block = Vec::new();
            if let Some(size) = size {
                write_integer(&mut block, 0x20, 5, size);
                encoder.set_max_table_size(size);
            }
            let pairs = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
            block.extend(encoder.encode(pairs));
            prop_assert_eq!(read(&mut decoder, &block), Ok(fields));
        }
    }

    #[test]
    fn anything_is_read_as_another_implementation_does(blocks: Vec<Vec<u8>>) {
        let mut theirs = loona_hpack::Decoder::new();
        theirs.set_max_allowed_table_size(LIMIT);
        let mut ours = Decoder::new();
        for block in blocks {
            let Ok(fields) = read(&mut ours, &block) else {
                break;
            };
            match theirs.decode(&block) {
                Ok(read) => prop_assert_eq!(fields, read),
                // It takes no size in some places where the RFC has it.
                Err(error) => {
                    let said = one_line(&format!("{error:?}"));
                    prop_assert!(block[0] & 0xe0 == 0x20, "{said} of {block:?}");
                    break;
                }
            }
        }
    }
}
