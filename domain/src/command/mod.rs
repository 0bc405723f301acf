//! Commands: what senders ask for, read from bytes.

mod fields;
mod fragment;
mod members;
#[cfg(test)]
mod oracle;
mod read;
mod scan;

pub use read::{MAX_DEPTH, MAX_PAYLOAD, Read, read};

use crate::{InteractionName, Project, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An amount of money in the currency's smallest unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Cents and the like; may be negative (a refund).
    pub amount_minor: i64,
    /// ISO 4217, three capital letters.
    pub currency: String,
}

/// `create_interaction`: record that a user did something.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateInteraction {
    /// Whose installation.
    pub project: Project,
    /// Who.
    pub user_id: UserId,
    /// Did what.
    pub interaction: InteractionName,
    /// When, to the microsecond; `None` means when the message was published.
    pub timestamp: Option<DateTime<Utc>>,
    /// Everything else that was sent.
    pub details: Details,
}

/// What a sender may say of an interaction beyond who, what and when. Absent fields are left out when written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// What it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// The campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<String>,
    /// The partner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner_id: Option<String>,
    /// The tracked link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_id: Option<String>,
    /// The visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What it was worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    /// The order it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Free-form facts about the interaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
    /// Free-form facts about the sender: device, page, library. Not part of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// When the sender sent it. Not part of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// Fields that this version does not know, kept as they were sent.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}
