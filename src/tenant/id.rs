//! Tenant ids.

use std::fmt;
use std::sync::Arc;

/// Names a tenant: 1 to 128 characters of letters, digits and `_ - . @ | +`, beginning with a letter or digit (ASCII).
///
/// Clerk's, Auth0's and Firebase's ids, UUIDs and e-mail addresses fit. Anything else is refused and never repaired.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// Why a text is no tenant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant id is 1 to 128 letters, digits or _ - . @ | + and begins with a letter or digit")]
pub struct TenantIdError;

// === impl TenantId ===

impl TenantId {
    pub const MAX: usize = 128;

    pub fn parse(text: &str) -> Result<Self, TenantIdError> {
        let bytes = text.as_bytes();
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_-.@|+".contains(b);
        let fits =
            (1..=Self::MAX).contains(&bytes.len()) && bytes[0].is_ascii_alphanumeric() && bytes.iter().all(allowed);
        if fits { Ok(Self(text.into())) } else { Err(TenantIdError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_usual_providers_fit() {
        for good in [
            "a",
            "7",
            "user_2abcDEF",
            "org_1",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "anna+test@example.com",
            "0191e8f0-5b7a-7c3e-8f00-000000000000",
            "v1.2",
        ] {
            assert!(TenantId::parse(good).is_ok(), "{good}");
        }
        assert!(TenantId::parse(&"a".repeat(128)).is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "_a", "-a", ".a", "..", "a/b", "a:b", "a b", "a\n", "a\0", "é", "a*", "a\\b", " a", "a ", "%61"]
        {
            assert_eq!(TenantId::parse(bad), Err(TenantIdError), "{bad:?}");
        }
        assert!(TenantId::parse(&"a".repeat(129)).is_err());
    }
}
