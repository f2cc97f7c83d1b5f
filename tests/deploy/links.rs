//! Links between the pages lead to files and headings that are there, and to the reader's language.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::blocks;
use super::file;

/// All pages: those for people, and those in English alone.
fn pages() -> Vec<String> {
    let mut pages = blocks::pages();
    pages.push("CHANGELOG.md".into());
    let decisions = std::fs::read_dir(file("docs/decisions")).expect("docs/decisions is there");
    for entry in decisions {
        let name = entry.expect("it can be read").file_name();
        pages.push(format!("docs/decisions/{}", name.display()));
    }
    pages.retain(|page| page.ends_with(".md"));
    pages
}

/// A page's lines outside its blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The targets of a page's links and images.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = prose(text).collect();
    let prose = prose.join("\n");
    let after = prose.split("](").skip(1);
    let target = |rest: &str| rest.split(')').next().unwrap_or_default().to_owned();
    after.map(target).collect()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.collect::<String>().to_lowercase()
}

/// A page's anchors: of headings that are the same, the second one ends with `-1`.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let mut found = Vec::new();
    for heading in headings {
        let anchor = anchor(heading.trim_start_matches('#').trim());
        let times = seen.entry(anchor.clone()).or_default();
        found.push(match *times {
            0 => anchor,
            again => format!("{anchor}-{again}"),
        });
        *times += 1;
    }
    found
}

/// A target as a path from the project's folder.
fn resolved(page: &str, target: &str) -> PathBuf {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in folder.join(target).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            part => path.push(part),
        }
    }
    path
}

/// What is wrong with a link, if anything is.
fn fault(page: &str, link: &str) -> Option<&'static str> {
    let (target, wanted) = link.split_once('#').unwrap_or((link, ""));
    let path = match target {
        "" => PathBuf::from(page),
        target => resolved(page, target),
    };
    if !file(&path.display().to_string()).exists() {
        return Some("nothing is there");
    }
    let name = path.display().to_string();
    if !wanted.is_empty() && !anchors(&blocks::text(&name)).iter().any(|a| a == wanted) {
        return Some("it has no such heading");
    }
    let twin = name.replace(".md", ".zh-CN.md");
    let is_twin_of_page = page.replace(".zh-CN.md", ".md") == name.replace(".zh-CN.md", ".md");
    if page.contains(".zh-CN.") {
        let has_twin = !name.contains(".zh-CN.") && name.ends_with(".md") && file(&twin).exists();
        return (has_twin && !is_twin_of_page).then_some("it is there in Chinese, too");
    }
    (name.contains(".zh-CN.") && !is_twin_of_page).then_some("it is in Chinese")
}

#[test]
fn each_link_leads_to_what_is_there() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        for link in links(&blocks::text(&page)) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            if let Some(fault) = fault(&page, &link) {
                wrong.push(format!("{page}: {link}: {fault}"));
            }
        }
    }
    assert!(seen > 400, "{seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_page_is_linked_from_the_first_one_in_its_language() {
    for (first, chinese) in [("README.md", false), ("README.zh-CN.md", true)] {
        let links = links(&blocks::text(first));
        let linked: Vec<&str> = links
            .iter()
            .filter_map(|link| link.split('#').next())
            .collect();
        let pages = blocks::pages();
        let pages = pages
            .iter()
            .filter(|page| page.contains(".zh-CN.") == chinese);
        for page in pages.filter(|page| *page != first) {
            assert!(
                linked.contains(&page.as_str()),
                "{first} doesn't name {page}"
            );
        }
    }
}

#[test]
fn both_languages_have_the_same_headings_and_as_many_rows() {
    let shape = |page: &str| -> Vec<String> {
        let text = blocks::text(page);
        let lines = prose(&text).filter(|line| line.starts_with(['#', '|', '!']));
        let mark = |line: &str| line.chars().take_while(|c| "#|!".contains(*c)).collect();
        lines.map(mark).collect()
    };
    for page in [
        "README",
        "docs/CONFIGURATION",
        "docs/FIRST-STEPS",
        "docs/MESSAGES",
    ] {
        let chinese = format!("{page}.zh-CN.md");
        let (here, there) = (shape(&format!("{page}.md")), shape(&chinese));
        assert_eq!(here, there, "{page}");
    }
}

#[test]
fn anchors_are_made_as_on_github() {
    assert_eq!(
        anchor("`job check`: what's there?"),
        "job-check-whats-there"
    );
    assert_eq!(anchor("key 与顺序（房间）"), "key-与顺序房间");
    assert_eq!(anchors("# A\n```\n# B\n```\n## A"), ["a", "a-1"]);
    assert_eq!(
        links("[a\nb](c.md#d) and `x`, ![e](f.png)"),
        ["c.md#d", "f.png"]
    );
    assert_eq!(
        resolved("docs/A.md", "../README.md"),
        Path::new("README.md")
    );
    assert_eq!(fault("docs/STATUS.md", "NONE.md"), Some("nothing is there"));
    let chinese = fault("docs/STATUS.md", "METRICS.zh-CN.md");
    assert_eq!(chinese, Some("it is in Chinese"));
}
