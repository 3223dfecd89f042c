//! SQL texts: constants, checked when they are compiled, and registered so that tests can ask both engines about each.
//!
//! Architecture invariant: no SQL is put together at run time. A tenant's text names `tenant_id`, and its `$1` is the
//! tenant, bound by [`TenantSql::on`] and by nobody else. How many parameters a text has is counted here, and the executor
//! refuses to run it with fewer, since SQLite would silently take NULL.
//!
//! Nothing here knows an engine: a [`Statement`] is a text with its values, an [`Executor`] is whatever runs it. Where the
//! engines spell a text differently, [`spelling`] says how.

pub(in crate::store) mod spelling;
mod statement;
mod tables;
mod text;
mod value;

pub(in crate::store) use statement::{Executor, Statement};
pub use tables::Tables;
pub use text::Text;
pub(in crate::store) use value::{Cell, Cells, Columns, Json, Record, Unreadable, Value, json, row};

use crate::tenant::TenantId;

/// A text that sees one tenant's rows.
#[derive(Debug, Clone, Copy)]
pub struct TenantSql(pub Text);

/// A text that crosses tenants, or concerns none. In the files alone that a test names.
#[derive(Debug, Clone, Copy)]
pub struct SystemSql(pub Text);

/// What is told to SQLite alone: about its transactions, its log, its schema. In `store/sqlite/` alone.
#[derive(Debug, Clone, Copy)]
pub struct SqliteSql(pub Text);

/// A text in both spellings.
macro_rules! spelled {
    ($name:expr, $text:expr) => {{
        use $crate::store::sql::Text;
        use $crate::store::sql::spelling::{Engine, length, spell};
        const TEXT: &str = $text;
        const SQLITE: &[u8] = &spell::<{ length(TEXT, Engine::Sqlite) }>(TEXT, Engine::Sqlite);
        const POSTGRES: &[u8] = &spell::<{ length(TEXT, Engine::Postgres) }>(TEXT, Engine::Postgres);
        Text::new($name, SQLITE, POSTGRES)
    }};
}

/// Declares tenant texts and registers them.
macro_rules! tenant_sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: $crate::store::sql::TenantSql =
            $crate::store::sql::TenantSql::new($crate::store::sql::spelled!(stringify!($name), $text));)*
        pub(in crate::store) const REGISTERED: &[$crate::store::sql::TenantSql] = &[$($name),*];
    };
}

/// Declares system texts and registers them.
macro_rules! system_sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: $crate::store::sql::SystemSql =
            $crate::store::sql::SystemSql($crate::store::sql::spelled!(stringify!($name), $text));)*
        pub(in crate::store) const REGISTERED_SYSTEM: &[$crate::store::sql::SystemSql] = &[$($name),*];
    };
}

/// Declares what SQLite alone is told, and registers it.
macro_rules! sqlite_sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: $crate::store::sql::SqliteSql =
            $crate::store::sql::SqliteSql::new(stringify!($name), $text);)*
        pub(in crate::store) const REGISTERED_SQLITE: &[$crate::store::sql::SqliteSql] = &[$($name),*];
    };
}

pub(in crate::store) use {spelled, sqlite_sql, system_sql, tenant_sql};

// === impl TenantSql ===

impl TenantSql {
    pub(in crate::store) const fn new(text: Text) -> Self {
        assert!(tables::contains(text.sqlite, "tenant_id"), "a tenant text must name tenant_id");
        assert!(tables::contains(text.sqlite, "$1"), "a tenant text must bind the tenant as $1");
        Self(text)
    }

    pub(in crate::store) fn on<'a>(self, executor: &'a dyn Executor, tenant: &'a TenantId) -> Statement<'a> {
        Statement::new(self.0, executor).bind(tenant.as_str())
    }
}

// === impl SystemSql ===

impl SystemSql {
    pub(in crate::store) fn on(self, executor: &dyn Executor) -> Statement<'_> {
        Statement::new(self.0, executor)
    }
}

// === impl SqliteSql ===

impl SqliteSql {
    pub(in crate::store) const fn new(name: &'static str, sqlite: &'static str) -> Self {
        Self(Text::of_sqlite(name, sqlite))
    }

    pub(in crate::store) fn on(self, executor: &dyn Executor) -> Statement<'_> {
        Statement::new(self.0, executor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "must name tenant_id")]
    fn a_text_without_its_tenant_is_refused() {
        let _ = TenantSql::new(spelled!("X", "SELECT 1 FROM prospects WHERE id = $1"));
    }
}
