//! The fold of `interactions`: one insert for a whole page.

use crate::{ApplyError, Folded, ViewTx};
use chrono::{DateTime, Utc};
use domain::command::Details;
use domain::{Event, InteractionTracked, Money};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A conflict is an error: the checkpoint moves with the rows, so that no event is folded twice (invariant 5).
const INSERT: &str = "insert into readmodels.interactions_v1 \
    (position, occurred_at, recorded_at, event_id, command_id, project, user_id, interaction, \
     target_id, campaign_id, partner_id, details) \
    select p, o, r, e, c, j, u, i, t, ca, pa, d::json \
    from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], \
                $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) \
      as page (p, o, r, e, c, j, u, i, t, ca, pa, d)";

/// The page as columns.
#[derive(Default)]
struct Columns<'a> {
    position: Vec<i64>,
    occurred_at: Vec<DateTime<Utc>>,
    recorded_at: Vec<DateTime<Utc>>,
    event_id: Vec<Uuid>,
    command_id: Vec<Uuid>,
    project: Vec<&'a str>,
    user_id: Vec<&'a str>,
    interaction: Vec<&'a str>,
    target_id: Vec<Option<&'a str>>,
    campaign_id: Vec<Option<&'a str>>,
    partner_id: Vec<Option<&'a str>>,
    details: Vec<Option<String>>,
}

pub(super) async fn apply(tx: &ViewTx<'_>, events: &[Folded]) -> Result<(), ApplyError> {
    let mut page = Columns::default();
    for folded in events {
        // Other kinds of events are not shown in this version.
        if let Event::InteractionTracked(tracked) = &folded.event {
            page.push(folded, tracked);
        }
    }
    if page.position.is_empty() {
        return Ok(());
    }
    tx.execute(
        INSERT,
        &[
            &page.position,
            &page.occurred_at,
            &page.recorded_at,
            &page.event_id,
            &page.command_id,
            &page.project,
            &page.user_id,
            &page.interaction,
            &page.target_id,
            &page.campaign_id,
            &page.partner_id,
            &page.details,
        ],
    )
    .await?;
    Ok(())
}

impl<'a> Columns<'a> {
    fn push(&mut self, folded: &Folded, tracked: &'a InteractionTracked) {
        let details = &tracked.details;
        self.position.push(folded.position.0);
        self.occurred_at.push(tracked.timestamp);
        self.recorded_at.push(folded.recorded_at);
        self.event_id.push(folded.event_id.0);
        self.command_id.push(folded.command_id.0);
        self.project.push(tracked.project.as_str());
        self.user_id.push(tracked.user_id.as_str());
        self.interaction.push(tracked.interaction.as_str());
        self.target_id.push(details.target_id.as_deref());
        self.campaign_id.push(details.campaign_id.as_deref());
        self.partner_id.push(details.partner_id.as_deref());
        self.details.push(Rest::of(details).to_json());
    }
}

/// The details that have no column of their own.
#[derive(Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    link_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: &'a Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: &'a Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: &'a Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: &'a Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
}

impl<'a> Rest<'a> {
    fn of(details: &'a Details) -> Self {
        // Taken apart in full, so that a field added to `Details` cannot be forgotten here.
        let Details {
            target_id: _,
            campaign_id: _,
            partner_id: _,
            link_id,
            session_id,
            value,
            order_id,
            properties,
            context,
            sent_at,
            extra,
        } = details;
        Self {
            link_id,
            session_id,
            value,
            order_id,
            properties,
            context,
            sent_at,
            extra,
        }
    }

    /// `None` when there are none: most interactions are plain, and a null costs nothing to store.
    fn to_json(&self) -> Option<String> {
        let text = serde_json::to_string(self).expect("details hold only what JSON can say");
        (text != "{}").then_some(text)
    }
}

/// Puts together again what the fold took apart.
pub(super) fn details(
    rest: Option<&str>,
    target_id: Option<String>,
    campaign_id: Option<String>,
    partner_id: Option<String>,
) -> Result<Details, serde_json::Error> {
    let details = rest
        .map(serde_json::from_str::<Details>)
        .transpose()?
        .unwrap_or_default();
    Ok(Details {
        target_id,
        campaign_id,
        partner_id,
        ..details
    })
}
