//! Values that must not reach a log: they show as `REDACTED`.

use std::fmt;

/// What is shown in place of a secret.
pub const REDACTED: &str = "REDACTED";

/// A value that is shown to nobody: a token, a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one who presents it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A URL whose password is hidden when it is shown; host, user and database stay readable.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Hides the password in `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, for the one who connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(&self.0))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(&self.0))
    }
}

/// `url` with its password replaced, in the user part and in the query.
///
/// Done on the text, as PostgreSQL's URLs with several hosts are beyond a strict parser, and one that fails to parse
/// must not show either. The host begins after the last `@`, so an unescaped one in a password hides too much, not too little.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return REDACTED.to_owned();
    };
    let (body, query) = rest
        .split_once('?')
        .map_or((rest, None), |(body, query)| (body, Some(query)));
    let mut shown = format!("{scheme}://");
    match body.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            shown.push_str(name);
            if user.contains(':') {
                shown.push(':');
                shown.push_str(REDACTED);
            }
            shown.push('@');
            shown.push_str(host);
        }
        None => shown.push_str(body),
    }
    if let Some(query) = query {
        let pairs: Vec<String> = query.split('&').map(redact_pair).collect();
        shown.push('?');
        shown.push_str(&pairs.join("&"));
    }
    shown
}

fn redact_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _))
            if ["password", "token", "secret"]
                .iter()
                .any(|word| key.to_lowercase().contains(word)) =>
        {
            format!("{key}={REDACTED}")
        }
        _ => pair.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_to_nobody() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "REDACTED REDACTED");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn the_password_of_a_url_is_hidden_wherever_it_stands() {
        for (url, shown) in [
            (
                "postgres://u:hunter2@h:5432/db",
                "postgres://u:REDACTED@h:5432/db",
            ),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("postgres://h/db", "postgres://h/db"),
            (
                "postgres://u:hunter2@h1:1,h2:2/db?sslmode=require",
                "postgres://u:REDACTED@h1:1,h2:2/db?sslmode=require",
            ),
            (
                "postgres:///db?user=u&password=hunter2",
                "postgres:///db?user=u&password=REDACTED",
            ),
            ("postgres://u:hunter2@x@h/db", "postgres://u:REDACTED@h/db"),
            ("postgres://u:hun/ter2@h/db", "postgres://u:REDACTED@h/db"),
            ("host=h password=hunter2", "REDACTED"),
        ] {
            let secret = SecretUrl::new(url);
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), shown);
            assert_eq!(secret.expose(), url);
        }
    }
}
