//! By what the names in a file are compared.

/// Its letters and digits alone, in lower case and NFKC.
pub(super) fn letters(name: &str) -> String {
    let composed = icu_normalizer::ComposingNormalizerBorrowed::new_nfkc().normalize(name).to_lowercase();
    composed.chars().filter(|c| c.is_alphanumeric()).collect()
}
