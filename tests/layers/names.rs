//! The rooms and libraries that a source names: enough of Rust's grammar for that, and no more.

use std::collections::BTreeSet;

/// A room of the library, or a library.
#[derive(Debug)]
pub struct Name {
    pub first: String,
    /// Whether it is a room.
    pub in_crate: bool,
    pub line: usize,
}

/// What a source names that stands at `module` in the library; in a program that is empty, and its own modules are no rooms.
pub fn names(source: &str, module: &[String]) -> Vec<Name> {
    let tokens = without_tests(tokens(source));
    let paths = paths(&tokens);
    // `kafka::connect` is the room's where the file has that name from this crate.
    let is_ours = |path: &Path| matches!(path.parts[0], "crate" | "super" | "self");
    let imported: BTreeSet<&str> = paths
        .iter()
        .filter(|path| path.is_import && is_ours(path))
        .filter_map(|path| {
            path.parts
                .iter()
                .rev()
                .find(|part| **part != "self")
                .copied()
        })
        .collect();
    let mut found = Vec::new();
    for path in &paths {
        let first = path.parts[0];
        let room = match first {
            "crate" | "super" | "self" if module.is_empty() => None,
            "crate" | "chatroom_job" => path.parts.get(1).map(|room| (*room).to_owned()),
            "super" => {
                let up = path.parts.iter().take_while(|part| **part == "super");
                let up = up.count();
                match module.len().checked_sub(up) {
                    Some(0) => path.parts.get(up).map(|room| (*room).to_owned()),
                    Some(_) => Some(module[0].clone()),
                    None => None,
                }
            }
            "self" => None,
            _ => {
                if path.is_import || path.is_rooted || !imported.contains(first) {
                    found.push(Name {
                        first: first.to_owned(),
                        in_crate: false,
                        line: path.line,
                    });
                }
                None
            }
        };
        found.extend(room.map(|first| Name {
            first,
            in_crate: true,
            line: path.line,
        }));
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Words and signs (`::` is one) without comments, texts and single characters.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(c) = rest.chars().next() {
        let (length, is_token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (comment(rest), false)
        } else if let Some(length) = raw_text(rest) {
            (length, false)
        } else if c == '"' {
            (text(rest), false)
        } else if c == '\'' {
            (character(rest), false)
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            (end.unwrap_or(rest.len()), true)
        } else if rest.starts_with("::") {
            (2, true)
        } else {
            (c.len_utf8(), !c.is_whitespace())
        };
        let (text, after) = rest.split_at(length);
        if is_token {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// The length of a comment that may hold others.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a text in quotes.
fn text(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |end| end + 2)
}

/// The length of a text as `r"…"`, `br"…"` or `r#"…"#`, where it is one.
fn raw_text(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix("br").or(rest.strip_prefix('r'))?;
    let marks = body.len() - body.trim_start_matches('#').len();
    let body = body[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(rest.len() - body.len() + length)
}

/// The length of a character as `'x'`, or of a lifetime's mark.
fn character(rest: &str) -> usize {
    let mut after = rest.char_indices().skip(1);
    match after.next() {
        Some((_, '\\')) => {
            after.next();
            let end = after.find(|(_, c)| *c == '\'');
            end.map_or(rest.len(), |(at, _)| at + 1)
        }
        Some(_) => match after.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}

/// Leaves out each item that stands under `#[cfg(test)]`.
fn without_tests(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let marked = tokens[at..].iter().map(|token| token.text).take(7).eq(MARK);
        if marked {
            at = end_of_item(&tokens, at + 7);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Where an item ends: behind its first `;` or its braces, whichever comes first. What is between brackets is no end.
fn end_of_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut open = 0;
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" | "{" => open += 1,
            ")" | "]" => open -= 1,
            "}" => {
                open -= 1;
                // A list in braces goes on: `use a::{b, c};`
                let goes_on = tokens.get(at + 1).is_some_and(|next| next.text == ";");
                if open <= 0 && !goes_on {
                    return at + 1;
                }
            }
            ";" if open == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// A path: `a::b::c`.
struct Path<'a> {
    parts: Vec<&'a str>,
    line: usize,
    is_import: bool,
    /// Whether it begins with `::`.
    is_rooted: bool,
}

fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map_or("", |before| tokens[before].text);
        if tokens[at].text == "use" {
            at = tree(tokens, at + 1, &[], &mut found);
        } else if is_word(tokens[at].text) && before != "." {
            let start = at;
            let mut parts = vec![tokens[at].text];
            while let [colons, next, ..] = &tokens[at + 1..]
                && colons.text == "::"
                && is_word(next.text)
            {
                parts.push(next.text);
                at += 2;
            }
            at += 1;
            let goes_on = tokens.get(at).is_some_and(|next| next.text == "::");
            if parts.len() > 1 || goes_on {
                found.push(Path {
                    parts,
                    line: tokens[start].line,
                    is_import: false,
                    is_rooted: before == "::",
                });
            }
        } else {
            at += 1;
        }
    }
    found
}

/// Reads what stands behind `use`, or within its braces, and returns where it ends.
fn tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    found: &mut Vec<Path<'a>>,
) -> usize {
    let mut parts = prefix.to_vec();
    let mut line = tokens.get(at).map_or(0, |token| token.line);
    let mut is_empty = true;
    let mut is_rooted = false;
    while at < tokens.len() {
        let token = tokens[at];
        at += 1;
        match token.text {
            "::" => is_rooted |= parts.is_empty(),
            "as" => at += 1,
            "{" => {
                at = tree(tokens, at, &parts, found);
                is_empty = true;
            }
            "," | "}" | ";" => {
                if !is_empty {
                    found.push(Path {
                        parts: std::mem::replace(&mut parts, prefix.to_vec()),
                        line,
                        is_import: true,
                        is_rooted,
                    });
                }
                parts = prefix.to_vec();
                is_empty = true;
                if token.text != "," {
                    return at;
                }
            }
            word => {
                if is_empty {
                    line = token.line;
                }
                is_empty = false;
                parts.push(word);
            }
        }
    }
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
