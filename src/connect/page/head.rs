//! Reads the elements that say what a page is, wherever in it they are: titles, meta elements, scripts.

use scraper::{ElementRef, Html};
use serde_json::Value;

use super::plain::{LONGEST, tidy};
use super::{Reader, graph, json_ld, marks};
use crate::domain::text::cut;
use crate::domain::website::Entity;

/// The marks of guards that are kept.
const GUARDS: usize = 8;

impl Reader<'_> {
    /// Titles, meta elements and JSON-LD, wherever in the document they are.
    pub(super) fn read_head(&mut self, document: &Html) {
        let mut values = Vec::new();
        for element in document.tree.nodes().filter_map(ElementRef::wrap) {
            if !self.effort.spend(1) {
                break;
            }
            let tag = element.value();
            if let Some(id) = tag.attr("id") {
                self.page.signs.application |= marks::is_root(id);
                self.note_guard(id);
            }
            self.note_guard(tag.attr("class").unwrap_or_default());
            match tag.name() {
                "html" => self.page.language = cut(tag.attr("lang").unwrap_or_default().trim(), 35).to_owned(),
                "base" if !self.based => {
                    // A long one would be copied for every link.
                    let href = tag.attr("href");
                    self.based = href.is_some();
                    let href = href.filter(|href| href.len() <= LONGEST);
                    if let Some(base) = href.and_then(|href| self.base.join(href.trim()).ok()) {
                        self.base = base;
                    }
                }
                "title" if self.page.title.is_empty() && !in_svg(element) => self.page.title = self.text_of(element),
                "meta" => self.read_meta(element),
                "link" if self.page.icon.is_empty() && tag.attr("rel").is_some_and(is_icon) => {
                    self.page.icon = self.absolute(tag.attr("href").unwrap_or_default());
                }
                "noscript" => self.page.signs.application |= needs_scripts(element),
                "iframe" => self.note_guard(tag.attr("src").unwrap_or_default()),
                "script" => self.read_script(element, &mut values),
                name => self.page.signs.application |= marks::is_root_tag(name),
            }
        }
        let found = graph::read(&values, self.url, &self.base, &mut self.effort);
        let mut fits = |entity: &Entity| {
            let audiences = entity.audiences.iter().map(String::len).sum::<usize>();
            let size = entity.name.len() + entity.description.len() + audiences;
            let left = self.room.checked_sub(size);
            self.room = left.unwrap_or(self.room);
            left.is_some()
        };
        self.page.organizations = found.organizations.into_iter().filter(|entity| fits(entity)).collect();
        self.page.products = found.products.into_iter().filter(|entity| fits(entity)).collect();
        (self.page.website_names, self.page.brands) = (found.website_names, found.brands);
    }

    fn read_script(&mut self, element: ElementRef<'_>, values: &mut Vec<Value>) {
        let tag = element.value();
        let kind = tag.attr("type").unwrap_or_default();
        // Parameters may follow, such as a charset.
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let text: String = element.text().collect();
        if kind.eq_ignore_ascii_case("application/ld+json") {
            if self.effort.spend(text.len() / 16)
                && let Some((found, elements)) = json_ld::values(&text, self.json_elements)
            {
                self.json_elements -= elements;
                values.extend(found);
            }
            return;
        }
        self.page.signs.scripts = true;
        self.note_guard(tag.attr("src").unwrap_or_default());
        let scanned = &text[..text.floor_char_boundary(marks::SCANNED)];
        if self.effort.spend(scanned.len() / 16) {
            self.note_guard(scanned);
        }
    }

    fn note_guard(&mut self, text: &str) {
        let guards = &mut self.page.signs.guards;
        if let Some(guard) = marks::guard(text).filter(|guard| guards.len() < GUARDS && !guards.contains(guard)) {
            guards.push(guard);
        }
    }

    fn read_meta(&mut self, element: ElementRef<'_>) {
        let tag = element.value();
        let name = tag.attr("property").or_else(|| tag.attr("name")).unwrap_or_default();
        let name = cut(name, 40).to_lowercase();
        let content = tidy(cut(tag.attr("content").unwrap_or_default(), 4 * LONGEST));
        if content.is_empty() {
            return;
        }
        match name.as_str() {
            "description" => self.page.description = content,
            "og:description" if self.page.description.is_empty() => self.page.description = content,
            "og:site_name" if self.page.site_names.len() < 8 => self.page.site_names.push(content),
            "application-name" => self.page.application_name = content,
            "apple-mobile-web-app-title" if self.page.application_name.is_empty() => {
                self.page.application_name = content
            }
            "og:title" if self.page.title.is_empty() => self.page.title = content,
            "og:image" if self.page.image.is_empty() => self.page.image = self.absolute(&content),
            "robots" => self.page.signs.noindex |= content.to_lowercase().contains("noindex"),
            _ => {}
        }
    }
}

fn in_svg(element: ElementRef<'_>) -> bool {
    element.ancestors().filter_map(ElementRef::wrap).take(16).any(|a| a.value().name() == "svg")
}

fn is_icon(rel: &str) -> bool {
    cut(rel, 100).to_lowercase().contains("icon")
}

/// Whether a note for readers without scripts says that the page needs them.
fn needs_scripts(noscript: ElementRef<'_>) -> bool {
    noscript.text().take(4).any(|text| cut(text, LONGEST).to_lowercase().contains("javascript"))
}
