//! Read model `interactions`: one row per interaction, for lists and for counts that the daily grain cannot answer.

mod filter;
mod fold;
mod list;

pub(crate) use filter::Conditions;
pub use filter::Filter;
pub use list::{Cursor, Interaction, ListQuery, Listing, Order, list};

use crate::{ApplyError, Folded, Projection, ProjectionId, ViewTx};
use futures::future::BoxFuture;

/// The read model `interactions`, version 1.
pub struct Interactions;

impl Interactions {
    pub(crate) const ID: ProjectionId = ProjectionId {
        name: "interactions",
        version: 1,
    };
}

impl Projection for Interactions {
    fn id(&self) -> ProjectionId {
        Self::ID
    }

    fn schema(&self) -> &'static str {
        include_str!("interactions/schema.sql")
    }

    fn apply<'a>(
        &'a self,
        tx: &'a ViewTx<'a>,
        events: &'a [Folded],
    ) -> BoxFuture<'a, Result<(), ApplyError>> {
        Box::pin(fold::apply(tx, events))
    }
}
