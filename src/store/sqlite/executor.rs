//! Runs texts in SQLite. The one place where the driver's types meet the store's.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row};

use crate::store::error::{Result, StoreError};
use crate::store::sql::{Cell, Columns, Executor, Text, Value};

// === impl Executor ===

impl Executor for Connection {
    fn run(&self, text: &Text, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Columns) -> Result<bool>) -> Result<u64> {
        let mut statement = self.prepare_cached(text.sqlite)?;
        for place in 1..=statement.parameter_count() {
            // SQLite takes `$2` for a name, and counts parameters as they come.
            let number = statement.parameter_name(place).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
            if let Some(value) = number.and_then(|number| values.get(number.checked_sub(1)?)) {
                statement.raw_bind_parameter(place, output(value))?;
            }
        }
        let mut rows = statement.raw_query();
        while let Some(next) = rows.next()? {
            if !row(next)? {
                break;
            }
        }
        drop(rows);
        Ok(self.changes())
    }
}

fn output<'a>(value: &'a Value<'_>) -> ToSqlOutput<'a> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Integer(n) => ValueRef::Integer(*n),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
    })
}

// === impl Columns ===

impl Columns for Row<'_> {
    fn cell(&self, index: usize) -> Cell<'_> {
        match self.get_ref(index) {
            Ok(ValueRef::Null) => Cell::Null,
            Ok(ValueRef::Integer(n)) => Cell::Integer(n),
            Ok(ValueRef::Text(text)) => str::from_utf8(text).map_or(Cell::Foreign, Cell::Text),
            Ok(ValueRef::Blob(bytes)) => Cell::Bytes(bytes),
            Ok(ValueRef::Real(_)) | Err(_) => Cell::Foreign,
        }
    }

    fn name(&self, index: usize) -> &str {
        self.as_ref().column_name(index).unwrap_or_default()
    }
}

// === impl StoreError ===

/// SQLite's result codes for a full volume: by the primary code in the low byte, and where the log's index cannot grow.
const SQLITE_FULL: i32 = 13;
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        let is_full = code.is_some_and(|code| code & 0xff == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE);
        if is_full { Self::DiskFull } else { Self::Database(error.into()) }
    }
}
