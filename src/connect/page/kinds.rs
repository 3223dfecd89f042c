//! The types of schema.org that say who is behind a page, in lower case.

pub(super) fn is_website(kind: &str) -> bool {
    kind == "website"
}

/// Pages, and what is published as one.
pub(super) fn is_page(kind: &str) -> bool {
    kind.ends_with("page")
        || kind.ends_with("article")
        || matches!(kind, "blog" | "blogposting" | "newsarticle" | "collection")
}

/// What is sold. Some services of schema.org are businesses, and those of no other name are services.
pub(super) fn is_product(kind: &str) -> bool {
    matches!(
        kind,
        "product"
            | "productgroup"
            | "productmodel"
            | "individualproduct"
            | "service"
            | "softwareapplication"
            | "webapplication"
            | "mobileapplication"
            | "videogame"
            | "webapi"
            | "taxiservice"
            | "broadcastservice"
            | "cableorsatelliteservice"
            | "foodservice"
    )
}

/// Organisations, businesses, places of business; whatever else has an address or a telephone (`place`) but pages, people and
/// what is only a part of something.
pub(super) fn is_organization(kind: &str, place: bool) -> bool {
    const ENDINGS: [&str; 48] = [
        "organization",
        "organisation",
        "business",
        "corporation",
        "service",
        "store",
        "shop",
        "restaurant",
        "bakery",
        "hotel",
        "motel",
        "hostel",
        "resort",
        "school",
        "university",
        "hospital",
        "clinic",
        "ngo",
        "attorney",
        "notary",
        "dentist",
        "physician",
        "pharmacy",
        "agency",
        "agent",
        "company",
        "contractor",
        "dealer",
        "repair",
        "rental",
        "salon",
        "spa",
        "club",
        "gym",
        "brewery",
        "winery",
        "distillery",
        "airline",
        "bank",
        "barorpub",
        "cafeorcoffeeshop",
        "electrician",
        "plumber",
        "locksmith",
        "housepainter",
        "florist",
        "library",
        "museum",
    ];
    const NOT: [&str; 9] = [
        "person",
        "breadcrumblist",
        "imageobject",
        "postaladdress",
        "contactpoint",
        "place",
        "offer",
        "event",
        "review",
    ];
    if is_page(kind) || is_website(kind) || is_product(kind) || NOT.contains(&kind) || kind.ends_with("posting") {
        return false;
    }
    ENDINGS.iter().any(|end| kind.ends_with(end))
        || matches!(kind, "bankorcreditunion" | "collegeoruniversity")
        || place
}
