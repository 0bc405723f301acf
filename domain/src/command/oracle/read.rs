//! The plain way to read a command: all of it into a `serde_json::Value` first.

use super::fields::{Fields, kind};
use crate::command::{CreateInteraction, Details, MAX_DEPTH, MAX_PAYLOAD, Read, fragment};
use crate::{Code, CommandId, Project, Rejection};
use serde_json::{Map, Value, error::Category};
use sha2::{Digest, Sha256};
use std::io;
use uuid::Uuid;

/// Fields that say nothing about what happened, only about this sending of it.
const NOT_CONTENT: [&str; 4] = ["command_id", "sent_at", "context", "schema_version"];

pub(super) fn read(payload: &[u8]) -> Read {
    match document(payload) {
        Ok(map) => read_object(map),
        Err(rejection) => Read {
            command_id: None,
            project: Project::default(),
            fingerprint: digest(|hash| hash.update(payload)),
            command: Err(rejection),
        },
    }
}

/// The payload as a JSON object.
fn document(payload: &[u8]) -> Result<Map<String, Value>, Rejection> {
    if MAX_PAYLOAD < payload.len() {
        let detail = format!(
            "{} bytes, more than the {MAX_PAYLOAD} that a command may have",
            payload.len()
        );
        return Err(Rejection::whole(Code::TooLarge, detail));
    }
    match serde_json::from_slice(payload) {
        Ok(Value::Object(map)) if MAX_DEPTH < depth(map.values()) + 1 => {
            let detail = format!("objects and arrays lie more than {MAX_DEPTH} deep in one another");
            Err(Rejection {
                code: Code::InvalidField,
                ..Rejection::whole(Code::InvalidJson, detail)
            })
        }
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => {
            let detail = format!("a command must be an object, not {}", kind(&other));
            Err(Rejection {
                code: Code::InvalidField,
                ..Rejection::whole(Code::InvalidJson, detail)
            })
        }
        Err(error) => Err(not_json(payload, &error)),
    }
}

/// How deep objects and arrays lie in one another. The parser bounds the recursion.
fn depth<'a>(values: impl Iterator<Item = &'a Value>) -> usize {
    values
        .map(|value| match value {
            Value::Array(items) => 1 + depth(items.iter()),
            Value::Object(map) => 1 + depth(map.values()),
            _ => 0,
        })
        .max()
        .unwrap_or(0)
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

fn read_object(map: Map<String, Value>) -> Read {
    let mut fields = Fields {
        left: map,
        errors: Vec::new(),
    };
    // Kept aside while the content is hashed; put back to be read like the rest.
    let aside: Vec<(&str, Value)> = NOT_CONTENT
        .iter()
        .filter_map(|name| Some((*name, fields.left.remove(*name)?)))
        .collect();
    let fingerprint = digest(|hash| {
        serde_json::to_writer(HashWriter(hash), &fields.left).expect("a parsed value is written to memory");
    });
    fields
        .left
        .extend(aside.into_iter().map(|(name, value)| (name.to_owned(), value)));

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

fn read_typed(mut fields: Fields, project: Project) -> Result<CreateInteraction, Rejection> {
    match fields.left.get("type") {
        Some(Value::String(name)) if name == "create_interaction" => {
            fields.left.remove("type");
            create_interaction(fields, project)
        }
        Some(Value::String(name)) => {
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

fn create_interaction(mut fields: Fields, project: Project) -> Result<CreateInteraction, Rejection> {
    let user_id = fields.required("user_id", Fields::user);
    let interaction = fields.required("interaction", Fields::parsed);
    let timestamp = fields.instant("timestamp");
    if let Some(version) = fields.left.remove("schema_version").filter(|v| !v.is_null())
        && version.as_u64() != Some(1)
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
            details.extra = fields.left;
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

fn digest(fill: impl FnOnce(&mut Sha256)) -> [u8; 16] {
    let mut hash = Sha256::new();
    fill(&mut hash);
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

/// Lets the canonical form be hashed as it is written, without a copy.
struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
