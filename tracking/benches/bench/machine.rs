//! What the numbers were measured on, and with which settings.

use crate::sizes::Sizes;
use crate::store::Store;
use serde_json::{Value, json};
use std::fs::read_to_string;
use std::process::Command;

/// Settings of PostgreSQL that numbers depend on.
const SETTINGS: &str = "\
select name, current_setting(name) from unnest(array['server_version', 'fsync', 'synchronous_commit',
'full_page_writes', 'wal_level', 'shared_buffers', 'max_wal_size', 'autovacuum']) as name";

/// Machine, commit, servers and sizes.
pub(crate) async fn describe(store: &Store, sizes: &Sizes) -> anyhow::Result<Value> {
    let settings = store.side.client().await?.query(SETTINGS, &[]).await?;
    let settings: serde_json::Map<String, Value> = settings
        .iter()
        .map(|row| (row.get(0), Value::String(row.get(1))))
        .collect();
    let changed = command("git", &["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    Ok(json!({
        "at": service::clock::now(),
        "commit": env!("TRACKING_COMMIT"),
        "uncommitted_changes": changed,
        "cores": std::thread::available_parallelism()?.get(),
        "cpu": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": command("uname", &["-sr"]),
        "load_before": read_to_string("/proc/loadavg").ok().map(|text| text.trim().to_owned()),
        "postgresql": settings,
        "pulsar": "4.0.8 standalone, journal synced as it is by default",
        "sizes": sizes,
    }))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn command(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
