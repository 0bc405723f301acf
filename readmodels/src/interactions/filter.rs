//! What the rows of an answer must have in common, and how that is said in SQL without writing values into it.

use chrono::{DateTime, Utc};
use domain::{InteractionName, Project, UserId};
use std::fmt::Write as _;
use tokio_postgres::types::ToSql;

/// What the interactions of an answer must have in common; what is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Whose installation.
    pub project: Option<Project>,
    /// Who.
    pub user_id: Option<UserId>,
    /// Did what.
    pub interaction: Option<InteractionName>,
    /// For which campaign.
    pub campaign_id: Option<String>,
    /// For which partner.
    pub partner_id: Option<String>,
    /// To what.
    pub target_id: Option<String>,
    /// When at the earliest.
    pub from: Option<DateTime<Utc>>,
    /// Before when.
    pub to: Option<DateTime<Utc>>,
}

/// Conditions joined by `and`. Texts are fixed pieces, values are parameters: the statements stay few and prepared.
#[derive(Default)]
pub(crate) struct Conditions<'a> {
    text: String,
    params: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
}

impl<'a> Conditions<'a> {
    /// Makes `value` a parameter and gives its number.
    pub(crate) fn param(&mut self, value: impl ToSql + Sync + Send + 'a) -> usize {
        self.params.push(Box::new(value));
        self.params.len()
    }

    /// Adds `<left> $n`.
    pub(crate) fn and(&mut self, left: &'static str, value: impl ToSql + Sync + Send + 'a) {
        let number = self.param(value);
        self.join();
        let _ = write!(self.text, "{left} ${number}");
    }

    /// Adds that `(occurred_at, position)` comes after the one given, in the order that `comparison` says.
    pub(crate) fn and_beyond(&mut self, comparison: &'static str, time: DateTime<Utc>, position: i64) {
        let (time, position) = (self.param(time), self.param(position));
        self.join();
        let _ = write!(
            self.text,
            "(occurred_at, position) {comparison} (${time}, ${position})"
        );
    }

    /// Adds all of `filter` but the times. The columns have the same names in every read model.
    pub(crate) fn and_all(&mut self, filter: &'a Filter) {
        let texts = [
            ("project =", filter.project.as_ref().map(Project::as_str)),
            ("user_id =", filter.user_id.as_ref().map(UserId::as_str)),
            (
                "interaction =",
                filter.interaction.as_ref().map(InteractionName::as_str),
            ),
            ("campaign_id =", filter.campaign_id.as_deref()),
            ("partner_id =", filter.partner_id.as_deref()),
            ("target_id =", filter.target_id.as_deref()),
        ];
        for (left, value) in texts {
            if let Some(value) = value {
                self.and(left, value);
            }
        }
    }

    /// `where …`, or nothing.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The parameters, in the order of their numbers.
    pub(crate) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params
            .iter()
            .map(|param| &**param as &(dyn ToSql + Sync))
            .collect()
    }

    fn join(&mut self) {
        self.text
            .push_str(if self.text.is_empty() { "where " } else { " and " });
    }
}
