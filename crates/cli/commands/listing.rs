//! `keytrail archives`, `rejects`, `views`, `files`: what the store holds and offers.

use keytrail_query::{Session, statements};
use keytrail_store::Store;

use crate::args::{EngineArgs, FilesArgs, ListingArgs, ViewsArgs};
use crate::exit::{Outcome, UsageError};

/// Lists the ledger.
pub(crate) fn archives(arguments: &ListingArgs) -> anyhow::Result<Outcome> {
    list(arguments, "SELECT * FROM archives ORDER BY first_time NULLS LAST, archive")
}

/// Lists the rejects.
pub(crate) fn rejects(arguments: &ListingArgs) -> anyhow::Result<Outcome> {
    list(arguments, "SELECT * FROM rejects ORDER BY archive, member, ordinal, \"offset\"")
}

fn list(arguments: &ListingArgs, query: &str) -> anyhow::Result<Outcome> {
    let store = crate::args::StoreArgs { store: arguments.store.store.clone() };
    let (runtime, session) = super::open(&EngineArgs { store, jobs: None, memory: None, statuses: None })?;
    let format = arguments.output.format.into();
    super::write_to(arguments.output.output.as_deref(), |out| {
        runtime.block_on(super::sql::run_script(&session, statements(query)?, format, out))
    })?;
    Ok(Outcome::Done)
}

/// Lists the views, or prints the SQL of one.
pub(crate) fn views(arguments: &ViewsArgs) -> anyhow::Result<Outcome> {
    let views = Session::views();
    let text = match &arguments.name {
        None => views.iter().map(|view| format!("{:24} {}\n", view.name, view.description())).collect(),
        Some(name) => match views.iter().find(|view| view.name == *name) {
            Some(view) => view.sql.to_owned(),
            None => {
                let names = views.iter().map(|view| view.name).collect::<Vec<_>>().join(", ");
                return Err(UsageError(format!("no view is called {name}; there are {names}")).into());
            }
        },
    };
    super::write_to(None, |out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(Outcome::Done)
}

/// Lists the live data files.
pub(crate) fn files(arguments: &FilesArgs) -> anyhow::Result<Outcome> {
    let snapshot = Store::open(&arguments.store.store)?.snapshot()?;
    let events = snapshot.events_dir();
    super::write_to(None, |out| {
        for file in snapshot.files() {
            super::write_path(out, &events.join(&file.path))?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}
