//! CPU time and memory of one process, as Linux tells them.

use anyhow::Context as _;
use std::fs::read_to_string;
use std::process::Command;

/// A process, `self` or a number.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pid: String,
    ticks_a_second: f64,
}

impl Watched {
    /// This process.
    pub(crate) fn this() -> anyhow::Result<Self> {
        Self::new("self".to_owned())
    }

    /// Another one.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        Self::new(pid.to_string())
    }

    fn new(pid: String) -> anyhow::Result<Self> {
        let output = Command::new("getconf")
            .arg("CLK_TCK")
            .output()
            .context("getconf")?;
        let ticks = String::from_utf8(output.stdout)?;
        let ticks_a_second = ticks.trim().parse().context("getconf CLK_TCK")?;
        Ok(Self { pid, ticks_a_second })
    }

    /// CPU seconds so far, of user and system, of all its threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let stat = self.read("stat")?;
        // The second field is the name in parentheses, which may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat")?;
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|field| field.parse::<f64>().unwrap_or(f64::NAN)).sum();
        anyhow::ensure!(ticks.is_finite(), "/proc/PID/stat has no times");
        Ok(ticks / self.ticks_a_second)
    }

    /// The most memory it ever held, in MiB.
    pub(crate) fn peak_mib(&self) -> anyhow::Result<f64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.context("/proc/PID/status has no VmHWM")?.parse()?;
        Ok(kib / 1024.0)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        read_to_string(&path).with_context(|| format!("{path}: the benchmarks need Linux"))
    }
}
