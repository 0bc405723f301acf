//! Reads a command from the bytes of a message.

use super::fields::Fields;
use super::members::{Member, Members, kind};
use super::{CreateInteraction, Details, fragment};
use crate::{Code, CommandId, Project, Rejection};
use serde_json::{Map, error::Category};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Most bytes of a command: 256 KiB.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Deepest nesting of a command: well below what the parser takes, since an event wraps what it keeps.
pub const MAX_DEPTH: usize = 64;

/// Whether a field says nothing about what happened, only about this sending of it.
fn is_about_sending(name: &str) -> bool {
    matches!(name, "command_id" | "sent_at" | "context" | "schema_version")
}

/// What could be read of a payload. Id and project are there even when the rest is refused.
#[derive(Clone, Debug)]
pub struct Read {
    /// The id that the sender gave.
    pub command_id: Option<CommandId>,
    /// The project; the default where none, or no valid one, is named.
    pub project: Project,
    /// 128 bits of SHA-256 over the content: what tells a repeat from a conflict.
    ///
    /// The content is the JSON as sent with the members of each object sorted by name, no white space and numbers as
    /// written, less `command_id`, `sent_at`, `context` and `schema_version`; of what is no JSON object, the bytes.
    pub fingerprint: [u8; 16],
    /// The command, or why it is refused.
    pub command: Result<CreateInteraction, Rejection>,
}

/// Reads a command. Never panics, whatever the bytes; refuses before parsing what is too large.
pub fn read(payload: &[u8]) -> Read {
    match document(payload) {
        Ok(members) => read_object(members),
        Err(rejection) => Read {
            command_id: None,
            project: Project::default(),
            fingerprint: digest(payload),
            command: Err(rejection),
        },
    }
}

/// The payload as a JSON object.
fn document(payload: &[u8]) -> Result<Members<'_>, Rejection> {
    if MAX_PAYLOAD < payload.len() {
        let detail = format!(
            "{} bytes, more than the {MAX_PAYLOAD} that a command may have",
            payload.len()
        );
        return Err(Rejection::whole(Code::TooLarge, detail));
    }
    match Members::of(payload) {
        Ok(Ok(members)) if MAX_DEPTH < members.depth() => {
            let detail = format!("objects and arrays lie more than {MAX_DEPTH} deep in one another");
            Err(Rejection {
                code: Code::InvalidField,
                ..Rejection::whole(Code::InvalidJson, detail)
            })
        }
        Ok(Ok(members)) => Ok(members),
        Ok(Err(other)) => {
            let detail = format!("a command must be an object, not {}", kind(&other));
            Err(Rejection {
                code: Code::InvalidField,
                ..Rejection::whole(Code::InvalidJson, detail)
            })
        }
        Err(error) => Err(not_json(payload, &error)),
    }
}

fn not_json(payload: &[u8], error: &serde_json::Error) -> Rejection {
    let text = std::str::from_utf8(payload).ok();
    let detail = match (error.classify(), text) {
        (Category::Eof, Some(text)) if text.trim_start().starts_with('{') => {
            format!("expected `,` or `}}` at column {}", error.column() + 1)
        }
        _ if payload.is_empty() => "empty".to_owned(),
        _ => error.to_string(),
    };
    if text.is_some_and(fragment::is_fragment) {
        return Rejection::whole(Code::Fragment, detail).hint(fragment::HINT);
    }
    let rejection = Rejection::whole(Code::InvalidJson, detail);
    if payload.len() == 1 {
        rejection.hint(fragment::HINT_CHARACTER)
    } else {
        rejection
    }
}

fn read_object(members: Members<'_>) -> Read {
    let fingerprint = digest(&members.canonical(is_about_sending));
    let mut fields = Fields {
        left: members,
        errors: Vec::new(),
    };
    let command_id = fields.text("command_id").and_then(|text| {
        let id = Uuid::try_parse(&text).ok();
        if id.is_none() {
            fields.wrong("command_id", "invalid", "must be a UUID");
        }
        id.map(CommandId)
    });
    let project = fields.parsed::<Project>("project").unwrap_or_default();
    let command = read_typed(fields, project.clone());
    Read {
        command_id,
        project,
        fingerprint,
        command,
    }
}

fn read_typed(mut fields: Fields<'_>, project: Project) -> Result<CreateInteraction, Rejection> {
    match fields.left.get("type") {
        Some(Member::Text(name)) if name == "create_interaction" => {
            fields.left.take("type");
            create_interaction(fields, project)
        }
        Some(Member::Text(name)) => {
            let shown: String = name.chars().take(64).collect();
            let detail = format!("there is no command `{shown}`; known is create_interaction");
            Err(Rejection {
                pointer: "/type".to_owned(),
                ..Rejection::whole(Code::UnknownType, detail)
            })
        }
        _ => {
            fields.required("type", Fields::text);
            Err(Rejection::fields(fields.errors))
        }
    }
}

fn create_interaction(mut fields: Fields<'_>, project: Project) -> Result<CreateInteraction, Rejection> {
    let user_id = fields.required("user_id", Fields::user);
    let interaction = fields.required("interaction", Fields::parsed);
    let timestamp = fields.instant("timestamp");
    if let Some(version) = fields.left.take("schema_version").filter(|v| !v.is_null())
        && version.into_value().as_u64() != Some(1)
    {
        fields.wrong(
            "schema_version",
            "invalid",
            "must be 1, the only version there is",
        );
    }
    let mut details = Details {
        target_id: fields.id("target_id"),
        campaign_id: fields.id("campaign_id"),
        partner_id: fields.id("partner_id"),
        link_id: fields.id("link_id"),
        session_id: fields.id("session_id"),
        value: fields.money("value"),
        order_id: fields.id("order_id"),
        properties: fields.object("properties"),
        context: fields.object("context"),
        sent_at: fields.instant("sent_at"),
        extra: Map::new(),
    };
    match (user_id, interaction) {
        (Some(user_id), Some(interaction)) if fields.errors.is_empty() => {
            details.extra = fields.left.into_map();
            Ok(CreateInteraction {
                project,
                user_id,
                interaction,
                timestamp,
                details,
            })
        }
        _ => Err(Rejection::fields(fields.errors)),
    }
}

fn digest(content: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(content)[..16]);
    short
}
