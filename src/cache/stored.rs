//! Values as they are kept: JSON, within what one value may be; and how many of them fit into one answer.
//!
//! An answer's room is compared with weights, which can be told from the bytes, before any value is built.

use bytes::Bytes;
use serde_json::Value;

use super::error::{CacheError, MAX_ELEMENTS, MAX_VALUE, Result};
use crate::domain::json;

/// A value's JSON. What others wrote in Redis may be larger than what may be set, or no JSON at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored(pub(super) Bytes);

/// What an answer may still hold.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
    is_whole: bool,
}

/// What an element takes, beside its bytes, in a tree or a message; and what an object with members takes on top, whose smallest
/// map has room for eleven.
const ELEMENT: usize = 64;
const OBJECT: usize = 576;

// === impl Stored ===

impl Stored {
    /// Refuses what is larger than one value may be.
    pub fn new(value: &Value) -> Result<Self> {
        let bytes = value.to_string().into_bytes();
        if bytes.len() > MAX_VALUE {
            return Err(CacheError::TooLarge);
        }
        if json::elements(&bytes) > MAX_ELEMENTS {
            return Err(CacheError::TooManyElements);
        }
        // Kept for long, it is to have no room to grow.
        Ok(Self(bytes.into_boxed_slice().into()))
    }

    /// The value; a text that somebody else stored plainly, as that text.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.0).into_owned()))
    }

    /// Its bytes of JSON.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

// === impl Room ===

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: bytes, is_whole: true }
    }

    /// Whether the value fits beside those that were taken before; it is taken then.
    ///
    /// The first may have as many objects as it likes, so that whatever may be set can be read alone in an answer of the
    /// default size: 1 MiB and 100,000 elements.
    pub(super) fn take(&mut self, value: &Stored) -> bool {
        let count = json::count(&value.0);
        let alone = value.size().saturating_add(ELEMENT.saturating_mul(count.elements));
        let weight = alone.saturating_add(OBJECT.saturating_mul(count.objects));
        let fits = weight <= self.left || (self.is_whole && alone <= self.left);
        if fits {
            self.left = self.left.saturating_sub(weight);
            self.is_whole = false;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many of the values fit, one after the other.
    fn taken(room: usize, values: &[Value]) -> usize {
        let mut room = Room::new(room);
        values.iter().take_while(|value| room.take(&Stored::new(value).expect("a value"))).count()
    }

    #[test]
    fn an_answer_holds_what_its_room_weighs_and_not_a_byte_more() {
        let list = json!([1, [], "a"]);
        let weight = r#"[1,[],"a"]"#.len() + 4 * 64;
        for (room, fit) in [(weight - 1, 0), (weight, 1), (2 * weight - 1, 1), (2 * weight, 2), (usize::MAX, 3)] {
            assert_eq!(taken(room, &[list.clone(), list.clone(), list.clone()]), fit, "{room} bytes");
        }
        // Objects weigh more, but for the first value.
        let object = json!({ "a": {} });
        let alone = r#"{"a":{}}"#.len() + 2 * 64;
        let weight = alone + 576;
        for (room, fit) in [(alone - 1, 0), (alone, 1), (2 * weight - 1, 1), (2 * weight, 2)] {
            assert_eq!(taken(room, &[object.clone(), object.clone()]), fit, "{room} bytes");
        }
    }

    #[test]
    fn what_may_be_set_fits_alone_into_an_answer_of_the_default_size() {
        let max = crate::config::Server::default().max_response_bytes;
        // Of elements as many as there may be, and of bytes.
        let mut items = vec![json!({ "a": 1 }); (MAX_ELEMENTS - 2) / 2];
        items.push(json!("x".repeat(MAX_VALUE - 8 * items.len() - 4)));
        let stored = Stored::new(&Value::Array(items)).expect("at both limits");
        assert_eq!((stored.size(), json::elements(&stored.0)), (MAX_VALUE, MAX_ELEMENTS));
        assert!(Room::new(max).take(&stored));
    }

    #[test]
    fn a_value_has_no_more_bytes_and_elements_than_it_may() {
        for (count, fits) in [(MAX_ELEMENTS - 1, true), (MAX_ELEMENTS, true), (MAX_ELEMENTS + 1, false)] {
            let stored = Stored::new(&json!(vec![1; count - 1]));
            assert_eq!(stored.err(), (!fits).then_some(CacheError::TooManyElements), "{count} elements");
        }
        for (size, fits) in [(MAX_VALUE - 1, true), (MAX_VALUE, true), (MAX_VALUE + 1, false)] {
            let stored = Stored::new(&json!("x".repeat(size - 2)));
            assert_eq!(stored.err(), (!fits).then_some(CacheError::TooLarge), "{size} bytes");
        }
    }
}
