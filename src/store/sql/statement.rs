//! A text with its values, and what runs it.

use super::text::Text;
use super::value::{Cells, Column, Columns, Record, Unreadable, Value};
use crate::store::error::{Inconsistency, Result, StoreError};

/// A connection to an engine. It runs a text on the thread that asks.
pub(in crate::store) trait Executor {
    /// Runs the text, with as many values as it has parameters, and hands over its rows one after the other for as long as
    /// true is given back for them. How many rows it has changed.
    fn run(&self, text: &Text, values: &[Value<'_>], row: &mut dyn FnMut(&dyn Columns) -> Result<bool>) -> Result<u64>;
}

/// A text with its values.
pub(in crate::store) struct Statement<'a> {
    executor: &'a dyn Executor,
    text: Text,
    values: Vec<Value<'a>>,
}

// === impl Statement ===

impl<'a> Statement<'a> {
    pub(super) fn new(text: Text, executor: &'a dyn Executor) -> Self {
        Self { executor, text, values: Vec::with_capacity(text.parameters()) }
    }

    /// Binds the next parameter.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'a>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The first row.
    pub(in crate::store) fn optional<R: Record>(self) -> Result<Option<R>> {
        let mut first = None;
        self.run(&mut |record: R| {
            first = Some(record);
            false
        })?;
        Ok(first)
    }

    pub(in crate::store) fn all<R: Record>(self) -> Result<Vec<R>> {
        let mut all = Vec::new();
        self.run(&mut |record: R| {
            all.push(record);
            true
        })?;
        Ok(all)
    }

    /// How many rows were changed.
    pub(in crate::store) fn execute(self) -> Result<u64> {
        self.run(&mut |_: Anything| true)
    }

    /// Runs a write that must change exactly `rows` rows.
    pub(in crate::store) fn execute_exactly(self, rows: usize) -> Result<()> {
        let statement = self.text.name;
        let touched = self.execute()?;
        if touched == rows as u64 {
            Ok(())
        } else {
            Err(Inconsistency::RowsTouched { statement, expected: rows, touched }.into())
        }
    }

    fn run<R: Record>(self, take: &mut dyn FnMut(R) -> bool) -> Result<u64> {
        let Self { executor, text, values } = self;
        let _span = tracing::debug_span!("statement", name = text.name).entered();
        if values.len() != text.parameters() {
            let (expected, bound) = (text.parameters(), values.len());
            return Err(Inconsistency::Parameters { statement: text.name, expected, bound }.into());
        }
        executor.run(&text, &values, &mut |columns| match Cells::new(columns).take() {
            Ok(record) => Ok(take(record)),
            Err(unreadable) => Err(told(&text, columns, unreadable)),
        })
    }
}

/// A row that nobody reads.
struct Anything;

impl Record for Anything {
    fn read(_: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self)
    }
}

/// What cannot be read, by the text's own words: the table that it reads or changes first, the column's name, the row's id.
fn told(text: &Text, columns: &dyn Columns, unreadable: Unreadable) -> StoreError {
    let mut words = text.sqlite.split_whitespace();
    let table = words.find(|word| matches!(*word, "FROM" | "UPDATE" | "INTO")).and(words.next()).unwrap_or_default();
    let id = (0..=unreadable.column).find(|column| columns.name(*column) == "id");
    let id = id.and_then(|column| String::of(columns.cell(column))).unwrap_or_default();
    let column = columns.name(unreadable.column).to_owned();
    Inconsistency::Unreadable { table, column, id }.into()
}
