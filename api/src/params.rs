//! The query string, strictly: every mistake is told, and what nobody asked for is a mistake too.

use crate::problem::{Mistake, Problem};
use actix_web::web::Query;
use chrono::{DateTime, NaiveDate, Utc};
use domain::InvalidId;
use readmodels::daily_stats::{Timezone, start_of_day};
use readmodels::interactions::Filter;
use std::str::FromStr;

/// Most characters of an id that a sender chose.
const MAX_TEXT: usize = 200;

/// The parameters not yet taken, and the mistakes so far.
pub(crate) struct Params {
    left: Vec<(String, String)>,
    mistakes: Vec<Mistake>,
}

/// What a parameter that names an instant was given as.
pub(crate) enum Moment {
    /// Midnight of a date, which depends on the time zone.
    Date(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
}

impl Params {
    pub(crate) fn read(query_string: &str) -> Self {
        match Query::<Vec<(String, String)>>::from_query(query_string) {
            Ok(pairs) => Self {
                left: pairs.into_inner(),
                mistakes: Vec::new(),
            },
            Err(error) => {
                let mut params = Self {
                    left: Vec::new(),
                    mistakes: Vec::new(),
                };
                params.wrong(
                    "",
                    "invalid",
                    &format!("the query string cannot be read: {error}"),
                );
                params
            }
        }
    }

    /// Notes a mistake.
    pub(crate) fn wrong(&mut self, name: &str, code: &'static str, what: &str) {
        let shown: String = name.chars().take(64).collect();
        let detail = if shown.is_empty() {
            what.to_owned()
        } else {
            format!("`{shown}` {what}")
        };
        self.mistakes.push(Mistake {
            pointer: None,
            parameter: Some(shown),
            code,
            detail,
        });
    }

    /// The parameter, or `None` when it was not given.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.left.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.left.swap_remove(at);
        if self.left.iter().any(|(key, _)| key == name) {
            self.left.retain(|(key, _)| key != name);
            self.wrong(name, "repeated", "is given more than once");
        }
        Some(value)
    }

    /// A parameter with a type of its own.
    pub(crate) fn parsed<T: FromStr<Err = InvalidId>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|error: InvalidId| self.wrong(name, "invalid", &error.to_string()))
            .ok()
    }

    /// An id that a sender chose.
    fn id(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.is_empty() || MAX_TEXT < text.chars().count() || text.contains('\0') {
            self.wrong(
                name,
                "invalid",
                "must have 1 to 200 characters, none of them U+0000",
            );
            return None;
        }
        Some(text)
    }

    /// A whole number in a range.
    pub(crate) fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u16>) -> Option<u16> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(
                name,
                "invalid",
                &format!("must be a number from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// The time zone; UTC when none is named.
    pub(crate) fn timezone(&mut self) -> Timezone {
        let Some(text) = self.text("timezone") else {
            return Timezone::UTC;
        };
        text.parse().unwrap_or_else(|_| {
            self.wrong(
                "timezone",
                "invalid",
                "must be a name of the IANA database such as Europe/Berlin",
            );
            Timezone::UTC
        })
    }

    /// A date or an instant.
    pub(crate) fn moment(&mut self, name: &str) -> Option<Moment> {
        let text = self.text(name)?;
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Some(Moment::Date(date));
        }
        let instant = DateTime::parse_from_rfc3339(&plus_restored(&text)).ok();
        if instant.is_none() {
            self.wrong(
                name,
                "invalid",
                "must be a date, or RFC 3339 with an offset such as 2024-06-01T12:00:00Z",
            );
        }
        instant.map(|instant| Moment::Instant(instant.with_timezone(&Utc)))
    }

    /// An instant; a date is its midnight in `timezone`.
    pub(crate) fn instant(&mut self, name: &str, timezone: Timezone) -> Option<DateTime<Utc>> {
        let moment = self.moment(name)?;
        let instant = match moment {
            Moment::Instant(instant) => Some(instant),
            Moment::Date(date) => start_of_day(timezone, date),
        };
        // PostgreSQL ends at 4713 BC and AD 294276, and nothing happens out there.
        let told = instant.filter(|instant| (0..=9999).contains(&chrono::Datelike::year(instant)));
        if told.is_none() {
            self.wrong(name, "invalid", "must lie in the years 0 to 9999");
        }
        told
    }

    /// The filters that lists and counts have in common, without `from` and `to`.
    pub(crate) fn filter(&mut self) -> Filter {
        Filter {
            project: self.parsed("project"),
            user_id: self.parsed("user_id"),
            interaction: self.parsed("interaction"),
            campaign_id: self.id("campaign_id"),
            partner_id: self.id("partner_id"),
            target_id: self.id("target_id"),
            from: None,
            to: None,
        }
    }

    /// All is well, and nothing is left.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let mut unknown: Vec<String> = std::mem::take(&mut self.left)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        unknown.sort();
        unknown.dedup();
        for name in unknown {
            self.wrong(&name, "unknown", "is not a parameter here");
        }
        if self.mistakes.is_empty() {
            Ok(())
        } else {
            Err(Problem::parameters(self.mistakes))
        }
    }
}

/// A `+` that was not escaped has become a space: `2024-06-01T12:00:00 02:00`.
fn plus_restored(text: &str) -> String {
    match text.len().checked_sub(6) {
        Some(at) if text.as_bytes()[at] == b' ' && text.ends_with(|c: char| c.is_ascii_digit()) => {
            format!("{}+{}", &text[..at], &text[at + 1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(params: Params) -> Vec<(String, &'static str)> {
        params.finish().err().map_or_else(Vec::new, |problem| {
            let json = serde_json::to_value(&problem).unwrap();
            let list = json["errors"].as_array().unwrap().clone();
            let code = |entry: &serde_json::Value| match entry["code"].as_str().unwrap() {
                "unknown" => "unknown",
                "repeated" => "repeated",
                _ => "invalid",
            };
            list.iter()
                .map(|entry| (entry["parameter"].as_str().unwrap().to_owned(), code(entry)))
                .collect()
        })
    }

    #[test]
    fn every_mistake_is_named() {
        let mut params = Params::read(
            "limit=0&timezone=Mars&from=soon&project=a%20b&campaign_id=&zzz=1&user_id=1&user_id=2&a=b",
        );
        params.filter();
        let timezone = params.timezone();
        params.instant("from", timezone);
        params.number("limit", 1..=1000);
        let expected = [
            ("project", "invalid"),
            ("user_id", "repeated"),
            ("campaign_id", "invalid"),
            ("timezone", "invalid"),
            ("from", "invalid"),
            ("limit", "invalid"),
            ("a", "unknown"),
            ("zzz", "unknown"),
        ];
        assert_eq!(
            mistakes(params),
            expected.map(|(name, code)| (name.to_owned(), code))
        );
    }

    #[test]
    fn a_date_is_its_midnight_and_a_plus_survives() {
        let berlin: Timezone = "Europe/Berlin".parse().unwrap();
        for (query, expected) in [
            ("from=2024-06-01", "2024-05-31T22:00:00Z"),
            ("from=2024-06-01T12:00:00Z", "2024-06-01T12:00:00Z"),
            ("from=2024-06-01T12:00:00+02:00", "2024-06-01T10:00:00Z"),
            ("from=2024-06-01T12:00:00%2B02:00", "2024-06-01T10:00:00Z"),
            ("from=2024-06-01T12:00:00-02:00", "2024-06-01T14:00:00Z"),
        ] {
            let mut params = Params::read(query);
            assert_eq!(
                params.instant("from", berlin),
                Some(expected.parse().unwrap()),
                "{query}"
            );
            assert!(params.finish().is_ok());
        }
        for query in [
            "from=+262143-01-01",
            "from=ü2 345",
            "from=2024-06-01T12:00:00",
            "from=",
        ] {
            let mut params = Params::read(query);
            assert_eq!(params.instant("from", berlin), None, "{query}");
            assert!(params.finish().is_err(), "{query}");
        }
    }
}
