//! Which Comets a letter is for: those that did not take its message.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// No Comet has it, or the letter doesn't say which have.
    All,
    /// These did not take it; the others have it. Names as in `--comet`.
    Only(BTreeSet<String>),
}

impl Whom {
    /// Reads a letter's header, if it has one: names separated by commas.
    pub fn read(header: Option<&str>) -> Whom {
        let names = header.unwrap_or_default().split(',').map(str::trim);
        let names: BTreeSet<_> = names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        match names.is_empty() {
            true => Whom::All,
            false => Whom::Only(names),
        }
    }

    /// Adds those of another letter of the same message.
    pub fn join(&mut self, other: &Whom) {
        match (&mut *self, other) {
            (Whom::Only(names), Whom::Only(more)) => names.extend(more.iter().cloned()),
            _ => *self = Whom::All,
        }
    }

    /// Whether what went to these went to all of the other's.
    pub fn includes(&self, other: &Whom) -> bool {
        match (self, other) {
            (Whom::All, _) => true,
            (Whom::Only(names), Whom::Only(others)) => others.is_subset(names),
            (Whom::Only(_), Whom::All) => false,
        }
    }

    /// The names; none for all Comets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Whom::All => None,
            Whom::Only(names) => Some(names.iter().map(String::as_str)),
        };
        names.into_iter().flatten()
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::All => f.write_str("all Comets"),
            Whom::Only(_) => f.write_str(&self.names().collect::<Vec<_>>().join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_comets_and_without_it_all_are_meant() {
        assert_eq!(Whom::read(None), Whom::All);
        assert_eq!(Whom::read(Some(" , ")), Whom::All);
        let two = Whom::read(Some("b:1, a:1,b:1"));
        assert_eq!(two.names().collect::<Vec<_>>(), ["a:1", "b:1"]);
        assert_eq!(two.to_string(), "a:1,b:1");
    }

    #[test]
    fn letters_of_one_message_for_different_comets() {
        let (a, b) = (Whom::read(Some("a:1")), Whom::read(Some("b:1")));
        let mut both = a.clone();
        both.join(&b);
        assert!(both.includes(&a) && both.includes(&b) && !a.includes(&both));
        assert!(Whom::All.includes(&both) && !both.includes(&Whom::All));
        both.join(&Whom::All);
        assert_eq!(both, Whom::All);
    }
}
