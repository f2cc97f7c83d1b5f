//! Characters that look like ASCII and aren't: from a Chinese keyboard, or from copied text.

/// Returns the ASCII character that a Chinese keyboard's `c` stands for.
pub fn meant(c: char) -> Option<char> {
    match c {
        '、' => Some(','),
        '。' => Some('.'),
        '\u{3000}' => Some(' '),
        '“' | '”' => Some('"'),
        '‘' | '’' => Some('\''),
        '－' | '–' | '—' => Some('-'),
        // The full-width forms of ASCII stand in its order.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0),
        _ => None,
    }
}

/// Names the first character of `text` that isn't ASCII, and what to write instead.
pub fn foreign(text: &str) -> Option<String> {
    let c = text.chars().find(|c| !c.is_ascii())?;
    Some(match meant(c) {
        Some(ascii) => instead(c, &format!("'{ascii}'")),
        None => format!("{} can't stand here", named(c)),
    })
}

/// `'，' (U+FF0C): write 'this' instead`.
pub fn instead(c: char, this: &str) -> String {
    format!("{}: write {this} instead", named(c))
}

/// The character and its code point; the code point alone if the character is invisible.
pub fn named(c: char) -> String {
    let number = format!("U+{:04X}", c as u32);
    let invisible =
        c.is_control() || c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
    match c {
        _ if invisible => format!("the invisible character {number}"),
        _ if c.is_ascii() => format!("'{c}'"),
        _ => format!("'{c}' ({number})"),
    }
}
