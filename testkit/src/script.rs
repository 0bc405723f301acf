//! Runs the scripts that start and stop servers: the same that people use, so that there is one way to do it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs `scripts/<name>` and gives what it printed; its complaints are the error. Blocks.
pub(crate) fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> Result<String, String> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts")).join(name);
    let output = Command::new(&path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(format!(
            "scripts/{name} {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

/// [`run`] off the async threads. Panics with the script's complaint.
pub(crate) async fn run_async(name: &'static str, arguments: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || run(name, &arguments))
        .await
        .expect("running a script does not panic")
        .unwrap_or_else(|complaint| panic!("{complaint}"))
}
