//! Folders that go with the value, and that PostgreSQL's own user can pass through.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

/// A fresh folder, removed on drop. Others may pass through it: as root, PostgreSQL runs as another user.
pub(crate) fn temp_dir(prefix: &str) -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .expect("a temporary folder can be made");
    set_permissions(dir.path(), Permissions::from_mode(0o711)).expect("a folder of our own");
    dir
}
