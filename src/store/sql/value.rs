//! What a text is given and what it gives, as every engine has it.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::campaign::{Goal, StepId, StepStatus};
use crate::domain::clock::Timestamp;
use crate::domain::email::EmailStatus;
use crate::domain::id::{CampaignId, EmailId, MailboxId, ProspectId, StrategyId, TemplateId};
use crate::domain::language::Language;
use crate::domain::mailbox::{MailboxKind, MailboxState};
use crate::domain::prospect::ProspectStatus;
use crate::domain::reply::Intent;
use crate::domain::suppression::SuppressionReason;
use crate::tenant::Proof;

/// What is bound to a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Value<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

/// What stands in a column of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::store) enum Cell<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// What Herald stores nowhere, such as a text that is no UTF-8.
    Foreign,
}

/// A row as an engine gives it.
pub(in crate::store) trait Columns {
    fn cell(&self, index: usize) -> Cell<'_>;
    fn name(&self, index: usize) -> &str;
}

/// A row that is read column by column, from the first.
pub(in crate::store) struct Cells<'a> {
    columns: &'a dyn Columns,
    next: usize,
}

/// A column cannot be read: its place in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Unreadable {
    pub column: usize,
}

/// What one column holds.
pub(in crate::store) trait Column: Sized {
    /// None if the cell holds something else.
    fn of(cell: Cell<'_>) -> Option<Self>;
}

/// What is made of a row, or of the next columns of one.
pub(in crate::store) trait Record: Sized {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable>;
}

/// What a column holds as JSON.
pub(in crate::store) struct Json<T>(pub T);

/// A struct of columns, in their order and by their names.
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$doc])* $field: $type,)* }

        impl $crate::store::sql::Record for $name {
            fn read(cells: &mut $crate::store::sql::Cells<'_>) -> Result<Self, $crate::store::sql::Unreadable> {
                Ok(Self { $($field: cells.named(stringify!($field))?,)* })
            }
        }
    };
}

pub(in crate::store) use row;

/// The value as JSON.
#[expect(clippy::expect_used, reason = "our types have string keys and no serializer of their own that could fail")]
pub(in crate::store) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a value of ours is JSON")
}

// === impl Cells ===

impl<'a> Cells<'a> {
    pub(in crate::store) fn new(columns: &'a dyn Columns) -> Self {
        Self { columns, next: 0 }
    }

    /// The place of the next column.
    pub(in crate::store) fn column(&self) -> usize {
        self.next
    }

    /// Reads the next columns.
    pub(in crate::store) fn take<T: Record>(&mut self) -> Result<T, Unreadable> {
        T::read(self)
    }

    /// The same for a column whose name is known, which is compared while testing.
    pub(in crate::store) fn named<T: Column>(&mut self, name: &str) -> Result<T, Unreadable> {
        debug_assert_eq!(self.columns.name(self.next), name, "a text gives its columns in another order");
        self.take()
    }
}

// === impl Record ===

impl<T: Column> Record for T {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let column = cells.next;
        cells.next += 1;
        T::of(cells.columns.cell(column)).ok_or(Unreadable { column })
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: Record),*> Record for ($($part,)*) {
            fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
                Ok(($(cells.take::<$part>()?,)*))
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) }

// === impl Column ===

impl Column for i64 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Integer(n) = cell { Some(n) } else { None }
    }
}

impl Column for u32 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell)?.try_into().ok()
    }
}

impl Column for u8 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell)?.try_into().ok()
    }
}

impl Column for bool {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell).map(|n| n != 0)
    }
}

impl Column for Timestamp {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell).map(Timestamp)
    }
}

impl Column for String {
    fn of(cell: Cell<'_>) -> Option<Self> {
        text(cell).map(str::to_owned)
    }
}

impl Column for Vec<u8> {
    fn of(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Bytes(bytes) = cell { Some(bytes.to_vec()) } else { None }
    }
}

impl<T: Column> Column for Option<T> {
    fn of(cell: Cell<'_>) -> Option<Self> {
        if cell == Cell::Null { Some(None) } else { T::of(cell).map(Some) }
    }
}

impl<T: DeserializeOwned> Column for Json<T> {
    fn of(cell: Cell<'_>) -> Option<Self> {
        serde_json::from_str(text(cell)?).ok().map(Self)
    }
}

fn text(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text) } else { None }
}

macro_rules! named {
    ($($name:ident)*) => {$(
        impl Column for $name {
            fn of(cell: Cell<'_>) -> Option<Self> {
                Self::parse(text(cell)?)
            }
        }
    )*};
}

named! { EmailStatus Goal Intent Language MailboxKind MailboxState Proof ProspectStatus StepId StepStatus SuppressionReason }

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl Column for $id {
            fn of(cell: Cell<'_>) -> Option<Self> {
                Self::parse(text(cell)?).ok()
            }
        }

        impl From<$id> for Value<'_> {
            fn from(id: $id) -> Self {
                Self::Text(Cow::Owned(id.as_str().to_owned()))
            }
        }

        impl<'a> From<&'a $id> for Value<'a> {
            fn from(id: &'a $id) -> Self {
                id.as_str().into()
            }
        }
    )*};
}

ids! { CampaignId EmailId MailboxId ProspectId StrategyId TemplateId }

// === impl Value ===

macro_rules! values {
    ($($type:ty: $value:ident => $made:expr;)*) => {$(
        impl From<$type> for Value<'_> {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

values! {
    i64: n => Self::Integer(n);
    u8: n => Self::Integer(n.into());
    u32: n => Self::Integer(n.into());
    bool: yes => Self::Integer(yes.into());
    u64: n => Self::Integer(n.try_into().unwrap_or(i64::MAX));
    usize: n => Self::Integer(n.try_into().unwrap_or(i64::MAX));
    Timestamp: time => Self::Integer(time.0);
    String: text => Self::Text(Cow::Owned(text));
    Vec<u8>: bytes => Self::Bytes(Cow::Owned(bytes));
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, T::into)
    }
}
