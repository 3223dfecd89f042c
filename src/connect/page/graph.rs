//! What the JSON-LD of a page says: whose website it is, and what is sold there.
//!
//! Things refer to each other by `@id`, from one script element into another and in circles. Each thing is therefore looked at
//! once, with what refers to it, and a reference is followed for one step where it is asked for.

use std::collections::HashMap;

use serde_json::{Map, Value};
use url::Url;

use super::effort::Effort;
use super::kinds;
use super::plain::{LONGEST, plain};
use super::{MAX_PIECES, absolute, plain_host};
use crate::domain::text::cut;
use crate::domain::website::{Entity, Role};

/// The texts of one property that are looked at.
const TEXTS: usize = 8;
/// How deep a text is looked for in arrays and objects.
const DEPTH: usize = 6;
const LONGEST_NAME: usize = 120;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// Those that may be the owner of the site, the likeliest first.
    pub organizations: Vec<Entity>,
    pub products: Vec<Entity>,
    pub website_names: Vec<String>,
    /// Whose products are sold.
    pub brands: Vec<String>,
}

/// How a thing was come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    /// It stands by itself.
    Root,
    PublisherOfSite,
    PublisherOfPage,
    /// What a page is about.
    Subject,
    /// The brand or the maker of a product.
    Brand,
    /// Anything else of another thing.
    Part,
}

/// Whatever is said of one thing, in one place or, under one `@id`, in several.
#[derive(Default)]
struct Thing<'a> {
    said: Vec<&'a Map<String, Value>>,
    /// In lower case, without their vocabulary.
    types: Vec<String>,
    id: Option<String>,
    via: Vec<Via>,
}

struct Graph<'a> {
    base: &'a Url,
    host: String,
    things: Vec<Thing<'a>>,
    by_id: HashMap<String, usize>,
    /// What refers to which `@id`.
    references: Vec<(String, Via)>,
    brands: Vec<String>,
    /// Who publishes the site, as a plain text has it.
    publishers: Vec<String>,
}

/// Reads the values of all script elements of the page at `url`.
pub(super) fn read(values: &[Value], url: &Url, base: &Url, effort: &mut Effort<'_>) -> Found {
    let (host, things) = (plain_host(url), Vec::new());
    let mut graph = Graph {
        base,
        host,
        things,
        by_id: HashMap::new(),
        references: Vec::new(),
        brands: Vec::new(),
        publishers: Vec::new(),
    };
    graph.gather(values, effort);
    graph.refer();
    graph.found(effort)
}

impl<'a> Graph<'a> {
    /// Looks at every object once.
    fn gather(&mut self, values: &'a [Value], effort: &mut Effort<'_>) {
        let mut left: Vec<(&Value, Via)> = values.iter().rev().map(|value| (value, Via::Root)).collect();
        while let Some((value, via)) = left.pop() {
            if !effort.spend(1) {
                return;
            }
            match value {
                Value::Array(list) => left.extend(list.iter().rev().map(|item| (item, via))),
                Value::Object(said) => {
                    let types = types(said);
                    let inside = said.iter().rev().map(|(key, value)| (value, via_of(key, via, &types)));
                    left.extend(inside);
                    self.thing(said, types, via);
                }
                // Many refer by a plain text to what is a thing.
                Value::String(text) if !matches!(via, Via::Root | Via::Part) && text.len() <= LONGEST => {
                    if via == Via::Brand && self.brands.len() < MAX_PIECES {
                        self.brands.push(plain(text));
                    }
                    if via == Via::PublisherOfSite && self.publishers.len() < TEXTS {
                        self.publishers.push(plain(text));
                    }
                    self.references.push((self.absolute_id(text), via));
                }
                _ => {}
            }
        }
    }

    fn thing(&mut self, said: &'a Map<String, Value>, types: Vec<String>, via: Via) {
        let id = ["@id", "id"].iter().find_map(|key| said.get(*key)?.as_str());
        let id = id.filter(|id| id.len() <= LONGEST).map(|id| self.absolute_id(id));
        let says_more = said.keys().any(|key| !matches!(key.as_str(), "@id" | "id" | "@type" | "type" | "@context"));
        let at = match &id {
            Some(id) if !says_more => return self.references.push((id.clone(), via)),
            Some(id) => *self.by_id.entry(id.clone()).or_insert(self.things.len()),
            None => self.things.len(),
        };
        if at == self.things.len() {
            self.things.push(Thing { id, ..Thing::default() });
        }
        if let Some(thing) = self.things.get_mut(at) {
            thing.said.push(said);
            thing.types.extend(types);
            thing.via.push(via);
        }
    }

    /// Tells each thing what refers to it.
    fn refer(&mut self) {
        for (id, via) in std::mem::take(&mut self.references) {
            if let Some(thing) = self.by_id.get(&id).and_then(|at| self.things.get_mut(*at)) {
                thing.via.push(via);
            }
        }
    }

    fn found(&self, effort: &mut Effort<'_>) -> Found {
        let mut found = Found { brands: self.brands.clone(), ..Found::default() };
        let mut organizations = Vec::new();
        for thing in &self.things {
            if !effort.spend(16 + thing.said.len()) {
                break;
            }
            if thing.is(kinds::is_website) && found.website_names.len() < TEXTS {
                found.website_names.extend(self.name(thing, effort));
            }
            if thing.via.contains(&Via::Brand) && found.brands.len() < MAX_PIECES {
                found.brands.extend(self.name(thing, effort));
            }
            if thing.is(kinds::is_product) {
                if found.products.len() < MAX_PIECES {
                    found.products.extend(self.entity(thing, Role::Other, effort));
                }
            } else if let Some(role) = self.role(thing).filter(|_| organizations.len() < MAX_PIECES) {
                organizations.extend(self.entity(thing, role, effort));
            }
        }
        // A text that names a thing, or would, is a reference.
        let is_reference =
            |name: &str| name.starts_with(['#', '_', '/']) || self.by_id.contains_key(&self.absolute_id(name));
        let named = self.publishers.iter().filter(|name| is_name(name) && !is_reference(name));
        organizations.extend(named.map(|name| Entity {
            name: name.clone(),
            role: Role::Publisher,
            ..Entity::default()
        }));
        organizations.sort_by_key(|entity: &Entity| entity.role);
        found.organizations = organizations;
        found
    }

    /// What an organisation is to the site; None for what is none, or somebody else's.
    fn role(&self, thing: &Thing<'a>) -> Option<Role> {
        let has = |via: Via| thing.via.contains(&via);
        let place = thing.property("address").is_some() || thing.property("telephone").is_some();
        let is_organization = thing.types.iter().any(|kind| kinds::is_organization(kind, place));
        let publishes = has(Via::PublisherOfSite) || has(Via::PublisherOfPage);
        // A person may publish a site or be what it is about; who is named with a publisher's name alone publishes it, too.
        let is_person = thing.types.iter().any(|kind| kind == "person");
        if !(is_organization
            || (publishes && (is_person || thing.types.is_empty()))
            || (is_person && has(Via::Subject)))
        {
            return None;
        }
        let urls: Vec<_> = self.urls(thing.property("url"), 0);
        let own = urls.iter().filter_map(|url| Url::parse(url).ok()).any(|url| plain_host(&url) == self.host);
        let of_site = own || (urls.is_empty() && thing.id.as_deref().is_some_and(|id| self.is_own_id(id)));
        let brand = has(Via::Brand);
        match () {
            () if has(Via::PublisherOfSite) => Some(Role::Publisher),
            () if has(Via::Subject) => Some(Role::Subject),
            () if of_site && has(Via::Root) && (own || !brand) => Some(Role::OfSite),
            () if has(Via::PublisherOfPage) => Some(Role::PublisherOfPage),
            () if brand || !has(Via::Root) => None,
            () if urls.is_empty() => Some(Role::Told),
            () => Some(Role::OfOther),
        }
    }

    fn is_own_id(&self, id: &str) -> bool {
        Url::parse(id).is_ok_and(|url| plain_host(&url) == self.host)
    }

    fn entity(&self, thing: &Thing<'a>, role: Role, effort: &mut Effort<'_>) -> Option<Entity> {
        let name = self.name(thing, effort);
        let mut descriptions = self.texts(thing.property("description"), effort).into_iter();
        let description = descriptions.find(|text| !is_address(text)).unwrap_or_default();
        let logo = self.urls(thing.property("logo"), 0).into_iter().next().unwrap_or_default();
        let audiences = match thing.property("audience") {
            Some(Value::Array(list)) => {
                list.iter().take(TEXTS).flat_map(|one| self.audience(one, effort)).take(TEXTS).collect()
            }
            Some(one) => self.audience(one, effort),
            None => Vec::new(),
        };
        let kinds = thing.types.iter().take(TEXTS).map(|kind| cut(kind, LONGEST_NAME).to_owned()).collect();
        let entity = Entity { kinds, role, name: name.unwrap_or_default(), description, logo, audiences };
        (!entity.name.is_empty() || !entity.description.is_empty()).then_some(entity)
    }

    /// A name is a text of one line that is no address.
    fn name(&self, thing: &Thing<'a>, effort: &mut Effort<'_>) -> Option<String> {
        let names = ["name", "legalName", "alternateName"].iter().filter_map(|key| thing.property(key));
        let mut names = names.flat_map(|value| self.texts(Some(value), effort)).collect::<Vec<_>>().into_iter();
        names.find(|name| is_name(name))
    }

    fn audience(&self, value: &'a Value, effort: &mut Effort<'_>) -> Vec<String> {
        let kind = value.as_object().and_then(|said| property(said, "audienceType"));
        self.texts(kind.or(Some(value)), effort)
    }

    /// The texts of a value, eight at most: itself, a list's, or an object's own or its name.
    fn texts(&self, value: Option<&'a Value>, effort: &mut Effort<'_>) -> Vec<String> {
        let mut out = Vec::new();
        self.gather_texts(value, &mut out, 0, effort);
        out
    }

    fn gather_texts(&self, value: Option<&'a Value>, out: &mut Vec<String>, depth: usize, effort: &mut Effort<'_>) {
        if out.len() >= TEXTS || depth > DEPTH || !effort.spend(1) {
            return;
        }
        match value {
            Some(Value::String(text)) => {
                effort.spend(text.len().min(4 * LONGEST) / 16);
                out.push(plain(text));
            }
            Some(Value::Array(list)) => {
                list.iter().take(TEXTS).for_each(|item| self.gather_texts(Some(item), out, depth + 1, effort));
            }
            Some(Value::Object(said)) => {
                let said = self.resolve(said);
                let told = ["@value", "name"].iter().find_map(|key| property(said, key));
                // A text by language, of which the first is the site's own.
                let by_language =
                    || said.iter().find(|(key, value)| key.len() <= 7 && !key.starts_with('@') && value.is_string());
                let by_language = || by_language().filter(|_| said.get("@type").is_none()).map(|(_, value)| value);
                self.gather_texts(told.or_else(by_language), out, depth + 1, effort);
            }
            _ => {}
        }
    }

    /// The addresses of a value: itself, a list's, or those of an object such as an image, which may be elsewhere in the graph.
    fn urls(&self, value: Option<&'a Value>, depth: usize) -> Vec<String> {
        if depth > DEPTH {
            return Vec::new();
        }
        match value {
            Some(Value::String(text)) => self.url(text).into_iter().collect(),
            Some(Value::Array(list)) => {
                list.iter().take(TEXTS).flat_map(|item| self.urls(Some(item), depth + 1)).take(TEXTS).collect()
            }
            Some(Value::Object(said)) => {
                let resolved = self.resolve(said);
                let told = ["url", "contentUrl", "@value"].iter().find_map(|key| property(resolved, key));
                let named = || said.get("@id").filter(|id| id.as_str().is_some_and(is_image));
                self.urls(told.or_else(named), depth + 1)
            }
            _ => Vec::new(),
        }
    }

    /// An address is one of the web; it may be relative, and is no text with spaces.
    fn url(&self, text: &str) -> Option<String> {
        let text = if text.contains('&') { plain(text) } else { text.trim().to_owned() };
        let is_url = !text.is_empty() && !text.contains(char::is_whitespace);
        is_url.then(|| absolute(self.base, &text)).filter(|url| !url.is_empty())
    }

    /// The thing that a reference names; what is more than a reference, itself.
    fn resolve(&self, said: &'a Map<String, Value>) -> &'a Map<String, Value> {
        let id = ["@id", "id"].iter().find_map(|key| said.get(*key)?.as_str());
        let named = id.filter(|_| said.len() <= 2).and_then(|id| self.by_id.get(&self.absolute_id(id)));
        named.and_then(|at| self.things.get(*at)?.said.first().copied()).unwrap_or(said)
    }

    /// `#organization` and the same with the page's address before it are one.
    fn absolute_id(&self, id: &str) -> String {
        self.base.join(cut(id.trim(), LONGEST)).map_or_else(|_| id.to_owned(), String::from)
    }
}

impl<'a> Thing<'a> {
    fn property(&self, name: &str) -> Option<&'a Value> {
        self.said.iter().find_map(|said| property(said, name))
    }

    fn is(&self, is_kind: impl Fn(&str) -> bool) -> bool {
        self.types.iter().any(|kind| is_kind(kind))
    }
}

/// The property under its plain name, or under that of its vocabulary, in any case.
fn property<'a>(said: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    said.get(name)
        .or_else(|| said.iter().find(|(key, _)| local(key).eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// The name without its vocabulary, whether that is an address or a prefix.
fn local(name: &str) -> &str {
    let name = name.trim().trim_end_matches('/');
    for prefix in
        ["http://schema.org/", "https://schema.org/", "http://www.schema.org/", "https://www.schema.org/", "schema:"]
    {
        if let Some(head) = name.get(..prefix.len())
            && head.eq_ignore_ascii_case(prefix)
        {
            return &name[prefix.len()..];
        }
    }
    name
}

fn types(said: &Map<String, Value>) -> Vec<String> {
    let value = ["@type", "type"].iter().find_map(|key| said.get(*key));
    let one = |value: &Value| value.as_str().map(|kind| cut(local(kind), LONGEST_NAME).to_ascii_lowercase());
    let mut out = Vec::new();
    // Arrays of arrays here, too.
    let mut left: Vec<&Value> = value.into_iter().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::Array(list) if left.len() < TEXTS => left.extend(list.iter().take(TEXTS).rev()),
            value => out.extend(one(value)),
        }
        if out.len() >= TEXTS {
            break;
        }
    }
    out
}

/// How what stands under `key` in a thing of these types is come to.
fn via_of(key: &str, via: Via, types: &[String]) -> Via {
    let is = |is_kind: fn(&str) -> bool| types.iter().any(|kind| is_kind(kind));
    match local(key).to_ascii_lowercase().as_str() {
        // What only holds things is none itself.
        "@graph" | "@set" | "@list" | "@included" => via,
        "publisher" | "copyrightholder" | "sourceorganization" if is(kinds::is_website) => Via::PublisherOfSite,
        "publisher" | "copyrightholder" | "sourceorganization" if is(kinds::is_page) => Via::PublisherOfPage,
        "about" | "mainentity" if is(kinds::is_website) || is(kinds::is_page) => Via::Subject,
        "brand" | "manufacturer" => Via::Brand,
        _ => Via::Part,
    }
}

fn is_address(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let begins = ["http://", "https://", "www.", "//", "data:"].iter().any(|start| lower.starts_with(start));
    begins && !text.contains(char::is_whitespace)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !is_address(text)
        && text.chars().count() <= LONGEST_NAME
        && text.chars().any(char::is_alphanumeric)
}

fn is_image(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    [".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico"].iter().any(|end| path.ends_with(end))
}
