//! `tracking events list`.

use super::ListArguments;
use super::shown::{HEADING, Shown, row};
use crate::{output, tool};

pub(super) fn run(arguments: ListArguments, json: bool) -> anyhow::Result<()> {
    tool::run(move |process, store| async move {
        let find = async {
            let through = store.watermark().await?;
            let (filter, limit) = (arguments.filter.into(), usize::from(arguments.limit));
            Ok(store.find(&filter, arguments.after, through, limit).await?)
        };
        let found = process.interruptible(find).await?;
        if json {
            output::json(&found.events.iter().map(Shown::from).collect::<Vec<_>>())
        } else {
            output::table(&HEADING, found.events.iter().map(row))
        }
    })
}
