//! A client certificate whose key is encrypted.

use std::path::Path;
use std::process::Command;

use super::{assert_text_hidden, check, reads, send, with};
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, secured};
use crate::support::topic::Topic;

/// Encrypts a key with what is in the file `password`.
pub fn encrypt(plain: &str, password: &Path, encrypted: &Path) {
    let password = format!("file:{}", password.display());
    let done = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes256", "-in", plain])
        .args(["-passout", &password, "-out"])
        .arg(encrypted)
        .output()
        .expect("openssl starts");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn an_encrypted_key_is_opened_with_its_password_alone() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all("User:CN=job", &topic);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [key, right, wrong] = ["key", "right", "wrong"].map(|name| folder.path().join(name));
    std::fs::write(&right, "open sesame\n").expect("written");
    std::fs::write(&wrong, "open barley\n").expect("written");
    encrypt(&secured.secret("client.key"), &right, &key);
    let flags = secured.flags(Listener::Mutual);
    let flags = with(&flags, "--ssl-key-location", key.to_str().expect("text"));
    let with_password = |password: &Path| {
        let more = ["--ssl-key-password-file", password.to_str().expect("text")];
        [&flags[..], &more.map(str::to_owned)].concat()
    };

    let comet = Comet::start();
    for (flags, says) in [
        (flags.clone(), "set ssl-key-password-file"),
        (with_password(&wrong), "isn't encrypted with the password"),
    ] {
        let said = check(&topic, &flags, &comet);
        assert_ne!(said.code, Some(0), "{}", said.out);
        let said = said.out + &said.err;
        assert!(
            said.contains("ssl-key-location") && said.contains(says),
            "{said}"
        );
        assert_text_hidden(&said, secured);
        assert!(!said.contains("barley"), "{said}");
    }
    let flags = with_password(&right);
    check(&topic, &flags, &comet).well();
    send(&topic, &flags, "r1", "first");
    let mut job = reads(&topic, &flags, &comet).start();
    comet.await_delivered(1);
    topic.await_no_lag();
    job.stop();
}
