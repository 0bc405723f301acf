//! Names of topics: their parts, their partitions, their place in the admin API.

use crate::QueueError;

/// A persistent topic, `persistent://tenant/namespace/name`, without a partition suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicName {
    tenant: String,
    namespace: String,
    local: String,
}

impl TopicName {
    /// Reads a full name, or `tenant/namespace/name`, or a bare name in `public/default`.
    pub(super) fn parse(name: &str) -> Result<Self, QueueError> {
        let refused = |why: &str| QueueError::Refused {
            action: "read the topic's name",
            reason: format!("{name:?} {why}; write persistent://tenant/namespace/name"),
        };
        let path = match name.split_once("://") {
            Some(("persistent", path)) => path,
            Some(_) => return Err(refused("is not a persistent topic")),
            None => name,
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (tenant, namespace, local) = match parts[..] {
            [local] => ("public", "default", local),
            [tenant, namespace, local] => (tenant, namespace, local),
            _ => return Err(refused("is not a topic's name")),
        };
        if [tenant, namespace, local]
            .iter()
            .any(|part| part.is_empty() || part.contains(char::is_whitespace))
        {
            return Err(refused("has an empty part or a space"));
        }
        Ok(Self {
            tenant: tenant.into(),
            namespace: namespace.into(),
            local: local.into(),
        })
    }

    /// The full name.
    pub(super) fn full(&self) -> String {
        format!("persistent://{}/{}/{}", self.tenant, self.namespace, self.local)
    }

    /// The full name of a partition; of the topic itself for -1.
    pub(super) fn partition(&self, partition: i32) -> String {
        if partition < 0 {
            self.full()
        } else {
            format!("{}-partition-{partition}", self.full())
        }
    }

    /// The numbers of the partitions of a topic that has `count` of them; -1 alone when it is not partitioned.
    pub(super) fn partitions(count: u32) -> Vec<i32> {
        if count == 0 {
            vec![-1]
        } else {
            (0..count).map(|n| i32::try_from(n).unwrap_or(i32::MAX)).collect()
        }
    }

    /// `tenant/namespace/name` as path segments of the admin API.
    pub(super) fn admin_path(&self) -> String {
        [&self.tenant, &self.namespace, &self.local]
            .map(|part| segment(part))
            .join("/")
    }

    /// `tenant/namespace`.
    pub(super) fn namespace(&self) -> String {
        format!("{}/{}", self.tenant, self.namespace)
    }
}

/// A text as one segment of a URL's path.
pub(super) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_be_named_in_full_or_in_short() {
        for name in ["persistent://public/default/a.b", "public/default/a.b", "a.b"] {
            assert_eq!(
                TopicName::parse(name).unwrap().full(),
                "persistent://public/default/a.b"
            );
        }
    }

    #[test]
    fn what_is_no_persistent_topic_is_refused_with_the_remedy() {
        for name in [
            "non-persistent://a/b/c",
            "",
            "a/b",
            "a//c",
            "persistent://a/b/c/d",
            "a b",
        ] {
            let error = TopicName::parse(name).unwrap_err();
            assert!(!error.is_transient());
            assert!(
                error.to_string().contains("persistent://tenant/namespace/name"),
                "{error}"
            );
        }
    }

    #[test]
    fn partitions_have_the_names_that_pulsar_gives_them() {
        let topic = TopicName::parse("a/b/c").unwrap();
        assert_eq!(topic.partition(-1), "persistent://a/b/c");
        assert_eq!(topic.partition(3), "persistent://a/b/c-partition-3");
        assert_eq!(TopicName::partitions(0), [-1]);
        assert_eq!(TopicName::partitions(2), [0, 1]);
    }

    #[test]
    fn odd_names_are_escaped_in_paths() {
        assert_eq!(
            TopicName::parse("a/b/c%d/é").map(|topic| topic.admin_path()).ok(),
            None
        );
        assert_eq!(
            TopicName::parse("a/b/c%é").unwrap().admin_path(),
            "a/b/c%25%C3%A9"
        );
    }
}
