//! `GET /tracking/interactions`: the list.

use super::{Meta, State, answer, shown};
use crate::cursor;
use crate::params::Params;
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use domain::{CommandId, EventId, Money};
use eventstore::Position;
use readmodels::Projection as _;
use readmodels::interactions::{Interaction, Interactions, ListQuery, Listing, Order, list};
use serde::Serialize;
use serde_json::{Map, Value};

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 1000;

pub(super) async fn get(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let query = read(request.query_string())?;
    state.waiting_room.wait(&request, &[Interactions.id()]).await?;
    let listing = list(&state.database, &query).await?;
    Ok(answer(listing.as_of, &Answer::of(&listing, &query)))
}

fn read(query_string: &str) -> Result<ListQuery, Problem> {
    let mut params = Params::read(query_string);
    let timezone = params.timezone();
    let mut filter = params.filter();
    filter.from = params.instant("from", timezone);
    filter.to = params.instant("to", timezone);
    let order = match params.text("order").as_deref() {
        None | Some("newest") => Order::Newest,
        Some("oldest") => Order::Oldest,
        Some(_) => {
            params.wrong("order", "invalid", "must be `newest` or `oldest`");
            Order::Newest
        }
    };
    let limit = params.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let after = params.text("cursor").and_then(|text| {
        let cursor = cursor::decode(&text, &filter, order);
        if cursor.is_none() {
            params.wrong(
                "cursor",
                "invalid",
                "is not a cursor of these filters and this order",
            );
        }
        cursor
    });
    params.finish()?;
    Ok(ListQuery {
        filter,
        order,
        limit,
        after,
    })
}

#[derive(Serialize)]
struct Answer<'a> {
    data: Vec<Item<'a>>,
    page: Page,
    meta: Meta<'static>,
}

#[derive(Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
    limit: u16,
}

/// Field by field, not flattened: numbers in `properties` keep their digits.
#[derive(Serialize)]
struct Item<'a> {
    id: CommandId,
    event_id: EventId,
    position: Position,
    project: &'a str,
    user_id: &'a str,
    interaction: &'a str,
    timestamp: String,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partner_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
}

impl<'a> Answer<'a> {
    fn of(listing: &'a Listing, query: &ListQuery) -> Self {
        let next_cursor = listing
            .next
            .map(|next| cursor::encode(next, &query.filter, query.order));
        Self {
            data: listing.rows.iter().map(Item::of).collect(),
            page: Page {
                has_more: next_cursor.is_some(),
                next_cursor,
                limit: query.limit,
            },
            meta: Meta::new(listing.as_of, None),
        }
    }
}

impl<'a> Item<'a> {
    fn of(row: &'a Interaction) -> Self {
        let details = &row.details;
        Self {
            id: row.command_id,
            event_id: row.event_id,
            position: row.position,
            project: &row.project,
            user_id: &row.user_id,
            interaction: &row.interaction,
            timestamp: shown(row.occurred_at),
            recorded_at: shown(row.recorded_at),
            target_id: details.target_id.as_deref(),
            campaign_id: details.campaign_id.as_deref(),
            partner_id: details.partner_id.as_deref(),
            link_id: details.link_id.as_deref(),
            session_id: details.session_id.as_deref(),
            value: details.value.as_ref(),
            order_id: details.order_id.as_deref(),
            properties: details.properties.as_ref(),
            context: details.context.as_ref(),
            sent_at: details.sent_at.map(shown),
            extra: &details.extra,
        }
    }
}
