//! Dialogs that ask for consent: what they say is the law's, not the company's.
//!
//! Those of the known makers are told by their names; others by their form, a dialog or a banner, together with their words.
//! Words alone decide about nothing but a text that speaks of this very site's cookies, since bakers sell cookies, some companies
//! sell such dialogs, and others write about them.

use scraper::ElementRef;

use crate::domain::website::consent as words;

/// How the ids and classes begin that the makers of consent dialogs use.
const MAKERS: [&str; 49] = [
    "onetrust",
    "optanon",
    "ot-sdk-",
    "cybotcookiebot",
    "usercentrics",
    "uc-embedding",
    "uc-banner",
    "uc-overlay",
    "qc-cmp",
    "didomi",
    "borlabs",
    "_brlbs",
    "brlbs-",
    "cmplz-",
    "cc-window",
    "cc-banner",
    "cc_banner",
    "cc-revoke",
    "cc--main",
    "cookie-law-info",
    "cli-modal",
    "wt-cli-",
    "cky-",
    "truste",
    "trustarc",
    "consent_blackbar",
    "iubenda-cs",
    "tarteaucitron",
    "axeptio",
    "sp_message_container",
    "moove_gdpr",
    "hs-eu-cookie",
    "shopify-pc__",
    "cookiefirst",
    "cookiehub",
    "termly-",
    "ccc-module",
    "ccc-notify",
    "cmpbox",
    "cmpwrapper",
    "fc-consent",
    "coioverlay",
    "cookie-information-template",
    "evidon",
    "_evidon",
    "osano-cm",
    "eu-cookie-compliance",
    "termsfeed-com",
    "klaro",
];
/// What the ids, classes and labels of others have in them.
const HINTS: [&str; 8] = ["cookie", "consent", "gdpr", "dsgvo", "rgpd", "ccpa", "privacy", "lgpd"];

/// What an element is to a reader of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A maker's: a dialog whatever it says.
    Maker,
    /// A dialog or a banner, which may be one of consent, by its words.
    Dialog,
    /// Something whose name hints at it.
    Hinted,
}

/// What the element's names and form say; None for an ordinary one, and for those that hold the whole page.
pub(super) fn form(element: ElementRef<'_>) -> Option<Form> {
    let tag = element.value();
    if matches!(
        tag.name(),
        "html" | "body" | "main" | "article" | "head" | "script" | "style" | "link" | "meta" | "a" | "img"
    ) {
        return None;
    }
    let names =
        [tag.attr("id"), tag.attr("class")].into_iter().flatten().flat_map(str::split_ascii_whitespace).take(32);
    let mut hinted = false;
    for name in names {
        let name = name.to_ascii_lowercase();
        if MAKERS.iter().any(|maker| name.starts_with(maker)) {
            return Some(Form::Maker);
        }
        hinted |= HINTS.iter().any(|hint| name.contains(hint));
    }
    let label = tag.attr("aria-label").unwrap_or_default().to_lowercase();
    hinted |= HINTS.iter().any(|hint| label.contains(hint));
    let role = tag.attr("role").unwrap_or_default();
    let modal =
        tag.name() == "dialog" || tag.attr("aria-modal").is_some_and(|modal| modal.eq_ignore_ascii_case("true"));
    if modal || ["dialog", "alertdialog"].iter().any(|dialog| role.eq_ignore_ascii_case(dialog)) {
        return Some(Form::Dialog);
    }
    hinted.then_some(Form::Hinted)
}

/// Whether an element of this form with this text asks for consent.
pub(super) fn asks(form: Form, text: &str) -> bool {
    match form {
        Form::Maker => true,
        Form::Dialog => words::speaks_of_this_site(text) || words::offers_a_choice(text),
        Form::Hinted => words::speaks_of_this_site(text),
    }
}
