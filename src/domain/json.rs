//! How much a JSON text holds, told from its bytes.
//!
//! As a tree, a mebibyte of `[[],[],…]` takes many times its bytes. So what a text would become is counted before it is parsed,
//! in one pass that keeps nothing.

/// What a text would become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The values: objects, arrays, strings, numbers, booleans and nulls. Names of members are none.
    pub elements: usize,
    /// Those of them that are objects with members, which take the most as a tree.
    pub objects: usize,
}

/// The values that the text holds, itself among them. Of what is no JSON, at least as many as a parser has made when it finds
/// that out, and 1 for a plain text.
pub fn elements(bytes: &[u8]) -> usize {
    count(bytes).elements
}

/// See [`elements`].
pub fn count(bytes: &[u8]) -> Count {
    let mut count = Count { elements: 1, objects: 0 };
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let begin = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    if !matches!(bytes.get(begin), Some(b'[' | b'{')) {
        return count;
    }
    // A value stands after a comma, or is the first of its array or object.
    let (mut at, mut opened) = (begin, b' ');
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if is_space(byte) {
            continue;
        }
        if opened != b' ' && !matches!(byte, b']' | b'}') {
            count.elements += 1;
            count.objects += usize::from(opened == b'{');
        }
        opened = b' ';
        match byte {
            b'"' => at = after_string(bytes, at),
            b',' => count.elements += 1,
            b'[' | b'{' => opened = *byte,
            _ => {}
        }
    }
    count
}

/// The place behind the string whose first byte is at `at`.
fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// What the tree holds, counted in the tree.
    fn counted(value: &Value) -> Count {
        let (parts, objects): (Vec<&Value>, usize) = match value {
            Value::Array(items) => (items.iter().collect(), 0),
            Value::Object(members) => (members.values().collect(), usize::from(!members.is_empty())),
            _ => (Vec::new(), 0),
        };
        parts.into_iter().map(counted).fold(Count { elements: 1, objects }, |sum, part| Count {
            elements: sum.elements + part.elements,
            objects: sum.objects + part.objects,
        })
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = || proptest::string::string_regex(r#"[\[\]{},:"\\ a\n用]{0,6}"#).expect("a pattern");
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_holds_what_its_tree_holds(value in values()) {
            let (short, long) = (value.to_string(), serde_json::to_string_pretty(&value).expect("JSON"));
            prop_assert_eq!(count(short.as_bytes()), counted(&value), "{}", short);
            prop_assert_eq!(count(long.as_bytes()), counted(&value), "{}", long);
            // Of a text that is broken off, no more than of the whole.
            for end in 0..short.len() {
                prop_assert!(elements(&short.as_bytes()[..end]) <= elements(short.as_bytes()) + 1);
            }
        }
    }

    #[test]
    fn what_is_no_json_is_one_text_or_what_it_begins_with() {
        for (text, expected) in
            [("", 1), ("  ", 1), ("a, b, [c]", 1), (r#""a,b""#, 1), ("[1,2", 3), ("[[],[],", 4), (r#"["\"#, 2)]
        {
            assert_eq!(elements(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(elements(json!(vec![json!([]); 1_000]).to_string().as_bytes()), 1_001);
    }
}
