//! The tables that belong to tenants, and sets of them.

/// The tables that belong to tenants.
const NAMES: [&str; 17] = [
    "agent_configs",
    "agent_mail",
    "prospects",
    "campaigns",
    "campaign_steps",
    "campaign_events",
    "campaign_prospects",
    "emails",
    "email_counts",
    "prospect_counts",
    "idempotency_keys",
    "marketing_strategies",
    "suppressions",
    "audit_events",
    "mailboxes",
    "unsubscribe_links",
    "templates",
];

/// Tables whose rows triggers count, and where they do.
const COUNTED: [(&str, &str); 2] = [("emails", "email_counts"), ("prospects", "prospect_counts")];

/// A set of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables(u32);

impl Tables {
    /// Those that the text names. A name that is a part of another counts for both; that costs a read and nothing else.
    pub(in crate::store) const fn named_in(text: &str) -> Self {
        let (mut tables, mut i) = (0, 0);
        while i < NAMES.len() {
            if contains(text, NAMES[i]) {
                tables |= 1 << i;
            }
            i += 1;
        }
        Self(tables)
    }

    /// With those that triggers change when these are changed.
    pub(in crate::store) const fn with_counts(self) -> Self {
        let (mut tables, mut i) = (self.0, 0);
        while i < COUNTED.len() {
            let (counted, counts) = COUNTED[i];
            if self.0 & Self::named_in(counted).0 != 0 {
                tables |= Self::named_in(counts).0;
            }
            i += 1;
        }
        Self(tables)
    }

    pub(super) const fn equals(self, other: Self) -> bool {
        self.0 == other.0
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(n, _)| self.0 & (1 << n) != 0).map(|(_, name)| *name)
    }

    /// One number for each table.
    pub(in crate::store) fn each(self) -> impl Iterator<Item = u32> {
        (0..NAMES.len()).map(|n| 1 << n).filter(move |bit| self.0 & bit != 0)
    }
}

pub(super) const fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let mut i = 0;
    while i + part.len() <= text.len() {
        let mut j = 0;
        while j < part.len() && text[i + j] == part[j] {
            j += 1;
        }
        if j == part.len() {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_its_tables() {
        let names = |text| Tables::named_in(text).names().collect::<Vec<_>>();
        assert_eq!(names("SELECT * FROM prospects p WHERE p.tenant_id = $1"), ["prospects"]);
        assert_eq!(names("UPDATE emails SET x = 1"), ["emails"]);
        assert_eq!(names("SELECT 1 FROM campaign_prospects"), ["prospects", "campaign_prospects"]);
        assert_eq!(names("COMMIT"), [""; 0]);
    }
}
