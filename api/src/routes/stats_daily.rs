//! `GET /tracking/stats/daily`: counts by day.

use super::{Meta, State, answer};
use crate::params::Params;
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Days, NaiveDate, Utc};
use readmodels::Projection as _;
use readmodels::daily_stats::{DailyCount, DailyQuery, DailyStats, GroupBy, Timezone, daily, start_of_day};
use readmodels::interactions::Interactions;
use serde::Serialize;

/// The default range, today included.
const DEFAULT_DAYS: u64 = 30;

pub(super) async fn get(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let query = read(request.query_string(), service::clock::now())?;
    // Counts come from either, by what is asked for.
    state
        .waiting_room
        .wait(&request, &[DailyStats.id(), Interactions.id()])
        .await?;
    let statistics = daily(&state.database, &query).await?;
    let meta = Meta::new(statistics.as_of, Some(query.timezone.name()));
    let data = statistics.rows.iter().map(Row::of).collect();
    Ok(answer(statistics.as_of, &Answer { data, meta }))
}

fn read(query_string: &str, now: DateTime<Utc>) -> Result<DailyQuery, Problem> {
    let mut params = Params::read(query_string);
    let timezone = params.timezone();
    let filter = params.filter();
    let (from, to) = (params.instant("from", timezone), params.instant("to", timezone));
    let group_by = group_by(&mut params);
    let (from, to) = range(from, to, timezone, now);
    if to < from {
        params.wrong("from", "invalid", "must not lie after `to`");
    }
    params.finish()?;
    Ok(DailyQuery {
        filter,
        from,
        to,
        timezone,
        group_by,
    })
}

/// Where an end is not given: the last 30 days to the end of today, or to the end that is given.
fn range(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    timezone: Timezone,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, DateTime<Utc>) {
    let today = now.with_timezone(&timezone).date_naive();
    let begin = |date: NaiveDate| start_of_day(timezone, date).unwrap_or(now);
    let to = to.unwrap_or_else(|| {
        let tomorrow = begin(today + Days::new(1));
        // What lies in the future is asked for by name only.
        from.map_or(tomorrow, |from| from.max(tomorrow))
    });
    let from = from.unwrap_or_else(|| {
        let last = (to - chrono::TimeDelta::microseconds(1))
            .with_timezone(&timezone)
            .date_naive();
        last.checked_sub_days(Days::new(DEFAULT_DAYS - 1))
            .map_or(to, begin)
    });
    (from, to)
}

fn group_by(params: &mut Params) -> GroupBy {
    let Some(text) = params.text("group_by") else {
        return GroupBy {
            interaction: true,
            ..GroupBy::default()
        };
    };
    let mut by = GroupBy::default();
    // An empty list counts everything of a day together.
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name {
            "interaction" => by.interaction = true,
            "campaign_id" => by.campaign_id = true,
            "partner_id" => by.partner_id = true,
            "target_id" => by.target_id = true,
            _ => params.wrong(
                "group_by",
                "invalid",
                "must be any of interaction, campaign_id, partner_id, target_id, joined by commas",
            ),
        }
    }
    by
}

#[derive(Serialize)]
struct Answer<'a> {
    data: Vec<Row<'a>>,
    meta: Meta<'a>,
}

#[derive(Serialize)]
struct Row<'a> {
    date: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<&'a str>,
    count: i64,
}

impl<'a> Row<'a> {
    fn of(count: &'a DailyCount) -> Self {
        Self {
            date: count.date,
            interaction: count.interaction.as_deref(),
            campaign_id: count.campaign_id.as_deref(),
            partner_id: count.partner_id.as_deref(),
            target_id: count.target_id.as_deref(),
            count: count.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(query: &str) -> (String, String) {
        let now = "2024-06-30T23:30:00Z".parse().unwrap();
        let query = read(query, now).unwrap();
        (query.from.to_rfc3339(), query.to.to_rfc3339())
    }

    #[test]
    fn the_default_range_is_the_last_thirty_days_of_the_zone() {
        let expect = |query: &str, from: &str, to: &str| {
            assert_eq!(
                ends(query),
                (format!("{from}:00+00:00"), format!("{to}:00+00:00")),
                "{query}"
            );
        };
        expect("", "2024-06-01T00:00", "2024-07-01T00:00");
        // There it is 1 July already.
        expect("timezone=Europe/Berlin", "2024-06-01T22:00", "2024-07-01T22:00");
        expect("to=2024-03-31", "2024-03-01T00:00", "2024-03-31T00:00");
        expect("from=2024-01-01", "2024-01-01T00:00", "2024-07-01T00:00");
        expect("from=2025-01-01", "2025-01-01T00:00", "2025-01-01T00:00");
        expect(
            "from=2024-01-01&to=2024-01-01",
            "2024-01-01T00:00",
            "2024-01-01T00:00",
        );
        assert!(read("from=2024-01-02&to=2024-01-01", DateTime::UNIX_EPOCH).is_err());
    }

    #[test]
    fn groups_are_a_list() {
        let by = |query: &str| read(query, DateTime::UNIX_EPOCH).map(|query| query.group_by).ok();
        let none = GroupBy::default();
        assert_eq!(
            by(""),
            Some(GroupBy {
                interaction: true,
                ..none
            })
        );
        assert_eq!(by("group_by="), Some(none));
        assert_eq!(
            by("group_by=campaign_id,target_id"),
            Some(GroupBy {
                campaign_id: true,
                target_id: true,
                ..none
            })
        );
        assert_eq!(by("group_by=user_id"), None);
    }
}
