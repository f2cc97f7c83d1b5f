//! Text for people: text from outside as a part of a line, and numbers with their nouns.

use std::fmt::Write as _;

/// Limits the bytes shown of a body.
const SHOWN: usize = 1024;
/// Limits the bytes shown of a name, or of another program's text.
const LINE_SHOWN: usize = 200;

/// Escapes text from outside to one readable line that can't forge a line of the log: bytes that aren't UTF-8 become
/// `\xNN`; a new line becomes `\n`; other control characters except the tab, and direction marks, become `\u{N}`. Of more
/// than 1 KiB it shows the first part and the length.
pub fn escape_body(body: &[u8]) -> String {
    escape_first(body, SHOWN)
}

/// Escapes a name or another program's text as `escape_body` does, and cuts it after 200 bytes.
pub fn one_line(text: &str) -> String {
    escape_first(text.as_bytes(), LINE_SHOWN)
}

/// Escapes as `escape_body` does, and shows at most this many bytes.
pub fn escape_first(body: &[u8], most: usize) -> String {
    let shown = &body[..shown_length(body, most)];
    let mut text = String::with_capacity(shown.len() + 16);
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push('\t'),
                c if c.is_control() || rearranges(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if shown.len() < body.len() {
        let _ = write!(
            text,
            "… ({} bytes, first {} shown)",
            body.len(),
            shown.len()
        );
    }
    text
}

/// The bytes to show: at most `most`, and no part of a character.
fn shown_length(body: &[u8], most: usize) -> usize {
    if body.len() <= most {
        return body.len();
    }
    let starts_character = |&at: &usize| body[at] & 0b1100_0000 != 0b1000_0000;
    (most.saturating_sub(3)..=most)
        .rev()
        .find(starts_character)
        .unwrap_or(most)
}

/// Unicode's line separators and its marks of direction.
fn rearranges(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1 message`, `2 messages`.
pub fn counted(count: impl Into<u64>, thing: &str) -> String {
    match count.into() {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_is_escaped() {
        for (body, shown) in [
            (&b"hello \t\"world\" \\"[..], "hello \t\"world\" \\"),
            ("聊天室 🎉".as_bytes(), "聊天室 🎉"),
            (b"a\r\nb\0\x1b[31m\x7f", "a\\r\\nb\\u{0}\\u{1b}[31m\\u{7f}"),
            (b"\xff\xfeok\xe8\x81", "\\xff\\xfeok\\xe8\\x81"),
            (
                "\u{85}\u{2028}\u{202e}\u{61c}x".as_bytes(),
                "\\u{85}\\u{2028}\\u{202e}\\u{61c}x",
            ),
            (b"", ""),
        ] {
            assert_eq!(escape_body(body), shown);
        }
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        assert_eq!(escape_body(&[b'a'; 1024]), "a".repeat(1024));
        assert_eq!(
            escape_body(&[b'a'; 1025]),
            "a".repeat(1024) + "… (1025 bytes, first 1024 shown)"
        );
        let wide = "天".repeat(500);
        assert_eq!(
            escape_body(wide.as_bytes()),
            "天".repeat(341) + "… (1500 bytes, first 1023 shown)"
        );
        let garbage = escape_body(&[0x80; 2000]);
        assert_eq!(
            garbage,
            "\\x80".repeat(1024) + "… (2000 bytes, first 1024 shown)"
        );
        let mega = escape_body(&vec![b'x'; 1 << 20]);
        assert!(
            mega.ends_with("… (1048576 bytes, first 1024 shown)"),
            "{mega}"
        );
    }
}
