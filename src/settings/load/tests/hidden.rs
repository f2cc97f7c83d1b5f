//! Values that nothing shows.

use super::*;

#[test]
fn what_goes_along_with_calls_is_shown_nowhere() {
    let variable = ("JOB_COMET_METADATA", "x-a=hush,authorization=file:/t");
    let loaded = load_all(&[], &[variable], None).expect("it is right");
    let lines: Vec<_> = loaded.lines().collect();
    let hidden = "comet-metadata = x-a=(hidden),authorization=file:/t (JOB_COMET_METADATA)";
    assert!(lines.iter().any(|line| line == hidden), "{lines:#?}");
    let newer = load_all(&["--comet-metadata=x-a=quiet"], &[], None).expect("it is right");
    let changes = loaded.changes(&newer);
    assert_eq!(changes.len(), 1);
    let shown = format!("{loaded:?} {lines:?} {newer:?} {changes:?} {}", changes[0]);
    assert!(
        !shown.contains("hush") && !shown.contains("quiet"),
        "{shown}"
    );

    let section = "[comet-metadata]\nx-a = 'hush'\n";
    let of_section = load_all(&[], &[], Some(section)).expect("a section is a table too");
    assert_eq!(of_section.config.comet_metadata.0.len(), 1);
    let long = format!("x-a=hush{}", "h".repeat(5_000));
    for (flags, variables, file) in [
        (&["--comet-metadata=X=hush"][..], &[][..], None),
        (&[], &[("JOB_COMET_METADATA", "te=hush")], None),
        (&[], &[("JOB_COMET_METADATA", &long)], None),
        (&[], &[], Some("comet-metadata = { X = 'hush' }")),
        (&[], &[], Some("comet-metadata = { 'a=b' = 'hush' }")),
        (&[], &[], Some("comet-metadata = { x = ['hush'] }")),
        (&[], &[], Some("comet-metadata = ['hush']")),
    ] {
        let error = load_all(flags, variables, file).expect_err("it is wrong");
        assert!(!error.contains("hush"), "{error}");
        assert!(
            error.contains("comet-metadata") || error.contains("JOB_COMET_METADATA"),
            "{error}"
        );
    }
}
