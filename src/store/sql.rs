//! SQL texts: constants, checked when they are compiled, and registered so that tests can ask SQLite about each.
//!
//! Architecture invariant: no SQL is put together at run time. A tenant's text names `tenant_id`, and its `$1` is the
//! tenant, bound by the executor, or for one row by [`super::rows`], and by nobody else. How many parameters a text has is
//! counted here, and the executor refuses to run it with fewer, since SQLite would silently take NULL.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, Rows};
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Encode, FromRow, Row as _, Sqlite, Type};

use super::Readers;
use super::error::{Result, StoreError};
use super::freshness::Tables;
use crate::domain::id::{CampaignId, EmailId, ProspectId, StrategyId, TemplateId};
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

/// A text that crosses tenants, or concerns none. In `system.rs`, `transaction.rs` and `check.rs` alone.
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

/// A text with its parameters, for the connections that read, when it is the tenant's turn.
pub(super) struct Query<'a> {
    readers: &'a Readers,
    tenant: &'a TenantId,
    query: sqlx::query::Query<'a, Sqlite, SqliteArguments>,
    name: &'static str,
    parameters: u8,
    bound: u8,
}

/// A text with its parameters, for the connection that writes. It runs on the thread that asks, which is the writer's.
pub(super) struct Statement<'a> {
    connection: &'a Connection,
    text: &'static str,
    name: &'static str,
    parameters: u8,
    values: Vec<ToSqlOutput<'a>>,
}

/// What a statement binds.
pub(super) trait Parameter<'a> {
    fn value(self) -> ToSqlOutput<'a>;
}

/// What a statement gives of a row.
pub(super) trait Record: Sized {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self>;
}

/// A struct of columns by their names, which queries and statements give.
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(sqlx::FromRow)]
        $vis struct $name { $($(#[$doc])* $field: $type,)* }

        impl crate::store::sql::Record for $name {
            fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
                Ok(Self { $($field: row.get(stringify!($field))?,)* })
            }
        }
    };
}

pub(super) use row;

// === impl TenantSql ===

impl TenantSql {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        assert!(contains(text, "tenant_id"), "a tenant text must name tenant_id");
        assert!(contains(text, "$1"), "a tenant text must bind the tenant as $1");
        Self { name, text, tables: Tables::named_in(text), changes: changes(text), parameters: parameters(text) }
    }

    pub(super) fn query<'a>(self, readers: &'a Readers, tenant: &'a TenantId) -> Query<'a> {
        let Self { name, text, parameters, .. } = self;
        let query = Query { readers, tenant, query: sqlx::query(text), name, parameters, bound: 0 };
        query.bind(tenant.as_str().to_owned())
    }

    pub(super) fn on<'a>(self, connection: &'a Connection, tenant: &'a TenantId) -> Statement<'a> {
        let Self { name, text, parameters, .. } = self;
        Statement { connection, text, name, parameters, values: Vec::new() }.bind(tenant.as_str())
    }
}

// === impl SystemSql ===

impl SystemSql {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, tables: Tables::named_in(text), changes: changes(text), parameters: parameters(text) }
    }

    pub(super) fn on(self, connection: &Connection) -> Statement<'_> {
        let Self { name, text, parameters, .. } = self;
        Statement { connection, text, name, parameters, values: Vec::new() }
    }
}

// === impl Query ===

impl<'a> Query<'a> {
    /// Binds the next parameter.
    pub(super) fn bind<T: Encode<'a, Sqlite> + Type<Sqlite> + 'a>(mut self, value: T) -> Self {
        self.query = self.query.bind(value);
        self.bound += 1;
        self
    }

    pub(super) async fn optional<R: for<'r> FromRow<'r, SqliteRow>>(self) -> Result<Option<R>> {
        self.one().await?.map(|row| R::from_row(&row)).transpose().map_err(StoreError::from)
    }

    pub(super) async fn all<R: for<'r> FromRow<'r, SqliteRow>>(self) -> Result<Vec<R>> {
        all_bound(self.name, self.parameters, self.bound.into())?;
        let _turn = self.readers.turns.take(self.tenant).await;
        let rows = self.query.fetch_all(&self.readers.pool).await?;
        rows.iter().map(|row| R::from_row(row).map_err(StoreError::from)).collect()
    }

    /// The value of the one row and column, read from JSON; None if there is no row. Each value that SQLite gives away is
    /// copied and handed from thread to thread by itself, so that one that holds many is the faster way to read them.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let name = self.name;
        let row = self.one().await?;
        row.map(|row| parse(name, row.try_get(0)?)).transpose()
    }

    async fn one(self) -> Result<Option<SqliteRow>> {
        all_bound(self.name, self.parameters, self.bound.into())?;
        let _turn = self.readers.turns.take(self.tenant).await;
        Ok(self.query.fetch_optional(&self.readers.pool).await?)
    }
}

// === impl Statement ===

impl<'a> Statement<'a> {
    /// Binds the next parameter.
    pub(super) fn bind(mut self, value: impl Parameter<'a>) -> Self {
        self.values.push(value.value());
        self
    }

    /// The first row.
    pub(super) fn optional<R: Record>(self) -> Result<Option<R>> {
        self.run(|rows| rows.next()?.map(R::of).transpose())
    }

    pub(super) fn all<R: Record>(self) -> Result<Vec<R>> {
        self.run(|rows| {
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push(R::of(row)?);
            }
            Ok(all)
        })
    }

    /// The value of the one row and column, read from JSON; None if there is no row.
    pub(super) fn json<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let name = self.name;
        self.optional::<(String,)>()?.map(|(text,)| parse(name, &text)).transpose()
    }

    /// How many rows were changed.
    pub(super) fn execute(self) -> Result<u64> {
        let connection = self.connection;
        self.run(|rows| {
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        Ok(connection.changes())
    }

    /// Runs a write that must change exactly `rows` rows.
    pub(super) fn execute_exactly(self, rows: usize) -> Result<()> {
        let name = self.name;
        let changed = self.execute()?;
        if changed == rows as u64 {
            Ok(())
        } else {
            Err(StoreError::Broken(format!("{name} changed {changed} rows instead of {rows}")))
        }
    }

    fn run<T>(self, read: impl FnOnce(&mut Rows<'_>) -> rusqlite::Result<T>) -> Result<T> {
        all_bound(self.name, self.parameters, self.values.len())?;
        let mut statement = self.connection.prepare_cached(self.text)?;
        for place in 1..=statement.parameter_count() {
            // SQLite takes `$2` for a name, and counts parameters as they come.
            let number = statement.parameter_name(place).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
            let value = number.and_then(|number| self.values.get(number.checked_sub(1)?));
            let value =
                value.ok_or_else(|| StoreError::Broken(format!("{} has a parameter without a number", self.name)))?;
            statement.raw_bind_parameter(place, value)?;
        }
        Ok(read(&mut statement.raw_query())?)
    }
}

fn all_bound(name: &str, parameters: u8, bound: usize) -> Result<()> {
    if bound == usize::from(parameters) {
        Ok(())
    } else {
        Err(StoreError::Broken(format!("{name} has {parameters} parameters, {bound} were bound")))
    }
}

// === impl Parameter, Record ===

macro_rules! parameters {
    ($($type:ty: $value:ident => $made:expr;)*) => {$(
        impl Parameter<'_> for $type {
            fn value(self) -> ToSqlOutput<'static> {
                let $value = self;
                ToSqlOutput::Owned($made)
            }
        }
    )*};
}

parameters! {
    i64: n => Value::Integer(n);
    u8: n => Value::Integer(n.into());
    u32: n => Value::Integer(n.into());
    bool: yes => Value::Integer(yes.into());
    String: text => Value::Text(text);
    Vec<u8>: bytes => Value::Blob(bytes);
}

impl<'a> Parameter<'a> for &'a str {
    fn value(self) -> ToSqlOutput<'a> {
        ToSqlOutput::from(self)
    }
}

impl<'a, T: Parameter<'a>> Parameter<'a> for Option<T> {
    fn value(self) -> ToSqlOutput<'a> {
        self.map_or(ToSqlOutput::Owned(Value::Null), T::value)
    }
}

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl Parameter<'_> for $id {
            fn value(self) -> ToSqlOutput<'static> {
                ToSqlOutput::Owned(Value::Text(self.as_str().to_owned()))
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::parse(value.as_str()?).map_err(FromSqlError::other)
            }
        }
    )*};
}

ids! { CampaignId EmailId ProspectId StrategyId TemplateId }

macro_rules! tuples {
    ($(($($part:ident $n:tt)*))*) => {$(
        impl<$($part: FromSql),*> Record for ($($part,)*) {
            fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
                Ok(($(row.get::<_, $part>($n)?,)*))
            }
        }
    )*};
}

tuples! { (A 0) (A 0 B 1) (A 0 B 1 C 2) (A 0 B 1 C 2 D 3) }

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
