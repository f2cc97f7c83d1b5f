use super::*;

use tempfile::TempDir;

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

fn own(path: PathBuf) -> Folder {
    Folder { path, is_own: true }
}

fn take(path: &Path) -> (Place, UnixListener) {
    Place::take(path).expect("the place is free")
}

#[test]
fn a_socket_is_the_users_alone_and_goes_with_its_process() {
    let folder = temporary();
    let path = folder.path().join("a.sock");
    let (place, listener) = take(&path);
    let mode = path.metadata().expect("it is there").mode();
    assert_eq!(mode & 0o777, 0o600);
    UnixStream::connect(&path).expect("somebody listens");
    drop((place, listener));
    let left: Vec<_> = std::fs::read_dir(&folder).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_dead_process_socket_is_replaced_and_a_living_one_s_is_not() {
    let folder = temporary();
    let path = folder.path().join("a.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists(), "it is stale");
    let (first, listener) = take(&path);
    assert!(matches!(Place::take(&path), Err(Trouble::Taken)));
    UnixStream::connect(&path).expect("the first one still listens");
    drop(listener);
    let (second, _listener) = take(&path);
    // What is the other's by now stays.
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let folder = temporary();
    let path = folder.path().join("a.sock");
    std::fs::write(&path, "mine").expect("a file");
    let Err(Trouble::Failed(why)) = Place::take(&path) else {
        panic!("it was taken");
    };
    assert!(why.ends_with("is there, and is no socket"), "{why}");
    assert_eq!(std::fs::read(&path).expect("it is there"), b"mine");
    let nowhere = folder.path().join("nowhere/a.sock");
    assert!(matches!(Place::take(&nowhere), Err(Trouble::Failed(_))));
}

#[test]
fn the_folder_is_systemd_s_or_the_session_s_or_made_in_tmp() {
    let path = |set: &[(&str, &str)]| {
        let value = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        };
        let Folder { path, is_own } = folder(&value);
        (path.display().to_string(), is_own)
    };
    let (runtime, session) = (
        ("RUNTIME_DIRECTORY", "/run/a:/run/b"),
        ("XDG_RUNTIME_DIR", "/run/user/1"),
    );
    assert_eq!(path(&[runtime, session]), ("/run/a".into(), false));
    let in_session = ("/run/user/1/chatroom-job".into(), true);
    assert_eq!(path(&[session, ("RUNTIME_DIRECTORY", "")]), in_session);
    let in_tmp = format!("/tmp/chatroom-job-{}", geteuid());
    assert_eq!(path(&[]), (in_tmp, true));
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    let outer = temporary();
    let folder = own(outer.path().join("a"));
    assert_eq!(folder.make(), Ok(()));
    let mode = folder.path.metadata().expect("it is made").mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(folder.make(), Ok(()), "it is there by now");
    std::fs::set_permissions(&folder.path, Permissions::from_mode(0o770)).expect("it is ours");
    let error = folder.make().expect_err("others may write to it");
    assert!(error.contains("open to others (mode 770)"), "{error}");
    let link = own(outer.path().join("link"));
    std::os::unix::fs::symlink(&folder.path, &link.path).expect("a link");
    let error = link.make().expect_err("it may lead anywhere");
    assert!(error.ends_with("is no folder"), "{error}");
}

#[test]
fn the_second_job_has_a_name_of_its_own_and_dead_ones_are_swept_away() {
    let outer = temporary();
    let session = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| outer.path().into());
    let take = || Place::take_default(&session).expect("a place");
    let (first, _listener) = take();
    let dead = first.path.with_file_name("job-999999.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let (second, _other) = take();
    assert_eq!((first.is_second(), second.is_second()), (false, true));
    assert!(!dead.exists());
    let name = format!("job-{}.sock", std::process::id());
    assert!(second.path.ends_with(name) && first.path.ends_with(NAME));
}

#[test]
fn job_ctl_finds_the_only_job() {
    let outer = temporary();
    let folder = own(outer.path().join("a"));
    let of_unit = outer.path().join("unit.sock");
    let find = || find_in(&folder, &of_unit);
    let error = find().expect_err("nobody is there");
    assert!(error.contains("no job of this user listens") && error.contains("--control PATH"));
    folder.make().expect("it can be made");
    let (first, _listener) = take(&folder.path.join(NAME));
    assert_eq!(find(), Ok(first.path.clone()));
    drop(UnixListener::bind(folder.path.join("job-7.sock")).expect("a socket"));
    assert_eq!(
        find(),
        Ok(first.path.clone()),
        "nobody listens at the other"
    );
    let (second, other) = take(&of_unit);
    let error = find().expect_err("they are two");
    assert!(
        error.contains("job.sock, ") && error.contains("unit.sock"),
        "{error}"
    );
    drop(first);
    drop(_listener);
    assert_eq!(find(), Ok(of_unit.clone()));
    drop((second, other));
    assert!(find().is_err());
}
