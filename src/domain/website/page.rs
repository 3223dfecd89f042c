//! What one page says, before any judgement. Reading HTML is `connect`'s; this is what it reads a page into.

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub url: String,
    /// The `lang` of the document; may be empty.
    pub language: String,
    pub title: String,
    pub description: String,
    /// `og:site_name`; some pages have several.
    pub site_names: Vec<String>,
    /// `application-name`, or its like of a telephone.
    pub application_name: String,
    /// `og:image`, absolute.
    pub image: String,
    /// Absolute.
    pub icon: String,
    /// From JSON-LD: who may be behind the site, the likeliest first.
    pub organizations: Vec<Entity>,
    pub products: Vec<Entity>,
    /// From JSON-LD: what the site calls itself.
    pub website_names: Vec<String>,
    /// From JSON-LD: whose products are sold.
    pub brands: Vec<String>,
    /// Headings with the text that follows.
    pub sections: Vec<Section>,
    pub paragraphs: Vec<String>,
    pub list_items: Vec<String>,
    /// The line with a copyright sign.
    pub copyright: String,
    /// Of the same site.
    pub links: Vec<Link>,
    pub signs: Signs,
}

/// What tells a page of a company from one that stands in its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signs {
    /// The beginning of all that is visible, menus and consent dialogs left out.
    pub text: String,
    /// The characters that are visible, menus and consent dialogs left out.
    pub length: usize,
    /// Consent was asked for.
    pub consent: bool,
    /// Whose mark a script or an element bears that guards websites, if one does.
    pub guards: Vec<Guard>,
    /// Scripts make, or would make, the page.
    pub scripts: bool,
    /// There is an element for an application to fill, or a note that it needs scripts.
    pub application: bool,
    /// Search engines are to leave it out.
    pub noindex: bool,
    /// The page was not read to its end: its time or its steps were up.
    pub broken_off: bool,
}

/// Whose mark was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    pub who: &'static str,
    /// It stands on nothing but a challenge.
    pub sure: bool,
}

/// A thing that JSON-LD describes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entity {
    /// Its types, such as `restaurant`, in lower case.
    pub kinds: Vec<String>,
    pub role: Role,
    pub name: String,
    pub description: String,
    pub logo: String,
    pub audiences: Vec<String>,
}

/// What an organisation is to the site that speaks of it, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Role {
    /// It publishes the site.
    Publisher,
    /// The page is about it.
    Subject,
    /// Its address is the site's.
    OfSite,
    /// It publishes what the page shows.
    PublisherOfPage,
    /// It is told of, without an address.
    Told,
    /// It is told of, with the address of another site.
    OfOther,
    /// It is no owner.
    #[default]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// 1 to 4.
    pub level: u8,
    pub heading: String,
    pub text: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Link {
    /// Absolute.
    pub url: String,
    pub text: String,
}

impl Page {
    /// The sections that speak of the company and not of its customers.
    pub(super) fn own_sections(&self) -> impl Iterator<Item = &Section> {
        let mut of_customers: Option<u8> = None;
        self.sections.iter().filter(move |section| {
            if of_customers.is_none_or(|level| section.level <= level) {
                of_customers = is_audience_heading(&section.heading).then_some(section.level);
            }
            of_customers.is_none()
        })
    }
}

/// Whether what follows says whom the company serves.
pub(super) fn is_audience_heading(heading: &str) -> bool {
    const HEADINGS: [&str; 16] = [
        "who it is for",
        "who it's for",
        "who is it for",
        "who we serve",
        "who we help",
        "who we work with",
        "built for",
        "made for",
        "designed for",
        "industries",
        "our customers",
        "für wen",
        "branchen",
        "适用",
        "面向",
        "服务对象",
    ];
    let heading = heading.to_lowercase();
    HEADINGS.iter().any(|h| heading.starts_with(h) || (!h.is_ascii() && heading.contains(h)))
}
