//! dev-comet's page looks like job's status page, beside which the demo shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The colours of a light and of a dark page, by name.
fn palettes(file: &str) -> [BTreeMap<String, String>; 2] {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut blocks = text.split(":root {").skip(1).map(|rest| {
        let block = rest.split('}').next().expect("an end");
        let named = block
            .split(';')
            .filter_map(|line| line.rsplit_once("--")?.1.split_once(':'));
        named
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect()
    });
    [(); 2].map(|()| {
        blocks
            .next()
            .unwrap_or_else(|| panic!("{file}: a palette is missing"))
    })
}

#[test]
fn both_pages_have_the_same_colours() {
    let (ours, theirs) = (
        palettes("src/bin/dev-comet/page.html"),
        palettes("src/observe/page/status.css"),
    );
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let common: Vec<_> = ours
            .keys()
            .filter(|name| theirs.contains_key(*name))
            .collect();
        assert!(common.len() >= 9, "{common:?}");
        for name in common {
            assert_eq!(ours[name], theirs[name], "{name}");
        }
    }
}
