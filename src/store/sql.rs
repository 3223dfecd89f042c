//! SQL texts: constants, checked when they are compiled, and registered so that tests can ask SQLite about each.
//!
//! Architecture invariant: no SQL is put together at run time. A tenant's text names `tenant_id`, and its `$1` is the
//! tenant, bound by the executor, or for one row by [`super::rows`], and by nobody else. How many parameters a text has is
//! counted here, and the executor refuses to run it with fewer, since SQLite would silently take NULL.

use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Encode, FromRow, Row as _, Sqlite, SqliteConnection, Type};

use super::Readers;
use super::error::{Result, StoreError};
use super::freshness::Tables;
use crate::tenant::TenantId;

/// A text that sees one tenant's rows.
#[derive(Debug, Clone, Copy)]
pub struct TenantSql {
    pub name: &'static str,
    pub text: &'static str,
    /// The tables that it names.
    pub tables: Tables,
    /// Whether it changes rows.
    pub changes: bool,
    parameters: u8,
}

/// A text that crosses tenants, or concerns none. In `system.rs`, `together.rs`, `transaction.rs` and `check.rs` alone.
#[derive(Debug, Clone, Copy)]
pub struct SystemSql {
    pub name: &'static str,
    pub text: &'static str,
    /// The tables that it names.
    pub tables: Tables,
    /// Whether it changes rows.
    pub changes: bool,
    parameters: u8,
}

/// Declares tenant texts and registers them.
macro_rules! tenant_sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: crate::store::sql::TenantSql = crate::store::sql::TenantSql::new(stringify!($name), $text);)*
        pub(in crate::store) const REGISTERED: &[crate::store::sql::TenantSql] = &[$($name),*];
    };
}

/// Declares system texts and registers them.
macro_rules! system_sql {
    ($($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$meta])* const $name: crate::store::sql::SystemSql = crate::store::sql::SystemSql::new(stringify!($name), $text);)*
        pub(in crate::store) const REGISTERED_SYSTEM: &[crate::store::sql::SystemSql] = &[$($name),*];
    };
}

pub(super) use {system_sql, tenant_sql};

/// Where a text is run.
pub(super) enum Door<'a> {
    /// When it is the tenant's turn.
    Read(&'a Readers, &'a TenantId),
    Write(&'a mut SqliteConnection),
}

/// A text with its parameters.
pub(super) struct Bound<'a> {
    door: Door<'a>,
    /// What is run first.
    first: Option<SystemSql>,
    query: sqlx::query::Query<'a, Sqlite, SqliteArguments>,
    name: &'static str,
    parameters: u8,
    bound: u8,
}

// === impl TenantSql ===

impl TenantSql {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        assert!(contains(text, "tenant_id"), "a tenant text must name tenant_id");
        assert!(contains(text, "$1"), "a tenant text must bind the tenant as $1");
        Self { name, text, tables: Tables::named_in(text), changes: changes(text), parameters: parameters(text) }
    }

    pub(super) fn on<'a>(self, door: Door<'a>, tenant: &TenantId) -> Bound<'a> {
        let bound = Bound {
            door,
            first: None,
            query: sqlx::query(self.text),
            name: self.name,
            parameters: self.parameters,
            bound: 0,
        };
        bound.bind(tenant.as_str().to_owned())
    }
}

// === impl SystemSql ===

impl SystemSql {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, tables: Tables::named_in(text), changes: changes(text), parameters: parameters(text) }
    }

    pub(super) fn on(self, door: Door<'_>) -> Bound<'_> {
        Bound {
            door,
            first: None,
            query: sqlx::query(self.text),
            name: self.name,
            parameters: self.parameters,
            bound: 0,
        }
    }
}

// === impl Bound ===

impl<'a> Bound<'a> {
    /// Binds the next parameter.
    pub(super) fn bind<T: Encode<'a, Sqlite> + Type<Sqlite> + 'a>(mut self, value: T) -> Self {
        self.query = self.query.bind(value);
        self.bound += 1;
        self
    }

    /// Runs a text without parameters first.
    pub(super) fn after(mut self, first: SystemSql) -> Self {
        self.first = Some(first);
        self
    }

    pub(super) async fn optional<R: for<'r> FromRow<'r, SqliteRow>>(self) -> Result<Option<R>> {
        self.one().await?.map(|row| R::from_row(&row)).transpose().map_err(StoreError::from)
    }

    pub(super) async fn all<R: for<'r> FromRow<'r, SqliteRow>>(mut self) -> Result<Vec<R>> {
        self.prepare().await?;
        let rows = match self.door {
            Door::Read(readers, tenant) => {
                let _turn = readers.turns.take(tenant).await;
                self.query.fetch_all(&readers.pool).await
            }
            Door::Write(connection) => self.query.fetch_all(connection).await,
        };
        rows?.iter().map(|row| R::from_row(row).map_err(StoreError::from)).collect()
    }

    /// The value of the one row and column, read from JSON; None if there is no row. Each value that SQLite gives away is
    /// copied and handed from thread to thread by itself, so that one that holds many is the faster way to read them.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let name = self.name;
        let row = self.one().await?;
        row.map(|row| parse(name, row.try_get(0)?)).transpose()
    }

    async fn one(mut self) -> Result<Option<SqliteRow>> {
        self.prepare().await?;
        let row = match self.door {
            Door::Read(readers, tenant) => {
                let _turn = readers.turns.take(tenant).await;
                self.query.fetch_optional(&readers.pool).await
            }
            Door::Write(connection) => self.query.fetch_optional(connection).await,
        };
        Ok(row?)
    }

    /// How many rows were changed.
    pub(super) async fn execute(mut self) -> Result<u64> {
        self.prepare().await?;
        let done = match self.door {
            Door::Read(..) => return Err(StoreError::Broken(format!("{} is to be run by the writer", self.name))),
            Door::Write(connection) => self.query.execute(connection).await,
        };
        Ok(done?.rows_affected())
    }

    /// Runs a write that must change exactly `rows` rows.
    pub(super) async fn execute_exactly(self, rows: usize) -> Result<()> {
        let name = self.name;
        let changed = self.execute().await?;
        if changed == rows as u64 {
            Ok(())
        } else {
            Err(StoreError::Broken(format!("{name} changed {changed} rows instead of {rows}")))
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        let Self { name, parameters, bound, .. } = self;
        if bound != parameters {
            return Err(StoreError::Broken(format!("{name} has {parameters} parameters, {bound} were bound")));
        }
        if let (Some(first), Door::Write(connection)) = (self.first, &mut self.door) {
            sqlx::query(first.text).execute(&mut **connection).await?;
        }
        Ok(())
    }
}

/// The JSON that the text of this name gives.
pub(super) fn parse<T: DeserializeOwned>(name: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| StoreError::Broken(format!("what {name} gives cannot be read: {error}")))
}

/// The highest `$n` in the text.
const fn parameters(text: &str) -> u8 {
    let bytes = text.as_bytes();
    let (mut i, mut most) = (0, 0);
    while i < bytes.len() {
        if bytes[i] == b'$' {
            let mut n = 0;
            i += 1;
            while i < bytes.len() && bytes[i].is_ascii_digit() {
                n = n * 10 + (bytes[i] - b'0');
                i += 1;
            }
            if n > most {
                most = n;
            }
        } else {
            i += 1;
        }
    }
    most
}

/// Whether the text may change rows: whatever does not begin as a query does.
const fn changes(text: &str) -> bool {
    let (text, query) = (text.as_bytes(), b"SELECT ");
    let mut i = 0;
    while i < query.len() {
        if i == text.len() || text[i] != query[i] {
            return true;
        }
        i += 1;
    }
    false
}

pub(super) const fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let mut i = 0;
    while i + part.len() <= text.len() {
        let mut j = 0;
        while j < part.len() && text[i + j] == part[j] {
            j += 1;
        }
        if j == part.len() {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_by_their_highest_number() {
        assert_eq!(parameters("a = $1 AND b = $12 OR c = $2"), 12);
        assert_eq!(parameters("nothing"), 0);
    }

    #[test]
    fn whatever_does_not_begin_as_a_query_changes_rows() {
        assert!(!changes("SELECT 1 FROM prospects"));
        for text in
            ["UPDATE prospects SET id = 1", "WITH x AS (SELECT 1) DELETE FROM prospects", "SELECTED", "SELECT", ""]
        {
            assert!(changes(text), "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "must name tenant_id")]
    fn a_text_without_its_tenant_is_refused() {
        let _ = TenantSql::new("X", "SELECT 1 FROM prospects WHERE id = $1");
    }
}
