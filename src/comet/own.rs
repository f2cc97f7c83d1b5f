//! How one Comet is called where that isn't as all are: what a list says of it, and what is in the files that this names.
//!
//! The files are read again when they change. One that can't be used changes nothing.

use std::fs;
use std::sync::{Arc, Weak};

use super::metadata::{self, Metadata};
use super::tls::{self, Tls};
use crate::base::text::one_line;
use crate::message::fleet::{self, Node};
use crate::settings::{CometTls, Labels, OwnSettings, OwnTls};

/// What one Comet has of its own, or several of a group.
pub struct Own {
    settings: OwnSettings,
    metadata: Choice<Metadata>,
    tls: Choice<Tls>,
}

enum Choice<T> {
    AsAll,
    /// `None`: nothing goes along, or no TLS.
    Own(Option<Arc<T>>),
}

impl<T> Choice<T> {
    fn over(&self, of_all: Option<&Arc<T>>) -> Option<Arc<T>> {
        match self {
            Self::AsAll => of_all.cloned(),
            Self::Own(own) => own.clone(),
        }
    }

    fn own(&self) -> Option<&Arc<T>> {
        match self {
            Self::AsAll => None,
            Self::Own(own) => own.as_ref(),
        }
    }
}

/// What goes along with each call to this Comet, where this goes along with calls to the others.
pub fn metadata_of(node: &Node, of_all: Option<&Arc<Metadata>>) -> Option<Arc<Metadata>> {
    match Own::of(node) {
        None => of_all.cloned(),
        Some(own) => own.metadata.over(of_all),
    }
}

/// What TLS to this Comet needs, where the others have this.
pub fn tls_of(node: &Node, of_all: Option<&Arc<Tls>>) -> Option<Arc<Tls>> {
    match Own::of(node) {
        None => of_all.cloned(),
        Some(own) => own.tls.over(of_all),
    }
}

/// What TLS to this Comet has of its own.
pub fn tls_settings_of(node: &Node) -> Option<&CometTls> {
    match &Own::of(node)?.settings.tls {
        OwnTls::On(tls) => Some(tls),
        OwnTls::AsAll | OwnTls::Off => None,
    }
}

/// What is another one now, in words. `None`: nothing.
pub fn changed(before: &Node, now: &Node) -> Option<&'static str> {
    if before.own == now.own {
        return None;
    }
    let [before, now] = [before, now].map(|node| Own::of(node).map(|own| &own.settings));
    let metadata = |own: Option<&OwnSettings>| own.and_then(|own| own.metadata.clone());
    let tls = |own: Option<&OwnSettings>| own.map_or(OwnTls::AsAll, |own| own.tls.clone());
    match (metadata(before) != metadata(now), tls(before) != tls(now)) {
        (true, true) => Some("metadata and TLS"),
        (true, false) => Some("metadata"),
        (false, true) => Some("TLS"),
        (false, false) => None,
    }
}

impl Own {
    fn of(node: &Node) -> Option<&Self> {
        node.own.as_ref()?.content()
    }

    fn load(settings: &OwnSettings) -> Result<Self, String> {
        for (what, file) in settings.files() {
            // A pipe would hold up whoever opens it until somebody writes.
            if fs::metadata(&file).is_ok_and(|about| !about.is_file()) {
                let file = one_line(&file.display().to_string());
                return Err(format!("{what} {file}: it is no regular file"));
            }
        }
        let metadata = match &settings.metadata {
            None => Choice::AsAll,
            Some(metadata) => Choice::Own(
                Metadata::of(metadata).map_err(|why| format!("the label metadata: {why}"))?,
            ),
        };
        let tls = match &settings.tls {
            OwnTls::AsAll => Choice::AsAll,
            OwnTls::Off => Choice::Own(None),
            OwnTls::On(tls) => Choice::Own(Some(Arc::new(Tls::load(tls)?))),
        };
        Ok(Self {
            settings: settings.clone(),
            metadata,
            tls,
        })
    }
}

/// What Comets of lists have of their own. What is listed again as it was is the same as before.
pub struct Owns {
    tls_of_all: Option<CometTls>,
    kept: Vec<Kept>,
}

/// It is kept by the Comets that have it.
struct Kept {
    own: Weak<Own>,
    metadata: metadata::Watch,
    tls: Option<tls::Watch>,
}

impl Owns {
    /// What a list doesn't say of TLS is as here.
    pub fn new(tls_of_all: Option<CometTls>) -> Self {
        let kept = Vec::new();
        Self { tls_of_all, kept }
    }

    /// What these labels say; `None` where they say nothing.
    ///
    /// # Errors
    /// They can't be used, or a file that they name: which, and why.
    pub fn of(&mut self, labels: Labels) -> Result<Option<fleet::Own>, String> {
        let Some(settings) = labels.with(self.tls_of_all.as_ref())? else {
            return Ok(None);
        };
        let mut known = self.kept.iter().filter_map(|kept| kept.own.upgrade());
        if let Some(own) = known.find(|own| own.settings == settings) {
            return Ok(Some(fleet::Own::new(own)));
        }
        let own = Arc::new(Own::load(&settings)?);
        self.kept.push(Kept {
            own: Arc::downgrade(&own),
            metadata: metadata::Watch::default(),
            tls: own.tls.own().map(|tls| tls::Watch::new(tls)),
        });
        Ok(Some(fleet::Own::new(own)))
    }

    /// Reads the files again that have changed. What is new is said of those of these Comets that it is about.
    pub fn look<'a>(&mut self, nodes: impl Iterator<Item = &'a Node> + Clone) {
        self.kept.retain_mut(|kept| {
            let Some(own) = kept.own.upgrade() else {
                return false;
            };
            kept.look(&own, &|| whose(&own, nodes.clone()));
            true
        });
    }
}

impl Kept {
    fn look(&mut self, own: &Own, whose: &dyn Fn() -> String) {
        if let Some(metadata) = own.metadata.own() {
            match self.metadata.look(metadata) {
                None => {}
                Some(Ok(names)) => {
                    let whose = whose();
                    log::info!("{whose}: calls have a new value from now on: {names}");
                }
                Some(Err(why)) => {
                    let whose = whose();
                    log::warn!(
                        "{whose}: the label metadata: {why}. Calls go on with what was read before"
                    );
                }
            }
        }
        let (Some(watch), Some(tls)) = (&mut self.tls, own.tls.own()) else {
            return;
        };
        match watch.look(tls) {
            None => {}
            Some(Ok(())) => {
                let whose = whose();
                log::info!(
                    "{whose}: the files of its TLS have changed and were read again: new connections use them"
                );
            }
            Some(Err(error)) => {
                let whose = whose();
                log::warn!(
                    "{whose}: the files of its TLS have changed and can't be used; going on with what was in them: {error}"
                );
            }
        }
    }
}

fn whose<'a>(own: &Own, nodes: impl Iterator<Item = &'a Node>) -> String {
    let has_it = |node: &&Node| Own::of(node).is_some_and(|of| std::ptr::eq(of, own));
    let mut names: Vec<_> = nodes.filter(has_it).map(|node| &node.name[..]).collect();
    names.dedup();
    match &names[..] {
        [one] => format!("Comet {one}"),
        several => format!("Comets {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(path: &std::path::Path) -> Labels {
        Labels {
            metadata: Some(format!("authorization=file:{}", path.display())),
            ..Labels::default()
        }
    }

    fn value(node: &Node) -> String {
        let metadata = metadata_of(node, None).expect("it has some");
        metadata.fields()[0].value.clone()
    }

    #[test]
    fn what_is_listed_again_is_the_same_for_as_long_as_a_comet_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let mut owns = Owns::new(None);
        let error = owns.of(token(&file)).expect_err("there is no file");
        assert!(
            error.starts_with("the label metadata: authorization: "),
            "{error}"
        );
        fs::write(&file, "first").expect("written");
        let mut node = Node::from("a:1");
        node.own = owns.of(token(&file)).expect("right");
        assert_eq!(owns.of(token(&file)), Ok(node.own.clone()));

        fs::write(&file, "second").expect("written");
        owns.look([&node].into_iter());
        assert_eq!(value(&node), "second");
        fs::write(&file, "").expect("written");
        owns.look([&node].into_iter());
        assert_eq!(value(&node), "second");

        node.own = None;
        owns.look([&node].into_iter());
        assert!(owns.kept.is_empty());
    }

    #[test]
    fn what_a_comet_has_of_its_own_is_in_place_of_what_all_have() {
        let setting = crate::settings::metadata::metadata("x-env=prod").expect("right");
        let of_all = Metadata::read(&setting).expect("right");
        let mut owns = Owns::new(None);
        let mut node = Node::from("a:1");
        let goes_along = |node: &Node| {
            let metadata = metadata_of(node, of_all.as_ref());
            metadata.map(|own| own.fields()[0].name.clone())
        };
        assert_eq!(goes_along(&node).as_deref(), Some("x-env"));
        for (text, expected) in [("x-own=1", Some("x-own")), ("", None)] {
            let before = node.clone();
            let labels = Labels {
                metadata: Some(text.into()),
                ..Labels::default()
            };
            node.own = owns.of(labels).expect("right");
            assert_eq!(goes_along(&node).as_deref(), expected);
            assert_eq!(changed(&before, &node), Some("metadata"));
        }
        let off = Labels {
            tls: Some(false),
            ..Labels::default()
        };
        let before = node.clone();
        node.own = owns.of(off).expect("right");
        assert_eq!(changed(&before, &node), Some("metadata and TLS"));
        assert_eq!(goes_along(&node).as_deref(), Some("x-env"));
        assert!(tls_of(&node, None).is_none());
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("token");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let error = Owns::new(None).of(token(&pipe)).expect_err("no file");
        assert!(error.contains("it is no regular file"), "{error}");
    }
}
