//! Streams and the buckets by which projectors share work.

use crate::{Project, UserId};
use sha2::{Digest, Sha256};
use std::fmt;

/// How many buckets there are. Fixed for ever: checkpoints and the log carry bucket numbers.
pub const BUCKETS: i16 = 64;

/// The stream of events about one user, `user/123`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream(String);

impl Stream {
    /// The stream of this user.
    pub fn of_user(user: &UserId) -> Self {
        Self(format!("user/{user}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 0 to 63: a stable hash of project and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(pub i16);

impl Bucket {
    /// The bucket of a stream: the low six bits of the first byte of SHA-256(project, NUL, stream).
    pub fn of(project: &Project, stream: &Stream) -> Self {
        let mut hash = Sha256::new();
        hash.update(project.as_str());
        hash.update([0]);
        hash.update(stream.as_str());
        Self(i16::from(hash.finalize()[0]) % BUCKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_never_change_and_are_spread() {
        let bucket = |user: &str| Bucket::of(&Project::default(), &Stream::of_user(&user.parse().unwrap())).0;
        assert_eq!(
            (bucket("123"), bucket("124"), bucket("ada@example.org")),
            EXPECTED
        );
        let mut seen = [0u32; 64];
        for user in 0..6400 {
            seen[usize::try_from(bucket(&user.to_string())).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (50..160).contains(n)), "{seen:?}");
    }

    /// Worked out once by `printf 'default\0user/123' | sha256sum`: a change here would tear every checkpoint from its events.
    const EXPECTED: (i16, i16, i16) = (3, 40, 0);
}
