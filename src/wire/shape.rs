//! What messages may hold, as the descriptors say it.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

use crate::pb;

/// What the messages of all methods may hold.
#[derive(Debug)]
pub struct Shapes {
    pub(super) messages: Vec<Shape>,
    /// The request of each method, by its path, such as `/herald.v1.AgentService/GetProspect`.
    methods: HashMap<String, usize>,
}

/// One kind of message.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// By their numbers.
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub number: u32,
    pub name: String,
    pub content: Content,
    pub repeated: bool,
    pub is_map: bool,
    /// The most elements: of this field if it is repeated; if its type is a well-known one, all in it at any depth.
    pub max: Option<u32>,
    pub opaque: bool,
}

/// What a field holds, as far as the wire tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    /// Of the shape at this place.
    Message(usize),
    /// The same; its elements are counted together, at any depth.
    WellKnown(usize),
}

/// The protos lack what is needed to bound a message.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    #[error("{0} has no limit: add `[(max_elements) = …]` to it in its proto")]
    NoLimit(String),
    #[error("the descriptors cannot be read: {0}")]
    Descriptors(String),
}

/// Types whose elements are counted together.
const WELL_KNOWN: [&str; 4] =
    ["google.protobuf.FieldMask", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"];

/// Reads the shapes.
struct Reader<'a> {
    pool: &'a DescriptorPool,
    messages: Vec<Shape>,
    known: HashMap<String, usize>,
}

// === impl Shapes ===

impl Shapes {
    /// Those of our protos.
    pub fn load() -> Result<Self, ShapeError> {
        Self::read(pb::DESCRIPTORS)
    }

    /// The same from any encoded descriptor set that holds our options.
    pub fn read(descriptors: &[u8]) -> Result<Self, ShapeError> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| ShapeError::Descriptors(error.to_string()))?;
        let mut reader = Reader { pool: &pool, messages: Vec::new(), known: HashMap::new() };
        let mut methods = HashMap::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            methods.insert(path, reader.message(&method.input())?);
            // What is answered is bounded by who makes it; its limits are part of the contract all the same.
            reader.message(&method.output())?;
        }
        Ok(Self { messages: reader.messages, methods })
    }

    /// The shape of the method's request.
    pub(super) fn request(&self, path: &str) -> Option<usize> {
        self.methods.get(path).copied()
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn message(&mut self, message: &MessageDescriptor) -> Result<usize, ShapeError> {
        if let Some(known) = self.known.get(message.full_name()) {
            return Ok(*known);
        }
        let place = self.messages.len();
        self.messages.push(Shape::default());
        // Before its fields: a message may hold itself.
        self.known.insert(message.full_name().to_owned(), place);
        let ours = message.package_name().starts_with("herald.");
        let mut fields = message.fields().map(|field| self.field(&field, ours)).collect::<Result<Vec<_>, _>>()?;
        fields.sort_by_key(|field| field.number);
        self.messages[place].fields = fields;
        Ok(place)
    }

    fn field(&mut self, field: &FieldDescriptor, ours: bool) -> Result<Field, ShapeError> {
        let content = match field.kind() {
            Kind::String => Content::Text,
            Kind::Bytes => Content::Bytes,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Content::Fixed32,
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Content::Fixed64,
            Kind::Message(message) if WELL_KNOWN.contains(&message.full_name()) => {
                Content::WellKnown(self.message(&message)?)
            }
            Kind::Message(message) => Content::Message(self.message(&message)?),
            _ => Content::Varint,
        };
        let repeated = field.is_list() || field.is_map();
        let options = field.options();
        let max = match self.option(&options, "herald.v1.max_elements") {
            Some(Value::U32(max)) if max > 0 => Some(max),
            _ => None,
        };
        if ours && max.is_none() && (repeated || matches!(content, Content::WellKnown(_))) {
            return Err(ShapeError::NoLimit(field.full_name().to_owned()));
        }
        let opaque = self.option(&options, "herald.v1.opaque") == Some(Value::Bool(true));
        Ok(Field {
            number: field.number(),
            name: field.name().to_owned(),
            content,
            repeated,
            is_map: field.is_map(),
            max,
            opaque,
        })
    }

    fn option(&self, options: &DynamicMessage, name: &str) -> Option<Value> {
        let extension = self.pool.get_extension_by_name(name)?;
        options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
    }
}
