//! What goes along with each call to a Comet: names and values, some of which files hold.
//!
//! Files are read again while job runs. One that can't be used changes nothing.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::base::metadata::{EACH, LONGEST_VALUE, Source, check_size, check_value};
use crate::base::text::one_line;
use crate::settings;

/// How often files are read.
const READ_EVERY: Duration = Duration::from_secs(2);

/// A name and its value, as they travel.
#[derive(Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub value: String,
    /// Nothing on the way may keep it: a file holds it, or it says who we are.
    pub is_secret: bool,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (hidden)", self.name)
    }
}

/// Shared by all that call Comets.
pub struct Metadata {
    sources: Vec<(String, Source)>,
    /// How often a value has changed.
    version: AtomicU64,
    fields: Mutex<Arc<[Field]>>,
}

impl Metadata {
    /// Reads the files. Returns `None` where nothing is to go along.
    ///
    /// # Errors
    /// A file can't be used: which, and why.
    pub fn read(settings: &settings::Metadata) -> Result<Option<Arc<Self>>, String> {
        Self::of(settings).map_err(|why| format!("comet-metadata: {why}"))
    }

    /// As [`Self::read`], for one Comet alone.
    ///
    /// # Errors
    /// A file can't be used: which value's, and why.
    pub fn of(settings: &settings::Metadata) -> Result<Option<Arc<Self>>, String> {
        let sources = &settings.0;
        if sources.is_empty() {
            return Ok(None);
        }
        let fields = fields(sources)?;
        Ok(Some(Arc::new(Self {
            sources: sources.to_vec(),
            version: AtomicU64::new(0),
            fields: Mutex::new(fields),
        })))
    }

    /// Changes when a value has changed.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What goes along now.
    pub fn fields(&self) -> Arc<[Field]> {
        self.locked().clone()
    }

    /// Reads the files again and again, on a thread of its own, if there are any.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        if !self.sources.iter().any(|(_, source)| source.is_file()) {
            return Ok(());
        }
        let metadata = self.clone();
        let mut watch = Watch::default();
        let read_again = move || {
            loop {
                thread::sleep(READ_EVERY);
                match watch.look(&metadata) {
                    None => {}
                    Some(Ok(names)) => {
                        log::info!("comet-metadata: calls have a new value from now on: {names}");
                    }
                    Some(Err(why)) => {
                        log::warn!("comet-metadata: {why}. Calls go on with what was read before");
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("metadata".into());
        thread.spawn(read_again).map(drop)
    }

    /// Replaces the values. Returns the names of those that changed; None if none did.
    fn take(&self, fields: Arc<[Field]>) -> Option<String> {
        let before = std::mem::replace(&mut *self.locked(), fields.clone());
        if before == fields {
            return None;
        }
        self.version.fetch_add(1, Ordering::Release);
        let pairs = before.iter().zip(&*fields);
        let changed = pairs.filter(|(before, after)| before != after);
        let names: Vec<_> = changed.map(|(field, _)| field.name.as_str()).collect();
        Some(names.join(", "))
    }

    fn locked(&self) -> MutexGuard<'_, Arc<[Field]>> {
        // A panic ends the process.
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the files of metadata again and reports each change once.
#[derive(Default)]
pub struct Watch {
    /// Why they couldn't be used the last time.
    broken: Option<String>,
}

impl Watch {
    /// Returns the names of the values that changed, or why the files can't be used; None if there is no news.
    pub fn look(&mut self, metadata: &Metadata) -> Option<Result<String, String>> {
        match fields(&metadata.sources) {
            Ok(fields) => {
                self.broken = None;
                metadata.take(fields).map(Ok)
            }
            Err(why) if self.broken.as_ref() == Some(&why) => None,
            Err(why) => {
                self.broken = Some(why.clone());
                Some(Err(why))
            }
        }
    }
}

fn fields(sources: &[(String, Source)]) -> Result<Arc<[Field]>, String> {
    let field = |(name, source): &(String, Source)| {
        let value = match source {
            Source::Given(value) => value.clone(),
            Source::File(path) => {
                in_file(name, path).map_err(|why| format!("{name}: {}: {why}", shown(path)))?
            }
        };
        let says_who = matches!(
            &name[..],
            "authorization" | "cookie" | "proxy-authorization"
        );
        Ok::<_, String>(Field {
            name: name.clone(),
            value,
            is_secret: says_who || source.is_file(),
        })
    };
    let fields: Arc<[Field]> = sources.iter().map(field).collect::<Result<_, _>>()?;
    check_size(size(&fields))?;
    Ok(fields)
}

/// What the fields have as HTTP/2 counts them.
pub fn size(fields: &[Field]) -> usize {
    let one = |field: &Field| field.name.len() + field.value.len() + EACH;
    fields.iter().map(one).sum()
}

/// The value that a file holds, without the end of its line.
fn in_file(name: &str, path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let most = LONGEST_VALUE as u64 + 3;
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8 text")?;
    check_value(name, text.trim_end_matches(['\r', '\n']))
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn values(metadata: &Metadata) -> Vec<(String, String, bool)> {
        let fields = metadata.fields();
        let one = |field: &Field| (field.name.clone(), field.value.clone(), field.is_secret);
        fields.iter().map(one).collect()
    }

    #[test]
    fn a_file_is_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let sources = vec![
            ("x-env".to_owned(), Source::Given("prod".into())),
            ("x-token".to_owned(), Source::File(path.clone())),
        ];
        let error = Metadata::read(&settings::Metadata(sources.clone()))
            .err()
            .expect("no file");
        assert!(
            error.starts_with("comet-metadata: x-token: ") && error.contains("No such file"),
            "{error}"
        );
        fs::write(&path, "first\r\n").expect("written");
        let metadata = Metadata::read(&settings::Metadata(sources.clone()))
            .expect("right")
            .expect("some");
        let env = || ("x-env".to_owned(), "prod".to_owned(), false);
        let with = |token: &str| vec![env(), ("x-token".into(), token.into(), true)];
        assert_eq!(values(&metadata), with("first"));

        let mut watch = Watch::default();
        let news = || Some(Ok("x-token".to_owned()));
        assert_eq!((watch.look(&metadata), metadata.version()), (None, 0));
        fs::write(&path, "second").expect("written");
        assert_eq!((watch.look(&metadata), metadata.version()), (news(), 1));
        assert_eq!(values(&metadata), with("second"));

        for wrong in [&b""[..], b"a\nb", b"\xff", &[b'x'; LONGEST_VALUE + 1]] {
            fs::write(&path, wrong).expect("written");
            assert!(
                watch.look(&metadata).is_some_and(|news| news.is_err()),
                "{wrong:?}"
            );
            assert_eq!(watch.look(&metadata), None, "it is said once");
        }
        fs::remove_file(&path).expect("removed");
        let gone = watch.look(&metadata).expect("news").expect_err("no file");
        assert!(!gone.contains("second"), "{gone}");
        assert_eq!((metadata.version(), values(&metadata)), (1, with("second")));
        fs::write(&path, "third").expect("written");
        assert_eq!((watch.look(&metadata), metadata.version()), (news(), 2));
    }

    #[test]
    fn what_says_who_we_are_is_secret() {
        let given = |name: &str| (name.to_owned(), Source::Given("v".into()));
        let sources = vec![given("authorization"), given("x-env")];
        let metadata = Metadata::read(&settings::Metadata(sources.clone()))
            .expect("right")
            .expect("some");
        let secret: Vec<_> = metadata
            .fields()
            .iter()
            .map(|field| field.is_secret)
            .collect();
        assert_eq!(secret, [true, false]);
        assert!(Metadata::read(&settings::Metadata::default()).is_ok_and(|none| none.is_none()));
    }
}
