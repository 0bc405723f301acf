//! An executable under test: started with a clean environment, signalled, watched, and killed on drop.

use std::ffi::OsStr;
use std::fs::{File, read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::panicking;
use std::time::Duration;

use tempfile::TempDir;
use ureq::Agent;

use crate::eventually;
use crate::tempdir::temp_dir;

/// What [`Process::signal`] sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks for a graceful stop, as Kubernetes does.
    Terminate,
    /// Asks for a graceful stop, as Ctrl-C does.
    Interrupt,
    /// Ends the process at once.
    Kill,
    /// Freezes it, as a long pause of its machine would.
    Stop,
    /// Wakes it from [`Signal::Stop`].
    Continue,
}

/// Sends a signal to a process id; false when there is no such process.
pub(crate) fn send(pid: u32, signal: Signal) -> bool {
    let name = match signal {
        Signal::Terminate => "-TERM",
        Signal::Interrupt => "-INT",
        Signal::Kill => "-KILL",
        Signal::Stop => "-STOP",
        Signal::Continue => "-CONT",
    };
    // The command instead of the system call, which would be unsafe code or one more dependency.
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    sent.expect("`kill` is part of every Unix").success()
}

/// A running executable. Killed on drop; while a test panics, its last output is printed then.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    dir: TempDir,
}

impl Process {
    /// Starts `executable` with these arguments. The environment is `PATH`, `HOME`, `TMPDIR` and what is given:
    /// nothing leaks in from the shell that runs the tests.
    #[expect(clippy::disallowed_methods, reason = "passes on what every executable needs")]
    pub fn spawn(executable: impl AsRef<OsStr>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = temp_dir("process");
        let file = |name| File::create(dir.path().join(name)).expect("a fresh folder is writable");
        let inherited = ["PATH", "HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
        let child = Command::new(&executable)
            .args(arguments)
            .env_clear()
            .envs(
                inherited
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let name = format!("{} {}", executable.as_ref().display(), arguments.join(" "));
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name, dir }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; harmless when the process is gone.
    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// False once it has ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        self.written("stdout")
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    fn written(&self, name: &str) -> String {
        let bytes = read(self.dir.path().join(name)).expect("the file lives as long as the value");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for its end; panics when it has not ended `within`.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        eventually(within, || {
            let ended = self.child.try_wait().expect("our own child");
            async move { ended }
        })
        .await
    }

    /// Waits until `url` answers 200; panics when it does not `within`, or when the process ends before.
    pub async fn ready(&mut self, url: &str, within: Duration) {
        eventually(within, || {
            assert!(self.is_running(), "{} ended before {url} answered", self.name);
            let url = url.to_owned();
            async move { (http_status(url).await == Some(200)).then_some(()) }
        })
        .await;
    }
}

/// The status a GET is answered with, if it is answered within two seconds.
async fn http_status(url: String) -> Option<u16> {
    let get = move || {
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(2)))
            .http_status_as_error(false)
            .build()
            .into();
        Some(agent.get(&url).call().ok()?.status().as_u16())
    };
    tokio::task::spawn_blocking(get).await.ok().flatten()
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process can be killed too; both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if panicking() {
            for (stream, text) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
                let last: Vec<&str> = text.lines().rev().take(30).collect();
                eprintln!("--- {} {stream}, last lines", self.name);
                last.into_iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_terminated_process_can_finish() {
        let script = "trap 'echo drained; exit 7' TERM; echo $GREETING; while :; do sleep 0.05; done";
        let mut process = Process::spawn("sh", &["-c", script], &[("GREETING", "started")]);
        eventually(SOON, || {
            let started = process.stdout().contains("started");
            async move { started.then_some(()) }
        })
        .await;
        process.signal(Signal::Terminate);
        assert_eq!(process.wait(SOON).await.code(), Some(7));
        assert_eq!(process.stdout(), "started\ndrained\n");
    }

    #[tokio::test]
    async fn a_frozen_process_can_be_killed() {
        let mut process = Process::spawn("sleep", &["60"], &[]);
        process.signal(Signal::Stop);
        assert!(process.is_running());
        process.signal(Signal::Kill);
        assert_eq!(process.wait(SOON).await.signal(), Some(9));
    }

    #[tokio::test]
    async fn nothing_is_left_after_a_drop() {
        let process = Process::spawn("sleep", &["60"], &[]);
        let pid = process.pid();
        assert!(send(pid, Signal::Continue));
        drop(process);
        assert!(!send(pid, Signal::Continue));
    }

    #[tokio::test]
    async fn the_environment_is_clean() {
        let mut process = Process::spawn("env", &[], &[("ONLY", "this")]);
        process.wait(SOON).await;
        let unexpected = process.stdout();
        let unexpected: Vec<_> = unexpected
            .lines()
            .filter(|line| {
                !["PATH=", "HOME=", "TMPDIR=", "ONLY="]
                    .iter()
                    .any(|name| line.starts_with(name))
            })
            .collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }
}
