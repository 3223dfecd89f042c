//! JSON between protobuf's `Value` and serde's.
//!
//! Protobuf's numbers are doubles: a whole number that a double holds exactly becomes an integer, as JSON writes it.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number};

use crate::heavy::HEAVY;

/// How deep values may be nested; as deep as serde reads them back.
const MAX_DEPTH: usize = 100;
/// What a value takes at least beside its text, in memory.
const VALUE: usize = 32;
/// 2^53: above it a double does not hold every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The value, or what is wrong with it in words that fit behind a field's name.
pub fn value_in(value: Value) -> Result<serde_json::Value, &'static str> {
    value_at(value, 0)
}

/// About the bytes that values take, so as to tell whether converting them is heavy work: it is not looked further than needed.
pub(in crate::rpc) fn size_in<'a>(values: impl IntoIterator<Item = &'a Value>) -> usize {
    values.into_iter().fold(0, |size, value| if size > HEAVY { size } else { size + size_at(value, HEAVY - size, 0) })
}

fn size_at(value: &Value, max: usize, depth: usize) -> usize {
    let within = |parts: &mut dyn Iterator<Item = (usize, &Value)>| {
        let mut size = 0;
        for (name, value) in parts {
            if size > max || depth > MAX_DEPTH {
                break;
            }
            size += name + size_at(value, max - size, depth + 1);
        }
        size
    };
    let inner = match &value.kind {
        Some(Kind::StringValue(text)) => text.len(),
        Some(Kind::ListValue(list)) => within(&mut list.values.iter().map(|item| (0, item))),
        Some(Kind::StructValue(object)) => within(&mut object.fields.iter().map(|(name, value)| (name.len(), value))),
        _ => 0,
    };
    VALUE + inner
}

/// The same for an object.
pub(in crate::rpc) fn object_in(object: Struct) -> Result<Map<String, serde_json::Value>, &'static str> {
    object_at(object, 0)
}

fn value_at(value: Value, depth: usize) -> Result<serde_json::Value, &'static str> {
    if depth > MAX_DEPTH {
        return Err("must not be nested deeper than 100 levels");
    }
    Ok(match value.kind.ok_or("must hold a value; JSON's null is one")? {
        Kind::NullValue(_) => serde_json::Value::Null,
        Kind::BoolValue(value) => value.into(),
        Kind::StringValue(text) => text.into(),
        Kind::NumberValue(number) => number_in(number)?,
        Kind::ListValue(list) => {
            list.values.into_iter().map(|item| value_at(item, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Kind::StructValue(object) => object_at(object, depth)?.into(),
    })
}

fn object_at(object: Struct, depth: usize) -> Result<Map<String, serde_json::Value>, &'static str> {
    object.fields.into_iter().map(|(name, value)| Ok((name, value_at(value, depth + 1)?))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 fits")]
fn number_in(number: f64) -> Result<serde_json::Value, &'static str> {
    if number.fract() == 0.0 && number.abs() < EXACT {
        return Ok((number as i64).into());
    }
    Number::from_f64(number).map(Into::into).ok_or("must hold numbers that JSON knows: no infinity, no NaN")
}

pub(in crate::rpc) fn value_out(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value_out).collect() })
        }
        serde_json::Value::Object(object) => Kind::StructValue(object_out(object)),
    };
    Value { kind: Some(kind) }
}

pub(in crate::rpc) fn object_out(object: Map<String, serde_json::Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, value)| (name, value_out(value))).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_told_and_no_further_looked_at_than_needed() {
        let out = |value: serde_json::Value| value_out(value);
        assert_eq!(
            size_in([&out("x".repeat(100).into()), &out(serde_json::json!({"abc": [1, "de"]}))]),
            5 * 32 + 100 + 5
        );
        let large = out(vec![serde_json::json!([]); 1_000_000].into());
        assert!((HEAVY..HEAVY + 1_000).contains(&size_in([&large])));
        assert!((HEAVY..HEAVY + 1_000).contains(&size_in(vec![&out("x".repeat(900).into()); 1_000])));
    }

    #[test]
    fn values_come_back_as_they_went_in() {
        for text in
            ["null", "true", "-7", "1.5", r#""例子""#, "[1,[],{}]", r#"{"a":{"b":[1.25,null]}}"#, "9007199254740991"]
        {
            let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(value_in(value_out(value.clone())), Ok(value), "{text}");
        }
        for number in [f64::NAN, f64::INFINITY] {
            assert!(value_in(Value { kind: Some(Kind::NumberValue(number)) }).is_err());
        }
        assert!(value_in(Value { kind: None }).is_err());
        let deep = (0..101).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
        assert!(value_in(value_out(deep)).is_err());
    }
}
