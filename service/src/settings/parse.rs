//! Parsers of single values; each says what it expected when it refuses.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

/// A whole number within `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| match text.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!(
            "a whole number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// Whole seconds within `range`.
pub(super) fn seconds(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        whole(range.clone())(text)
            .map(Duration::from_secs)
            .map_err(|_| format!("whole seconds from {} to {}", range.start(), range.end()))
    }
}

/// Whole milliseconds within `range`.
pub(super) fn milliseconds(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        whole(range.clone())(text)
            .map(Duration::from_millis)
            .map_err(|_| format!("whole milliseconds from {} to {}", range.start(), range.end()))
    }
}

/// `yes` or `no`.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

/// A URL with a host and one of `schemes`; given back as written.
pub(super) fn url(schemes: &'static [&'static str]) -> impl Fn(&str) -> Result<String, String> {
    move |text| {
        let text = text.trim();
        let good = Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host());
        if good {
            Ok(text.to_owned())
        } else {
            Err(format!("a URL such as {}://host:port", schemes.join(":// or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(whole(1..=9_u32)(" 9 "), Ok(9));
        assert_eq!(
            whole(1..=9_u32)("10"),
            Err("a whole number from 1 to 9".to_owned())
        );
        assert_eq!(
            whole(1..=9_u32)("-1"),
            Err("a whole number from 1 to 9".to_owned())
        );
        assert_eq!(seconds(1..=60)("2"), Ok(Duration::from_secs(2)));
        assert_eq!(
            seconds(1..=60)("2s"),
            Err("whole seconds from 1 to 60".to_owned())
        );
        assert_eq!(milliseconds(0..=60)("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_url_needs_a_known_scheme_and_a_host() {
        let parse = url(&["pulsar", "pulsar+ssl"]);
        assert_eq!(parse("pulsar://h:6650"), Ok("pulsar://h:6650".to_owned()));
        for wrong in ["h:6650", "http://h:6650", "pulsar://", "pulsar:///x"] {
            assert!(parse(wrong).unwrap_err().contains("pulsar://"), "{wrong}");
        }
    }
}
