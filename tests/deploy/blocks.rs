//! The commands in the documentation's blocks.

use std::path::{Path, PathBuf};

/// One command of a block, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub file: String,
    pub number: usize,
    pub words: Vec<String>,
}

impl Line {
    /// Where it stands, for whoever has to mend it.
    pub fn place(&self) -> String {
        format!("{}:{}: {}", self.file, self.number, self.words.join(" "))
    }

    /// The program, without the folder that it is in.
    pub fn program(&self) -> &str {
        let first = self.words.first().map_or("", |word| word);
        match first.rsplit_once('/') {
            Some((folder, name)) if folder != "scripts" => name,
            _ => first,
        }
    }
}

/// The pages for people, in both languages.
pub fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"]
        .map(PathBuf::from)
        .into();
    let docs = std::fs::read_dir(root.join("docs")).expect("docs/ is there");
    for entry in docs {
        let name = entry.expect("it can be read").file_name();
        pages.push(Path::new("docs").join(name));
    }
    pages.retain(|page| page.extension().is_some_and(|ext| ext == "md"));
    pages.sort();
    let pages = pages.into_iter();
    pages.map(|page| page.display().to_string()).collect()
}

pub fn text(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The commands of a page: all lines of its `bash` blocks, and those with a prompt in its `console` blocks.
pub fn commands(page: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for block in blocks(&text(page)) {
        let mut variables: Vec<(String, Vec<String>)> = Vec::new();
        for (number, line) in joined(&block) {
            for mut words in split(&line) {
                if let [assignment] = &words[..]
                    && let Some((name, value)) = assigned(assignment)
                {
                    let value = split(value).into_iter().flatten().collect();
                    variables.push((format!("${name}"), value));
                    continue;
                }
                // Who starts it in which way doesn't matter.
                while words.len() > 1 && (words[0] == "nohup" || assigned(&words[0]).is_some()) {
                    words.remove(0);
                }
                if let Some((_, value)) = variables.iter().find(|(name, _)| *name == words[0]) {
                    words.splice(0..1, value.iter().cloned());
                }
                found.push(Line {
                    file: page.into(),
                    number,
                    words,
                });
            }
        }
    }
    found
}

/// `name=value`.
fn assigned(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, value))
}

/// What a block is written in, and its lines with their numbers.
pub struct Block {
    pub language: String,
    pub lines: Vec<(usize, String)>,
}

pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (line, number) in text.lines().zip(1..) {
        match line.trim_start().strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                blocks.push(Block {
                    language: language.trim().into(),
                    lines: Vec::new(),
                });
            }
            None if inside => {
                let block = blocks.last_mut().expect("one was begun");
                block.lines.push((number, line.into()));
            }
            None => {}
        }
    }
    blocks
}

/// The lines with commands, those that go on behind a backslash joined.
fn joined(block: &Block) -> Vec<(usize, String)> {
    let mut lines = block.lines.iter();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        let command = match block.language.as_str() {
            "bash" => line,
            "console" => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => continue,
            },
            _ => continue,
        };
        let mut command = command.to_owned();
        while let Some(rest) = command.strip_suffix('\\') {
            let next = lines.next().map_or("", |(_, line)| line.trim());
            command = format!("{}{next}", rest);
        }
        found.push((*number, command));
    }
    found
}

/// Takes a line apart as a shell does, as far as the documentation needs it: into commands, each into words. Where output goes
/// is left out.
pub fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote) = (None::<String>, None::<char>);
    let mut redirects = false;
    let mut chars = line.chars().peekable();
    let end = |word: &mut Option<String>, redirects: &mut bool, commands: &mut Vec<Vec<String>>| {
        let Some(word) = word.take() else { return };
        if !std::mem::take(redirects) {
            commands.last_mut().expect("there is one").push(word);
        }
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, '#') if word.is_none() => break,
            (None, '>') => {
                // 2>&1, >> file
                if word.as_deref() == Some("2") {
                    word = None;
                }
                end(&mut word, &mut redirects, &mut commands);
                while chars.next_if(|c| ['>', '&'].contains(c)).is_some() {}
                redirects = true;
            }
            (None, '|' | ';' | '&' | '(' | ')')
                if !word.as_deref().is_some_and(|w| w.ends_with('$')) =>
            {
                end(&mut word, &mut redirects, &mut commands);
                commands.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end(&mut word, &mut redirects, &mut commands),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut redirects, &mut commands);
    commands.retain(|words| !words.is_empty());
    commands
}
