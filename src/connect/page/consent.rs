//! Dialogs that ask for consent: what they say is the law's, not the company's.
//!
//! Those of the known makers are told by their names; others by their form, a dialog or a banner, together with their words.
//! Words alone decide about nothing but a text that speaks of this very site's cookies, since bakers sell cookies, some companies
//! sell such dialogs, and others write about them.

use ego_tree::{NodeId, NodeRef};
use scraper::{ElementRef, Html, Node};

use super::plain::LONGEST;
use super::{PIECE_NODES, Reader, is_named};
use crate::domain::text::cut;
use crate::domain::website::consent as words;

/// The bytes of the shortest text that asks for consent, such as that of a button.
const SHORTEST: usize = 12;
/// The elements that may be dialogs of consent whose texts are looked at.
const DIALOGS: usize = 100;

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
enum Form {
    /// A maker's: a dialog whatever it says.
    Maker,
    /// A dialog or a banner, which may be one of consent, by its words.
    Dialog,
    /// Something whose name hints at it.
    Hinted,
}

impl Reader<'_> {
    /// Finds what asks for consent: by its form and its words; and around a text that speaks of this site's cookies, the
    /// element that has something to choose.
    pub(super) fn find_dialogs(&mut self, document: &Html) {
        let mut looked_at = 0;
        for node in document.tree.nodes() {
            if !self.effort.spend(1) || looked_at >= DIALOGS {
                break;
            }
            if let Some(element) = ElementRef::wrap(node) {
                let Some(form) = form(element) else { continue };
                looked_at += 1;
                // What holds the content is none, whatever its class says.
                if element.descendants().take(PIECE_NODES).any(|node| is_named(node, &["main", "article"])) {
                    continue;
                }
                let text = self.text_of(element);
                if asks(form, &text) {
                    self.dialogs.insert(node.id());
                }
            } else if let Node::Text(text) = node.value()
                && text.len() >= SHORTEST
                && self.effort.spend(text.len().min(4 * LONGEST) / 8)
                && words::speaks_of_this_site(cut(text, LONGEST))
            {
                looked_at += 1;
                self.dialogs.extend(choice_around(node));
            }
        }
        self.page.signs.consent = !self.dialogs.is_empty();
    }
}

/// What the element's names and form say; None for an ordinary one, and for those that hold the whole page.
fn form(element: ElementRef<'_>) -> Option<Form> {
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
fn asks(form: Form, text: &str) -> bool {
    match form {
        Form::Maker => true,
        Form::Dialog => words::speaks_of_this_site(text) || words::offers_a_choice(text),
        Form::Hinted => words::speaks_of_this_site(text),
    }
}

/// The nearest element around a text that has something to choose, where that is no large part of the page; else the element
/// that the text is in.
fn choice_around(text: NodeRef<'_, Node>) -> Option<NodeId> {
    let is_choice = |node: NodeRef<'_, Node>| is_named(node, &["button", "input", "a"]);
    let holds_page = |node: NodeRef<'_, Node>| is_named(node, &["html", "body", "main", "article", "form"]);
    let around = || text.ancestors().take(5).take_while(|node| !holds_page(*node) && node.value().is_element());
    // The choice itself may be what speaks; then what it is about is beside it.
    let speaks = around().take(2).any(is_choice);
    let says = |node: NodeRef<'_, Node>| is_named(node, &["p", "li", "h1", "h2", "h3", "h4"]);
    let is_dialog = |node: &NodeRef<'_, Node>| {
        let (mut count, mut choice, mut said, mut page) = (0, false, !speaks, false);
        for node in node.descendants().skip(1).take(61) {
            count += 1;
            choice |= is_choice(node);
            said |= says(node);
            page |= is_named(node, &["main", "h1"]);
        }
        count <= 60 && choice && said && !page
    };
    let nearest = || text.parent().filter(|parent| !holds_page(*parent) && parent.value().is_element());
    around().find(is_dialog).or_else(nearest).map(|node| node.id())
}
