//! Which setting somebody meant who wrote the name of none.

/// What to set in place of a name that is none: what people mean who try it first, the only known one that ends with `rest`, the
/// name without its table, or the one that is nearest.
pub(super) fn instead<'a>(name: &str, rest: &str, known: impl Iterator<Item = &'a str>) -> String {
    // At most three slips, and in a short name fewer: what is changed for a large part is another word.
    let slips = rest.trim_start_matches(['.', '_']).chars().count().div_ceil(3).min(3);
    if let "HERALD_PORT" | "HERALD_HOST" | "HERALD_ADDRESS" = name {
        return ", the address and port are HERALD_LISTEN".to_owned();
    }
    let known: Vec<_> = known.collect();
    let mut ending = known.iter().filter(|known| known.ends_with(rest));
    let whole = ending.next().filter(|_| ending.next().is_none());
    let distance = |known: &&&str| strsim::osa_distance(name, known);
    let nearest = || known.iter().min_by_key(distance).filter(|nearest| distance(nearest) <= slips);
    let nearest = whole.or_else(nearest);
    nearest.map(|nearest| format!(": did you mean {nearest}?")).unwrap_or_default()
}
