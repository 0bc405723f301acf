//! What was verified and what was found.

use crate::output;
use eventstore::Position;
use eventstore::verify::Differences;
use serde::Serialize;

/// What this form of `verify` cannot tell.
const NOT_CHECKED: &str = "fingerprints: what a sender sent is not kept, so they cannot be computed again; whether \
    content was changed shows in the views, which were folded before";

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Everything up to here was verified.
    through: Position,
    pub(super) events: u64,
    /// Rows of the dedup table.
    pub(super) commands: u64,
    pub(super) dead_letters: u64,
    /// Rows compared.
    pub(super) interactions: u64,
    /// Counters compared.
    pub(super) daily_stats: u64,
    /// Events recorded out of topic order whose senders mix keys in an entry, and so are promised no order.
    pub(super) inversions_without_promise: u64,
    pub(super) differences: Differences,
    /// What was not checked, and why.
    notes: Vec<String>,
    pub(super) seconds: f64,
}

impl Report {
    pub(super) fn new(through: Position, left_out: Vec<String>) -> Self {
        Self {
            through,
            events: 0,
            commands: 0,
            dead_letters: 0,
            interactions: 0,
            daily_stats: 0,
            inversions_without_promise: 0,
            differences: Differences::new(0),
            notes: std::iter::once(NOT_CHECKED.to_owned()).chain(left_out).collect(),
            seconds: 0.0,
        }
    }

    pub(super) fn show(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        let counted = [
            ("events", self.events),
            ("commands", self.commands),
            ("dead letters", self.dead_letters),
            ("rows of interactions", self.interactions),
            ("counters of daily_stats", self.daily_stats),
        ];
        output::table(
            &["VERIFIED", "COUNT"],
            counted.map(|(what, count)| [what.to_owned(), count.to_string()]),
        )?;
        output::text(&format!(
            "\nup to position {} in {:.1} s\n",
            self.through, self.seconds
        ))?;
        for note in &self.notes {
            output::text(&format!("not checked: {note}\n"))?;
        }
        if 0 < self.inversions_without_promise {
            output::text(&format!(
                "information: {} events lie out of topic order; their senders mix keys in one entry, \
                 for which no order is promised\n",
                self.inversions_without_promise
            ))?;
        }
        self.show_differences()
    }

    fn show_differences(&self) -> anyhow::Result<()> {
        let found = &self.differences;
        if found.total == 0 {
            return output::text("no differences\n");
        }
        output::text("\n")?;
        output::table(
            &["DIFFERENCES", "COUNT"],
            found
                .kinds
                .iter()
                .map(|(kind, count)| [(*kind).to_owned(), count.to_string()]),
        )?;
        if found.named.is_empty() {
            return Ok(());
        }
        output::text("\n")?;
        let rows = found.named.iter().map(|difference| {
            [
                difference.kind.to_owned(),
                output::printable(&difference.id),
                output::printable(&difference.detail),
            ]
        });
        output::table(&["KIND", "ID", "DETAIL"], rows)?;
        let unnamed = found.total.saturating_sub(found.named.len() as u64);
        if 0 < unnamed {
            output::text(&format!("and {unnamed} more: --limit names more of them\n"))?;
        }
        Ok(())
    }
}
