//! systemd's units. scripts/test has systemd itself look at them.

use super::read;

/// A unit's settings, in order, without its remarks.
fn settings(path: &str) -> Vec<String> {
    let text = read(path);
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn a_job_of_several_differs_by_its_name_alone() {
    let one = settings("scripts/chatroom-job.service");
    let several = settings("scripts/chatroom-job@.service");
    assert!(one.len() > 40, "{one:#?}");
    let of_its_own = "EnvironmentFile=-/etc/chatroom-job/%i.env";
    let without_name: Vec<String> = several
        .iter()
        .filter(|line| *line != of_its_own)
        .map(|line| line.replace("-%i", "").replace(" %i", ""))
        .collect();
    assert_eq!(one, without_name);
    // It wins over what all share.
    let at = |line: &str| several.iter().position(|one| one == line);
    assert!(at(of_its_own) > at("EnvironmentFile=-/etc/chatroom-job/job.env"));
    // Each has a name in the group and a socket.
    for line in [
        "Environment=JOB_GROUP_INSTANCE_ID=%H-%i",
        "RuntimeDirectory=chatroom-job-%i",
    ] {
        assert!(at(line).is_some(), "no {line} in {several:#?}");
    }
}
