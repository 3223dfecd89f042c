//! SHA-256 over several parts that cannot run into each other.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The first 12 bytes of SHA-256 over the parts, each preceded by its length, as 16 characters of base64url.
///
/// 96 bits: enough for etags and page tokens, which guard against mistakes, not against an attacker, who could only
/// mislead the own tenant.
pub fn short(parts: &[&[u8]]) -> String {
    URL_SAFE_NO_PAD.encode(&full(parts)[..12])
}

/// The etag of a row, which an update must name: optimistic concurrency.
pub fn etag(tenant: &str, noun: &str, id: &str, revision: i64) -> String {
    short(&[tenant.as_bytes(), noun.as_bytes(), id.as_bytes(), &revision.to_be_bytes()])
}

/// SHA-256 over the parts, each preceded by its length.
pub fn full(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(short(&[b"ab", b"c"]), short(&[b"a", b"bc"]));
        assert_eq!(short(&[b"ab", b"c"]).len(), 16);
    }
}
