//! Help, version and wrong usage.

use crate::{stderr, stdout, tracking};

#[test]
fn the_version_names_the_commit() {
    let output = tracking(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    let commit = text
        .strip_prefix("tracking 0.1.0 (")
        .and_then(|rest| rest.strip_suffix(")\n"))
        .unwrap_or_default();
    assert!(
        commit == "unknown" || commit.chars().all(|c| c.is_ascii_hexdigit()) && commit.len() >= 7,
        "{text}"
    );
}

#[test]
fn help_lists_commands_and_exit_codes() {
    let output = tracking(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(
        text.contains("  config ") && text.contains("  70  the stop was aborted"),
        "{text}"
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    for (arguments, remedy) in [
        (&[][..], "Usage: tracking"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["config", "--fast"], "unexpected argument '--fast'"),
        (
            &["config", "--role", "pilot"],
            "possible values: api, worker, projector",
        ),
    ] {
        let output = tracking(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(remedy),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}
