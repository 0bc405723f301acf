//! The days of a time zone as instants, with chrono-tz as the only authority: PostgreSQL's own tables may be of
//! another year, or lack old names.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};

/// A time zone of the IANA database, by its name.
pub type Timezone = chrono_tz::Tz;

/// The days, or parts of days, that a range is cut into.
pub(super) struct Calendar {
    /// The date of each.
    pub(super) dates: Vec<NaiveDate>,
    /// When each begins, in order.
    pub(super) begins: Vec<DateTime<Utc>>,
}

impl Calendar {
    /// Cuts `from..to`, which must not be empty, at every midnight of `timezone`; `None` when there are more days than `most`.
    pub(super) fn cut(
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        timezone: Timezone,
        most: usize,
    ) -> Option<Self> {
        let mut date = from.with_timezone(&timezone).date_naive();
        let mut days = Self {
            dates: vec![date],
            begins: vec![from],
        };
        loop {
            date = date.checked_add_days(Days::new(1))?;
            let begin = start_of_day(timezone, date)?;
            if to <= begin {
                return Some(days);
            }
            if days.dates.len() == most {
                return None;
            }
            days.dates.push(date);
            days.begins.push(begin);
        }
    }
}

/// When `date` begins in `timezone`: at midnight, or after the gap where clocks were put forward at midnight. `None`
/// outside the years that can be told.
pub fn start_of_day(timezone: Timezone, date: NaiveDate) -> Option<DateTime<Utc>> {
    let midnight = date.and_time(NaiveTime::MIN);
    // The longest gap is a whole day: Samoa had no 30 December 2011. The earlier of two midnights begins the day.
    let mut steps = (0..=96).map(|quarters| TimeDelta::minutes(15 * quarters));
    let begin = steps.find_map(|step| {
        timezone
            .from_local_datetime(&midnight.checked_add_signed(step)?)
            .earliest()
    })?;
    Some(begin.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(timezone: &str, date: &str) -> String {
        let begin = start_of_day(timezone.parse().unwrap(), date.parse().unwrap()).unwrap();
        begin.format("%Y-%m-%dT%H:%MZ").to_string()
    }

    #[test]
    fn a_day_begins_when_its_date_does() {
        for (timezone, date, expected) in [
            ("UTC", "2024-06-01", "2024-06-01T00:00Z"),
            ("Europe/Berlin", "2024-06-01", "2024-05-31T22:00Z"),
            ("Asia/Kathmandu", "2024-06-01", "2024-05-31T18:15Z"),
            // Clocks went from 23:59:59 to 01:00: there was no midnight.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z"),
            // Clocks went from 00:59:59 back to 00:00: there were two.
            ("America/Havana", "2024-11-03", "2024-11-03T04:00Z"),
            // There was no such day.
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z"),
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z"),
        ] {
            assert_eq!(begin(timezone, date), expected, "{timezone} {date}");
        }
    }

    #[test]
    fn days_of_a_change_of_clocks_are_23_and_25_hours_long() {
        let berlin: Timezone = "Europe/Berlin".parse().unwrap();
        let hours = |from: &str, to: &str| {
            let at = |date: &str| start_of_day(berlin, date.parse().unwrap()).unwrap();
            (at(to) - at(from)).num_hours()
        };
        assert_eq!(hours("2024-03-31", "2024-04-01"), 23);
        assert_eq!(hours("2024-10-27", "2024-10-28"), 25);
    }

    #[test]
    fn a_range_is_cut_at_every_midnight() {
        let berlin: Timezone = "Europe/Berlin".parse().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let days = Calendar::cut(at("2024-03-30T10:07:00Z"), at("2024-04-01T22:00:00Z"), berlin, 9).unwrap();
        let shown: Vec<_> = days
            .dates
            .iter()
            .zip(&days.begins)
            .map(|(d, b)| format!("{d} {}", b.format("%d %H:%M")))
            .collect();
        assert_eq!(
            shown,
            [
                "2024-03-30 30 10:07",
                "2024-03-31 30 23:00",
                "2024-04-01 31 22:00"
            ]
        );
        assert!(Calendar::cut(at("2024-03-30T10:07:00Z"), at("2024-04-01T22:00:00Z"), berlin, 2).is_none());
        assert_eq!(
            Calendar::cut(at("2024-04-01T00:00:00Z"), at("2024-04-01T00:00:01Z"), berlin, 1)
                .unwrap()
                .dates
                .len(),
            1
        );
    }
}
