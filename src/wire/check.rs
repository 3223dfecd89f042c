//! Counts a message's elements and looks at its texts, in its bytes.
//!
//! One walk, in the order of the bytes, that takes no memory for what it meets. Whatever is no protobuf is left to the
//! decoder, which has the words for it.

use super::shape::{Content, Field, Shapes};
use crate::domain::error::{Error, Violations};

/// The most elements of a message, whatever its fields may hold each.
pub const MAX_ELEMENTS: usize = 200_000;

/// The most JSON objects with members among them: each takes room for eleven members, as it is decoded and as it is kept.
const MAX_OBJECTS: usize = 20_000;
const OBJECT_WEIGHT: usize = 1_200;

/// How deep messages may be nested, as the decoder has it.
const MAX_DEPTH: usize = 100;

/// About what an element takes when it is decoded, besides its bytes: one with fields of its own, and another.
const MESSAGE_WEIGHT: usize = 1_024;
const WEIGHT: usize = 96;

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    pub elements: usize,
    /// About what it takes when it is decoded, in bytes.
    pub weight: usize,
}

struct Walk<'a> {
    shapes: &'a Shapes,
    violations: Violations,
    checked: Checked,
    objects: usize,
    /// Where we are, from outside in; made into a path only where something is wrong.
    place: Vec<(&'a str, Option<usize>)>,
}

/// How much of each of its fields a message has, over all pieces of it: the pieces of a field that is not repeated are one
/// message to the decoder.
#[derive(Default)]
struct Counts {
    fields: Vec<(u32, usize)>,
    /// Of fields that hold one message.
    inner: Vec<(u32, Counts)>,
}

/// The elements of a well-known type, at any depth.
struct Together {
    count: usize,
    max: usize,
    opaque: bool,
}

/// What is no protobuf.
struct Malformed;

/// The bytes that are left.
struct Bytes<'a>(&'a [u8]);

enum Value<'a> {
    Varint,
    Fixed64,
    Fixed32,
    Bytes(&'a [u8]),
}

// === impl Shapes ===

impl Shapes {
    /// What the message of a method's request holds, if that is no more than it may. A method that is not known has
    /// nothing to be compared with.
    pub fn check(&self, path: &str, message: &[u8]) -> Result<Checked, Error> {
        let Some(shape) = self.request(path) else { return Ok(Checked::default()) };
        let checked = Checked { elements: 0, weight: message.len() };
        let mut walk = Walk { shapes: self, violations: Violations::default(), checked, objects: 0, place: Vec::new() };
        // Whether it is malformed is the decoder's to say, in its own words.
        let _ = walk.message(shape, message, &mut Counts::default(), 0);
        if walk.checked.elements > MAX_ELEMENTS && walk.violations.is_empty() {
            walk.violations.add("", format!("the message must hold at most {MAX_ELEMENTS} elements in all"));
        }
        if walk.objects > MAX_OBJECTS && walk.violations.is_empty() {
            walk.violations.add("", format!("the message must hold at most {MAX_OBJECTS} objects in all"));
        }
        let checked = walk.checked;
        walk.violations.done().map(|()| checked)
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn message(&mut self, shape: usize, bytes: &'a [u8], counts: &mut Counts, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let shapes = self.shapes;
        let mut rest = Bytes(bytes);
        while let Some((number, value)) = rest.field()? {
            let fields = &shapes.messages[shape].fields;
            let Ok(at) = fields.binary_search_by_key(&number, |field| field.number) else { continue };
            let field = &fields[at];
            let before = counts.of(number);
            if field.repeated {
                let more = elements(field, &value);
                self.count(field, more);
                let count = counts.add(number, more);
                // Those that are too many are counted, and not looked into.
                if let Some(max) = field.max.filter(|_| !matches!(field.content, Content::WellKnown(_)))
                    && count > max as usize
                {
                    if before <= max as usize {
                        self.too_many(&field.name, format!("must have at most {max} elements"));
                    }
                    continue;
                }
            }
            let Value::Bytes(inner) = value else { continue };
            self.place.push((&field.name, field.repeated.then_some(before)));
            self.content(field, number, inner, counts, depth)?;
            self.place.pop();
        }
        Ok(())
    }

    fn content(
        &mut self,
        field: &'a Field,
        number: u32,
        bytes: &'a [u8],
        counts: &mut Counts,
        depth: usize,
    ) -> Result<(), Malformed> {
        match field.content {
            Content::Text if !field.opaque => {
                self.text(bytes);
                Ok(())
            }
            Content::Message(shape) if field.repeated => self.message(shape, bytes, &mut Counts::default(), depth + 1),
            Content::Message(shape) => self.message(shape, bytes, counts.inner(number), depth + 1),
            Content::WellKnown(shape) => {
                let max = field.max.map_or(MAX_ELEMENTS, |max| max as usize);
                let mut together = Together { count: counts.together(number), max, opaque: field.opaque };
                let done = self.well_known(shape, bytes, &mut together, depth + 1);
                counts.set_together(number, together.count);
                done
            }
            _ => Ok(()),
        }
    }

    /// A message of a well-known type, or in one.
    fn well_known(
        &mut self,
        shape: usize,
        bytes: &'a [u8],
        together: &mut Together,
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let shapes = self.shapes;
        let mut rest = Bytes(bytes);
        let mut has_members = false;
        while let Some((number, value)) = rest.field()? {
            let fields = &shapes.messages[shape].fields;
            let Ok(at) = fields.binary_search_by_key(&number, |field| field.number) else { continue };
            let field = &fields[at];
            if field.repeated {
                if field.is_map && !std::mem::replace(&mut has_members, true) {
                    self.objects += 1;
                    self.checked.weight += OBJECT_WEIGHT;
                }
                self.checked.elements += 1;
                self.checked.weight += WEIGHT;
                together.count += 1;
                if together.count > together.max {
                    if together.count == together.max + 1 {
                        let max = together.max;
                        self.too_many("", format!("must hold at most {max} elements, at any depth"));
                    }
                    continue;
                }
            }
            let Value::Bytes(inner) = value else { continue };
            match field.content {
                Content::Message(shape) | Content::WellKnown(shape) => {
                    self.well_known(shape, inner, together, depth + 1)?;
                }
                Content::Text if !together.opaque => self.text(inner),
                _ => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, field: &Field, more: usize) {
        self.checked.elements += more;
        let weight = if matches!(field.content, Content::Message(_)) { MESSAGE_WEIGHT } else { WEIGHT };
        self.checked.weight += more * weight;
    }

    fn text(&mut self, bytes: &[u8]) {
        if has_control(bytes) {
            self.violations.add(self.path(""), "must not contain control characters");
        }
    }

    fn too_many(&mut self, name: &str, description: String) {
        self.violations.add(self.path(name), description);
    }

    /// Such as `prospects[3].tags`.
    fn path(&self, name: &str) -> String {
        let mut path = String::new();
        for (name, index) in self.place.iter().copied().chain((!name.is_empty()).then_some((name, None))) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            if let Some(index) = index {
                path.push_str(&format!("[{index}]"));
            }
        }
        path
    }
}

/// The elements that one occurrence of a repeated field is: one, or as many numbers as are packed.
fn elements(field: &Field, value: &Value<'_>) -> usize {
    match (field.content, value) {
        (Content::Varint, Value::Bytes(packed)) => packed.iter().filter(|byte| **byte < 0x80).count(),
        (Content::Fixed32, Value::Bytes(packed)) => packed.len() / 4,
        (Content::Fixed64, Value::Bytes(packed)) => packed.len() / 8,
        _ => 1,
    }
}

/// Whether a UTF-8 text holds a control character that is refused (`domain::text::is_refused`).
fn has_control(text: &[u8]) -> bool {
    let c0 = |byte: &u8| (*byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t')) || *byte == 0x7f;
    // C1 is U+0080 to U+009F: C2 and one of these.
    text.iter().any(c0) || text.windows(2).any(|pair| pair[0] == 0xc2 && (0x80..0xa0).contains(&pair[1]))
}

// === impl Counts ===

impl Counts {
    fn of(&self, number: u32) -> usize {
        self.fields.iter().find(|(n, _)| *n == number).map_or(0, |(_, count)| *count)
    }

    /// The count after adding.
    fn add(&mut self, number: u32, more: usize) -> usize {
        match self.fields.iter_mut().find(|(n, _)| *n == number) {
            Some((_, count)) => {
                *count += more;
                *count
            }
            None => {
                self.fields.push((number, more));
                more
            }
        }
    }

    fn inner(&mut self, number: u32) -> &mut Self {
        let at = self.inner.iter().position(|(n, _)| *n == number).unwrap_or_else(|| {
            self.inner.push((number, Self::default()));
            self.inner.len() - 1
        });
        &mut self.inner[at].1
    }

    /// Under a number that no field has with itself: fields count up, these down.
    fn together(&self, number: u32) -> usize {
        self.of(u32::MAX - number)
    }

    fn set_together(&mut self, number: u32, count: usize) {
        let before = self.together(number);
        self.add(u32::MAX - number, count - before);
    }
}

// === impl Bytes ===

impl<'a> Bytes<'a> {
    /// The next field, and its value; None at the end.
    fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Varint
            }
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed)?)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            // Groups: our protos have none.
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{FieldMask, ListValue, Struct, Value};

    use super::*;
    use crate::budget;
    use crate::domain::text;
    use crate::pb;

    fn check(method: &str, message: &impl prost::Message) -> Result<Checked, String> {
        check_bytes(method, &message.encode_to_vec())
    }

    fn check_bytes(method: &str, bytes: &[u8]) -> Result<Checked, String> {
        static SHAPES: OnceLock<Shapes> = OnceLock::new();
        let shapes = SHAPES.get_or_init(|| Shapes::load().expect("every field has its limit"));
        shapes.check(&format!("/herald.v1.{method}"), bytes).map_err(|error| error.to_string())
    }

    fn row(tags: usize) -> pb::Prospect {
        pb::Prospect { email: "a@b.example".to_owned(), tags: vec!["t".to_owned(); tags], ..Default::default() }
    }

    fn nulls(count: usize) -> Value {
        let null = Value { kind: Some(Kind::NullValue(0)) };
        Value { kind: Some(Kind::ListValue(ListValue { values: vec![null; count] })) }
    }

    #[test]
    fn repeated_fields_hold_as_many_as_the_proto_says_and_no_more() {
        let batch =
            |rows, tags| pb::BatchCreateProspectsRequest { prospects: vec![row(tags); rows], ..Default::default() };
        let create = "AgentService/BatchCreateProspects";
        assert_eq!(check(create, &batch(1_000, 50)).map(|checked| checked.elements), Ok(51_000));
        assert_eq!(check(create, &batch(1_001, 0)), Err("prospects must have at most 1000 elements".to_owned()));
        assert_eq!(check(create, &batch(1, 51)), Err("prospects[0].tags must have at most 50 elements".to_owned()));
        let error = check(create, &batch(1_000, 51)).expect_err("each has too many");
        assert_eq!(error, "prospects[0].tags must have at most 50 elements (and 999 more)");
    }

    #[test]
    fn well_known_types_are_counted_at_any_depth() {
        let set = |value| pb::SetCacheEntryRequest { key: "k".to_owned(), value: Some(value), ttl: None };
        let entry = "CacheService/SetCacheEntry";
        assert_eq!(check(entry, &set(nulls(100_000))).map(|checked| checked.elements), Ok(100_000));
        let too_many = Err("value must hold at most 100000 elements, at any depth".to_owned());
        assert_eq!(check(entry, &set(nulls(100_001))), too_many);
        let nested = Struct { fields: [("a".to_owned(), nulls(99_999)), ("b".to_owned(), nulls(0))].into() };
        assert_eq!(check(entry, &set(Value { kind: Some(Kind::StructValue(nested)) })), too_many);
        let mask = |paths| pb::UpdateProspectRequest {
            update_mask: Some(FieldMask { paths: vec![String::new(); paths] }),
            ..Default::default()
        };
        assert!(check("AgentService/UpdateProspect", &mask(100)).is_ok());
        let error = check("AgentService/UpdateProspect", &mask(101)).expect_err("too many");
        assert_eq!(error, "update_mask must hold at most 100 elements, at any depth");
    }

    #[test]
    fn the_pieces_of_one_message_are_counted_together() {
        // A field that is not repeated, there twice: the decoder puts both into one.
        let config = |tags| pb::UpdateAgentConfigRequest {
            config: Some(pb::AgentConfig { industries: vec![String::new(); tags], ..Default::default() }),
            update_mask: Some(FieldMask { paths: vec!["goal".to_owned(); tags] }),
        };
        let (piece, method) = (config(50).encode_to_vec(), "AgentService/UpdateAgentConfig");
        assert!(check_bytes(method, &piece).is_ok());
        assert!(check_bytes(method, &config(51).encode_to_vec()).is_err());
        let twice = check_bytes(method, &[piece.clone(), piece.clone()].concat()).expect_err("a hundred");
        assert_eq!(twice, "config.industries must have at most 50 elements");
        let thrice = check_bytes(method, &[piece.clone(), piece.clone(), piece].concat()).expect_err("both");
        assert_eq!(thrice, "config.industries must have at most 50 elements (and 1 more)");
    }

    #[test]
    fn a_message_holds_so_much_in_all() {
        let entry = |i: usize| pb::CacheEntry { key: format!("{i}"), value: Some(nulls(1_000)), counter: None };
        let request = |n| pb::BatchSetCacheEntriesRequest { entries: (0..n).map(entry).collect(), ttl: None };
        assert!(check("CacheService/BatchSetCacheEntries", &request(199)).is_ok());
        let error = check("CacheService/BatchSetCacheEntries", &request(200)).expect_err("too many");
        assert!(error.contains("at most 200000 elements in all"), "{error}");
    }

    #[test]
    fn objects_are_counted_for_themselves() {
        let null = Value { kind: Some(Kind::NullValue(0)) };
        let object = Value { kind: Some(Kind::StructValue(Struct { fields: [(String::new(), null)].into() })) };
        let set = |count| {
            let list = ListValue { values: vec![object.clone(); count] };
            let value = Some(Value { kind: Some(Kind::ListValue(list)) });
            pb::SetCacheEntryRequest { key: "k".to_owned(), value, ttl: None }
        };
        let checked = check("CacheService/SetCacheEntry", &set(20_000)).expect("as many as may be");
        assert!(checked.weight > 20_000 * 1_200 && checked.weight < budget::REQUESTS_PER_TENANT, "{checked:?}");
        let error = check("CacheService/SetCacheEntry", &set(20_001)).expect_err("one more");
        assert!(error.contains("at most 20000 objects"), "{error}");
    }

    #[test]
    fn control_characters_are_found_in_every_text_that_is_not_opaque() {
        let prospect = |notes: &str| pb::UpdateProspectRequest {
            prospect: Some(pb::Prospect { notes: notes.to_owned(), ..Default::default() }),
            update_mask: None,
        };
        for c in (0..=0x2100).filter_map(char::from_u32) {
            let refused = check("AgentService/UpdateProspect", &prospect(&format!("a{c}b"))).is_err();
            assert_eq!(refused, text::is_refused(c), "{c:?}");
        }
        let data = Value { kind: Some(Kind::StringValue("\u{1b}[0m".to_owned())) };
        let data = Some(Struct { fields: [("name".to_owned(), data.clone())].into() });
        let config = pb::AgentConfig { template_data: data.clone(), ..Default::default() };
        let config = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
        let error = check("AgentService/UpdateAgentConfig", &config).expect_err("an escape");
        assert_eq!(error, "config.template_data must not contain control characters");
        let value = Value { kind: data.map(Kind::StructValue) };
        let cached = pb::SetCacheEntryRequest { key: "\0".to_owned(), value: Some(value), ttl: None };
        assert!(check("CacheService/SetCacheEntry", &cached).is_ok());
    }

    #[test]
    fn what_is_no_protobuf_is_left_to_the_decoder_and_costs_no_stack() {
        let mut deep = Vec::new();
        for _ in 0..10_000 {
            deep =
                [vec![0x32], varint(deep.len() + varint(deep.len()).len() + 1), vec![0x0a], varint(deep.len()), deep]
                    .concat();
            if deep.len() > 100_000 {
                break;
            }
        }
        let set = [vec![0x12], varint(deep.len()), deep].concat();
        for bytes in [set.as_slice(), &[0xff; 40], &[0x0b, 0x0c], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            let _ = check_bytes("CacheService/SetCacheEntry", bytes);
        }
    }

    fn varint(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push(u8::try_from(n & 0x7f).expect("seven bits") | 0x80);
            n >>= 7;
        }
        out.push(u8::try_from(n).expect("seven bits"));
        out
    }
}
