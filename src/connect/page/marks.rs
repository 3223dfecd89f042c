//! The marks of those who guard websites, in the scripts and elements of a page.
//!
//! Some stand on nothing but a challenge; others on ordinary pages, too: Cloudflare adds a script of its own to every page, and
//! Incapsula one at the end; forms for letters have captchas.

use crate::domain::website::Guard;

/// How much of a script is looked through.
pub(super) const SCANNED: usize = 64 * 1024;

const SURE: [(&str, &str); 4] = [
    ("_cf_chl_opt", "Cloudflare"),
    ("/orchestrate/chl_page", "Cloudflare"),
    ("gokuProps", "AWS WAF"),
    ("/.within.website/x/cmd/anubis/", "Anubis"),
];
const MAYBE: [(&str, &str); 15] = [
    ("captcha-delivery.com", "DataDome"),
    ("_pxAppId", "PerimeterX"),
    ("px-captcha", "PerimeterX"),
    ("_Incapsula_Resource", "Incapsula"),
    ("cf-error-details", "Cloudflare"),
    ("awswaf.com", "AWS WAF"),
    ("/.well-known/ddos-guard/", "DDoS-Guard"),
    ("/.well-known/sgcaptcha/", "SiteGround"),
    ("/.well-known/vercel/security/", "Vercel"),
    ("sucuri_cloudproxy_js", "Sucuri"),
    ("h-captcha", "hCaptcha"),
    ("g-recaptcha", "reCAPTCHA"),
    ("cf-turnstile", "Cloudflare"),
    ("kpsdk", "Kasada"),
    ("_sec/cp_challenge", "Akamai"),
];

/// Whose mark the text of a script, an address, or an id has.
pub(super) fn guard(text: &str) -> Option<Guard> {
    let has = |(mark, who): &(&str, &'static str)| text.contains(mark).then_some(*who);
    let sure = SURE.iter().find_map(has).map(|who| Guard { who, sure: true });
    sure.or_else(|| MAYBE.iter().find_map(has).map(|who| Guard { who, sure: false }))
}

/// The ids of the elements that applications fill.
pub(super) fn is_root(id: &str) -> bool {
    const ROOTS: [&str; 12] = [
        "root",
        "app",
        "__next",
        "__nuxt",
        "___gatsby",
        "svelte",
        "react-root",
        "app-root",
        "main-app",
        "q-app",
        "ember-app",
        "mount",
    ];
    ROOTS.iter().any(|root| id.eq_ignore_ascii_case(root))
}

/// Elements of no standard that applications fill, such as Angular's.
pub(super) fn is_root_tag(tag: &str) -> bool {
    tag == "app-root" || tag == "my-app"
}
