//! Where each field of an analysis was found.

use serde::{Deserialize, Serialize};

use crate::domain::named_enum::named_enum;

/// A field of the analysis, and what says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSource {
    pub field: Field,
    /// The address of the page that says it; empty where the tenant does.
    pub page: String,
    pub found_in: FoundIn,
}

named_enum! {
    /// As the API names it.
    pub enum Field {
        BusinessName = "business_name",
        LogoUrl = "logo_url",
        Introduction = "introduction",
        ProductType = "product_type",
        SellingPoints = "selling_points",
        Audiences = "audiences",
        Language = "language",
        Industry = "industry",
        BenchmarkBrands = "benchmark_brands",
    }
}

named_enum! {
    /// What of a page says it, in words for people.
    pub enum FoundIn {
        Stated = "stated in the configuration",
        Publisher = "JSON-LD: the publisher of the site",
        Organization = "JSON-LD: the organization",
        Website = "JSON-LD: the name of the site",
        Types = "JSON-LD: the types of things",
        AudienceOfThing = "JSON-LD: an audience",
        SiteName = "og:site_name",
        ApplicationName = "application-name",
        Title = "the title",
        Copyright = "the copyright notice",
        Description = "the meta description",
        Paragraph = "a paragraph",
        Headings = "headings",
        ListItems = "a list",
        Words = "the words of the pages",
        Image = "og:image",
        Icon = "the icon",
        Lang = "the lang attribute",
    }
}

/// As many as the API gives.
const MAX_SOURCES: usize = 60;

/// Gathers the sources of an analysis, each once.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<FieldSource>);

impl Sources {
    pub(super) fn note(&mut self, field: Field, page: &str, found_in: FoundIn) {
        let source = FieldSource { field, page: page.to_owned(), found_in };
        if self.0.len() < MAX_SOURCES && !self.0.contains(&source) {
            self.0.push(source);
        }
    }

    pub(super) fn into_list(self) -> Vec<FieldSource> {
        self.0
    }
}
