//! Gives the build the commit it is made from, for `--version`.
//!
//! `TRACKING_COMMIT` wins, for builds from sources without their history; without either it is `unknown`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=TRACKING_COMMIT");
    // HEAD changes with the branch, its log with every commit on it.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) =
            git(&["rev-parse", "--git-path", file]).filter(|path| std::path::Path::new(path).exists())
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script has no other configuration"
    )]
    let given = std::env::var("TRACKING_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty());
    let commit = given
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TRACKING_COMMIT={commit}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
