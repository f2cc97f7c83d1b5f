//! How one Comet is called where that isn't as all are: what the labels of a list say of it.

use std::path::PathBuf;

use super::{CometTls, GivenCometTls, Metadata, Wording, metadata, server_name};

/// The labels as they stand in a list, each by itself.
#[derive(Default)]
pub struct Labels {
    /// As `comet-metadata` has it.
    pub metadata: Option<String>,
    pub tls: Option<bool>,
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
}

/// What the labels say. What they leave out is as it is for all.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnSettings {
    /// In place of all of `comet-metadata`: what is for others never goes to it.
    pub metadata: Option<Metadata>,
    pub tls: OwnTls,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OwnTls {
    AsAll,
    Off,
    On(CometTls),
}

impl Labels {
    /// Puts them together with what TLS has for all. Returns None where they say nothing.
    ///
    /// # Errors
    /// One is wrong, or two don't go together: which, and what to do. No value of metadata is shown.
    pub fn with(self, of_all: Option<&CometTls>) -> Result<Option<OwnSettings>, String> {
        let metadata = match &self.metadata {
            None => None,
            Some(text) => {
                let wrong = |why| format!("the label metadata: {why}");
                Some(metadata::metadata(text).map_err(wrong)?)
            }
        };
        let own = OwnSettings {
            metadata,
            tls: self.tls(of_all)?,
        };
        let says_nothing = own.metadata.is_none() && own.tls == OwnTls::AsAll;
        Ok((!says_nothing).then_some(own))
    }

    fn tls(self, of_all: Option<&CometTls>) -> Result<OwnTls, String> {
        let files = [&self.ca, &self.certificate, &self.key];
        let has_none = files.iter().all(|file| file.is_none()) && self.server_name.is_none();
        if self.tls.is_none() && has_none {
            return Ok(OwnTls::AsAll);
        }
        let server_name = match &self.server_name {
            None => None,
            Some(name) => {
                let wrong = |why| format!("the label server-name: {why}");
                Some(server_name(name).map_err(wrong)?)
            }
        };
        let own = GivenCometTls {
            is_on: self.tls.unwrap_or(of_all.is_some()),
            ca: self.ca,
            certificate: self.certificate,
            key: self.key,
            server_name,
            wording: Wording::Labels,
        };
        let Some(own) = own.together()? else {
            return Ok(OwnTls::Off);
        };
        let of_all = of_all.cloned().unwrap_or_default();
        Ok(OwnTls::On(CometTls {
            ca: own.ca.or(of_all.ca),
            client: own.client.or(of_all.client),
            server_name: own.server_name.or(of_all.server_name),
            wording: own.wording,
        }))
    }
}

impl OwnSettings {
    /// The files that they name, and what for.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let of_metadata = self.metadata.iter().flat_map(Metadata::files);
        let mut files: Vec<_> = of_metadata
            .map(|(name, file)| (format!("the label metadata: {name}"), file.to_owned()))
            .collect();
        if let OwnTls::On(tls) = &self.tls {
            let client = tls.client.iter();
            let client = client.flat_map(|(own, key)| [("certificate", own), ("key", key)]);
            let all = tls.ca.iter().map(|ca| ("ca", ca)).chain(client);
            files.extend(all.map(|(label, file)| (tls.wording.of(label), file.clone())));
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metadata::Source;

    fn of_all() -> CometTls {
        CometTls {
            ca: Some("/all/ca".into()),
            client: Some(("/all/own".into(), "/all/key".into())),
            server_name: Some("all".into()),
            wording: Wording::Settings,
        }
    }

    fn tls(labels: Labels, of_all: Option<&CometTls>) -> OwnTls {
        labels.with(of_all).expect("right").expect("some").tls
    }

    #[test]
    fn what_a_comet_has_of_its_own_wins_and_the_rest_is_as_for_all() {
        let own = Labels {
            ca: Some("/own/ca".into()),
            ..Labels::default()
        };
        let expected = CometTls {
            ca: Some("/own/ca".into()),
            wording: Wording::Labels,
            ..of_all()
        };
        assert_eq!(tls(own, Some(&of_all())), OwnTls::On(expected));
        let pair = Labels {
            tls: Some(true),
            certificate: Some("/own/own".into()),
            key: Some("/own/key".into()),
            server_name: Some("own".into()),
            ..Labels::default()
        };
        let expected = CometTls {
            ca: None,
            client: Some(("/own/own".into(), "/own/key".into())),
            server_name: Some("own".into()),
            wording: Wording::Labels,
        };
        assert_eq!(tls(pair, None), OwnTls::On(expected));
        let off = Labels {
            tls: Some(false),
            ..Labels::default()
        };
        assert_eq!(tls(off, Some(&of_all())), OwnTls::Off);
    }

    #[test]
    fn metadata_is_in_place_of_what_goes_to_all_even_if_it_is_none() {
        let with = |text: &str| {
            let labels = Labels {
                metadata: Some(text.into()),
                ..Labels::default()
            };
            labels.with(None).map(|own| own.expect("some"))
        };
        let own = with("authorization=file:/run/t").expect("right");
        let expected = ("authorization".to_owned(), Source::File("/run/t".into()));
        assert_eq!(own.metadata, Some(Metadata(vec![expected])));
        assert_eq!((own.tls.clone(), own.files().len()), (OwnTls::AsAll, 1));
        assert_eq!(with("").expect("right").metadata, Some(Metadata::default()));
        let error = with("x-a=secret\u{e4}").expect_err("it is wrong");
        assert!(
            error.starts_with("the label metadata: x-a: ") && !error.contains("secret"),
            "{error}"
        );
        assert_eq!(Labels::default().with(Some(&of_all())), Ok(None));
    }

    #[test]
    fn labels_that_do_not_go_together_are_named() {
        let file = || Some(PathBuf::from("f"));
        for (labels, of_all, says) in [
            (
                Labels {
                    ca: file(),
                    ..Labels::default()
                },
                None,
                "the label ca needs TLS to the Comets: set the label tls = on",
            ),
            (
                Labels {
                    certificate: file(),
                    ..Labels::default()
                },
                Some(of_all()),
                "the label certificate needs its key: set the label key",
            ),
            (
                Labels {
                    server_name: Some("a b".into()),
                    ..Labels::default()
                },
                Some(of_all()),
                "the label server-name: a name or an IP address",
            ),
        ] {
            let error = labels.with(of_all.as_ref()).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
