//! Field masks (AIP-134, AIP-161): which fields an update changes.

use super::error::{Error, Violations};
use super::text;

/// The fields that an update changes: checked paths, without duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask(Vec<&'static str>);

// === impl Mask ===

impl Mask {
    /// The mask that `paths` means over the `known` ones: `*` means all, none at all means those in `set`.
    ///
    /// A path that names a message, such as `sender`, means all known paths under it.
    pub fn parse(paths: &[String], known: &'static [&'static str], set: Vec<&'static str>) -> Result<Self, Error> {
        let mut violations = Violations::default();
        let mut chosen: Vec<&'static str> = Vec::new();
        for path in paths {
            let path = path.trim();
            let before = chosen.len();
            let under =
                |k: &&str| path == "*" || *k == path || k.strip_prefix(path).is_some_and(|r| r.starts_with('.'));
            chosen.extend(known.iter().copied().filter(under));
            if chosen.len() == before {
                let path = text::cut(path, 100);
                // The known ones once: a mask can name millions that are not.
                let hint =
                    if violations.is_empty() { format!("; known are: {}", known.join(", ")) } else { String::new() };
                violations.add("update_mask", format!("has no field {path:?}{hint}"));
            }
        }
        violations.done()?;
        if paths.is_empty() {
            chosen = set;
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(Self(chosen))
    }

    /// Every known path.
    pub fn all(known: &'static [&'static str]) -> Self {
        Self(known.to_vec())
    }

    /// The same without a path.
    pub fn without(mut self, path: &str) -> Self {
        self.0.retain(|known| *known != path);
        self
    }

    pub fn fields(&self) -> &[&'static str] {
        &self.0
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.contains(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn a_mask_takes_known_paths_a_star_or_what_is_set() {
        const KNOWN: &[&str] = &["goal", "sender.email", "sender.name"];
        let parse = |paths: &[&str]| Mask::parse(&strings(paths), KNOWN, vec!["goal"]);
        assert_eq!(parse(&["sender.name", "goal", "goal"]).expect("known"), Mask(vec!["goal", "sender.name"]));
        assert_eq!(parse(&["sender"]).expect("a message"), Mask(vec!["sender.email", "sender.name"]));
        assert_eq!(parse(&["*"]).expect("all"), Mask(KNOWN.to_vec()));
        assert_eq!(parse(&[]).expect("what is set"), Mask(vec!["goal"]));
        assert!(parse(&["goal", "send"]).is_err());
        assert!(parse(&[""]).is_err());
    }
}
