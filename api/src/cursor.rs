//! Cursors: where a page ended, bound to the filters that it was read with.

use chrono::DateTime;
use eventstore::Position;
use readmodels::interactions::{Cursor, Filter, Order};
use sha2::{Digest, Sha256};

/// The cursor as callers hold it: 48 hexadecimal digits (time, position, filters), opaque to them.
pub(crate) fn encode(cursor: Cursor, filter: &Filter, order: Order) -> String {
    let micros = cursor.occurred_at.timestamp_micros();
    format!(
        "{micros:016x}{:016x}{:016x}",
        cursor.position.0,
        fingerprint(filter, order)
    )
}

/// The cursor in `text`, if it is one and was made for these filters and this order.
pub(crate) fn decode(text: &str, filter: &Filter, order: Order) -> Option<Cursor> {
    if text.len() != 48 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = |at: usize| u64::from_str_radix(&text[at..at + 16], 16).ok();
    if number(32)? != fingerprint(filter, order) {
        return None;
    }
    Some(Cursor {
        occurred_at: DateTime::from_timestamp_micros(number(0)?.cast_signed())?,
        position: Position(number(16)?.cast_signed()),
    })
}

/// The same in every process and release as long as filters mean the same.
fn fingerprint(filter: &Filter, order: Order) -> u64 {
    let Filter {
        project,
        user_id,
        interaction,
        campaign_id,
        partner_id,
        target_id,
        from,
        to,
    } = filter;
    let time = |time: &Option<DateTime<chrono::Utc>>| time.map(|time| time.timestamp_micros().to_string());
    let parts = [
        Some(format!("{order:?}")),
        project.as_ref().map(ToString::to_string),
        user_id.as_ref().map(ToString::to_string),
        interaction.as_ref().map(ToString::to_string),
        campaign_id.clone(),
        partner_id.clone(),
        target_id.clone(),
        time(from),
        time(to),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // No value holds a NUL, so that no two lists of parts run together to the same bytes.
        hash.update(part.as_deref().unwrap_or_default());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            occurred_at: "2024-06-01T12:00:00.123456Z".parse().unwrap(),
            position: Position(42),
        }
    }

    #[test]
    fn a_cursor_comes_back_with_its_filters_only() {
        let filter = Filter {
            campaign_id: Some("c".into()),
            ..Filter::default()
        };
        let text = encode(cursor(), &filter, Order::Newest);
        assert_eq!(decode(&text, &filter, Order::Newest), Some(cursor()));
        assert_eq!(decode(&text, &filter, Order::Oldest), None);
        let other = Filter {
            partner_id: Some("c".into()),
            ..Filter::default()
        };
        assert_eq!(decode(&text, &other, Order::Newest), None);
    }

    #[test]
    fn garbage_is_no_cursor() {
        let text = encode(cursor(), &Filter::default(), Order::Newest);
        for garbage in [
            "",
            "zz",
            &text[1..],
            &text.replace('0', "ü"),
            &format!("{text}0"),
            &"f".repeat(48),
        ] {
            assert_eq!(
                decode(garbage, &Filter::default(), Order::Newest),
                None,
                "{garbage}"
            );
        }
    }
}
