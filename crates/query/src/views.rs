//! The built-in views: one file each in `queries/views/`, embedded in the program.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;

use crate::QueryError;

/// A built-in view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its name in SQL.
    pub name: &'static str,
    /// The query it stands for, with the comments of its file.
    pub sql: &'static str,
    /// Whether its rows of a month depend on records of earlier months: such a view is asked over the whole store only.
    pub needs_history: bool,
}

impl View {
    /// What it shows, in one line: the first comment of its file.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.sql.lines().next().unwrap_or_default().trim_start_matches('-').trim()
    }
}

macro_rules! view {
    ($name:literal) => {
        view!($name, needs_history: false)
    };
    ($name:literal, needs_history: $needs_history:literal) => {
        View {
            name: $name,
            sql: include_str!(concat!("../../../queries/views/", $name, ".sql")),
            needs_history: $needs_history,
        }
    };
}

/// All views; each uses only views before it.
const VIEWS: &[View] = &[
    view!("hsm_events"),
    view!("actor_activity"),
    view!("coverage"),
    view!("coverage_summary"),
    view!("failed_operations"),
    view!("key_lifecycle"),
    view!("key_usage"),
    view!("key_usage_by_partition"),
    view!("login_failures"),
    view!("zeroize_events", needs_history: true),
];

/// All views, in an order in which each uses only views before it.
#[must_use]
pub fn all() -> &'static [View] {
    VIEWS
}

/// Plans views over the tables and functions of a context and registers them there.
pub(crate) async fn register(
    context: &SessionContext,
    views: impl IntoIterator<Item = &'static View>,
) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>, QueryError> {
    let mut registered = Vec::new();
    for view in views {
        let failed = |source| QueryError::Builtin { name: view.name, source };
        let table = context.sql(view.sql).await.map_err(failed)?.into_view();
        context.register_table(view.name, Arc::clone(&table)).map_err(failed)?;
        registered.push((view.name, table));
    }
    Ok(registered)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_view_with_a_description() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/views");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: BTreeSet<String> = VIEWS.iter().map(|view| format!("{}.sql", view.name)).collect();
        assert_eq!(files.collect::<BTreeSet<_>>(), names);
        for view in VIEWS {
            assert!(view.sql.starts_with("-- ") && view.description().ends_with('.'), "{}", view.name);
        }
    }

    #[test]
    fn uses_are_the_finished_key_uses_of_the_catalogue() {
        let finished = keytrail_model::actions::catalogue().unwrap().into_iter().filter(|action| {
            action.category == "key_use" && matches!(action.phase.as_deref(), Some("end" | "singlepart"))
        });
        let finished: BTreeSet<String> = finished.map(|action| action.action).collect();
        for name in ["key_usage", "key_usage_by_partition"] {
            let view = VIEWS.iter().find(|view| view.name == name).unwrap();
            let named = view.sql.split('\'').filter(|text| text.starts_with("LUNA_") && !text.starts_with("LUNA_RET"));
            assert_eq!(named.map(str::to_owned).collect::<BTreeSet<_>>(), finished, "{name}");
        }
    }
}
