//! Which file takes what from which, and which files take from each other in a circle.
//!
//! Read from the sources as text, without a compiler: `use` declarations and paths in the code, followed through re-exports to
//! the file that defines the name. Tests are left out, and so is what a module re-exports of its own children: both tie no code
//! that runs.

use std::collections::{BTreeMap, BTreeSet};

/// A module's place in its crate, such as `["domain", "text"]`.
type Place = Vec<String>;

/// The names that a file takes from each other file.
pub(crate) struct Ties(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// The modules of one crate.
struct Crate {
    modules: BTreeMap<Place, Module>,
}

struct Module {
    file: String,
    tokens: Vec<String>,
    /// What each imported name stands for.
    imports: BTreeMap<String, Import>,
    /// The modules all of whose names are imported.
    globs: Vec<Place>,
}

struct Import {
    path: Place,
    /// `pub use`, in whatever reach.
    is_export: bool,
}

// === impl Ties ===

impl Ties {
    /// `root` is the file of the crate's root, such as `src/lib.rs`; `files` are the paths and texts of all files.
    pub(crate) fn read(root: &str, files: &[(String, String)]) -> Self {
        Crate::read(root, files).ties()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Each circle as what its files take from each other, a line for each two of them.
    pub(crate) fn circles(&self) -> Vec<String> {
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            self.0.keys().map(|file| (file, self.reached(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, all) in reached.iter().filter(|(file, all)| all.contains(**file)) {
            let leads_back = |other: &&String| reached.get(*other).is_some_and(|back| back.contains(*file));
            let members: BTreeSet<&String> = all.iter().copied().filter(leads_back).collect();
            let mut told = String::new();
            for one in &members {
                for (other, names) in self.0[*one].iter().filter(|(other, _)| members.contains(other)) {
                    let names: Vec<_> = names.iter().map(String::as_str).collect();
                    told += &format!("{one} takes from {other}: {}\n", names.join(", "));
                }
            }
            circles.insert(told);
        }
        circles.into_iter().collect()
    }

    /// Every file that a file takes from, and whatever those take from.
    fn reached<'a>(&'a self, from: &'a String) -> BTreeSet<&'a String> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            let taken_from = self.0.get(file).into_iter().flat_map(BTreeMap::keys);
            let new: Vec<_> = taken_from.filter(|next| seen.insert(*next)).collect();
            open.extend(new);
        }
        seen
    }
}

// === impl Crate ===

impl Crate {
    fn read(root: &str, files: &[(String, String)]) -> Self {
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let Some(inner) = file.strip_prefix(folder).and_then(|file| file.strip_prefix('/')) else { continue };
            let place: Place = match inner.strip_suffix(".rs").unwrap_or(inner) {
                _ if file == root => Vec::new(),
                // The root of another crate in the same folder.
                "main" | "lib" => continue,
                name => name.strip_suffix("/mod").unwrap_or(name).split('/').map(str::to_owned).collect(),
            };
            let tokens = without_tests(tokens(text));
            let module = Module { file: file.clone(), tokens, imports: BTreeMap::new(), globs: Vec::new() };
            modules.insert(place, module);
        }
        let mut whole = Self { modules };
        let places: Vec<Place> = whole.modules.keys().cloned().collect();
        for place in places {
            whole.read_imports(&place);
        }
        whole
    }

    /// Takes the `use` declarations out of a module's tokens.
    fn read_imports(&mut self, place: &Place) {
        let Some(module) = self.modules.get_mut(place) else { return };
        let (mut rest, mut found) = (Vec::new(), Vec::new());
        let mut tokens = std::mem::take(&mut module.tokens).into_iter().peekable();
        while let Some(token) = tokens.next() {
            if token == "use" {
                let is_export = rest.last().is_some_and(|last| last == "pub" || last == ")");
                let declaration: Vec<_> = tokens.by_ref().take_while(|token| token != ";").collect();
                branches(&declaration, &[], is_export, &mut found);
            } else {
                rest.push(token);
            }
        }
        module.tokens = rest;
        for (path, name, is_export) in found {
            let Some(path) = self.absolute(place, &path) else { continue };
            let Some(module) = self.modules.get_mut(place) else { return };
            if name == "*" {
                module.globs.push(path);
            } else {
                module.imports.insert(name, Import { path, is_export });
            }
        }
    }

    /// The path from the crate's root; None if it leads out of the crate.
    fn absolute(&self, place: &Place, path: &[String]) -> Option<Place> {
        let mut base = place.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            child if self.modules.contains_key(&[place.as_slice(), &[child.to_owned()]].concat()) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|part| part == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The module that defines what the path names, and the name in it; `*` is a module as a whole.
    fn defined(&self, path: &Place, depth: usize) -> Option<(Place, String)> {
        let inner = (0..=path.len()).rev().find(|end| self.modules.contains_key(&path[..*end]))?;
        let (place, rest) = (path[..inner].to_vec(), &path[inner..]);
        let Some(name) = rest.first() else { return Some((place, "*".to_owned())) };
        let module = &self.modules[&place];
        if depth > 8 {
            return Some((place, name.clone()));
        }
        if let Some(import) = module.imports.get(name) {
            return self.defined(&[import.path.as_slice(), &rest[1..]].concat(), depth + 1);
        }
        Some((place, name.clone()))
    }

    fn ties(&self) -> Ties {
        let mut ties = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
        for (place, module) in &self.modules {
            let mut paths: Vec<Place> = Vec::new();
            for import in module.imports.values() {
                let of_child = import.path.starts_with(place) && import.path.len() > place.len();
                if !(import.is_export && of_child) {
                    paths.push(import.path.clone());
                }
            }
            paths.extend(module.globs.iter().cloned());
            for path in inline(&module.tokens) {
                let import = module.imports.get(&path[0]).map(|import| [import.path.as_slice(), &path[1..]].concat());
                paths.extend(import.or_else(|| self.absolute(place, &path)));
            }
            for (definer, name) in paths.iter().filter_map(|path| self.defined(path, 0)) {
                let file = &self.modules[&definer].file;
                if *file != module.file {
                    ties.entry(module.file.clone()).or_default().entry(file.clone()).or_default().insert(name);
                }
            }
        }
        Ties(ties)
    }
}

/// The paths of a `use` tree, each with the name that it gives.
fn branches(tokens: &[String], before: &[String], is_export: bool, out: &mut Vec<(Place, String, bool)>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => {}
            "{" => {
                for branch in list(&tokens[at + 1..]) {
                    branches(branch, &path, is_export, out);
                }
                return;
            }
            "as" => {
                let name = tokens.get(at + 1).cloned().unwrap_or_default();
                return out.push((path, name, is_export));
            }
            "*" => return out.push((path, "*".to_owned(), is_export)),
            // `text::{self, words}`
            "self" if !path.is_empty() => {}
            part => path.push(part.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    out.push((path, name, is_export));
}

/// What stands between the commas, up to the brace that closes.
fn list(tokens: &[String]) -> Vec<&[String]> {
    let (mut depth, mut begun, mut out) = (0, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => {
                out.push(&tokens[begun..at]);
                break;
            }
            "}" => depth -= 1,
            "," if depth == 0 => {
                out.push(&tokens[begun..at]);
                begun = at + 1;
            }
            _ => {}
        }
    }
    out.retain(|branch| !branch.is_empty());
    out
}

/// The paths with `::` in them that stand in code.
fn inline(tokens: &[String]) -> Vec<Place> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let (begun, mut path) = (at, vec![tokens[at].clone()]);
        let is_part = |token: &String| token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        while tokens.get(at + 1).is_some_and(|token| token == "::") && tokens.get(at + 2).is_some_and(is_part) {
            path.push(tokens[at + 2].clone());
            at += 2;
        }
        // `pub(in crate::rpc)` says who may take something, and takes nothing.
        let is_reach = begun > 0 && tokens[begun - 1] == "in" && tokens.get(at + 1).is_some_and(|token| token == ")");
        if path.len() > 1 && !is_reach {
            out.push(path);
        }
        at += 1;
    }
    out
}

/// Without what `#[cfg(test)]` stands before, up to its `;` or its closing brace.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut out, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(MARK.len()).eq(MARK) {
            out.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        for token in &tokens[at..] {
            at += 1;
            match token.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    out
}

/// Words, `::` and single signs; neither comments nor what stands in quotes.
fn tokens(text: &str) -> Vec<String> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = quoted(rest) {
            length
        } else if rest.starts_with("::") {
            out.push("::".to_owned());
            2
        } else if is_word(c) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            out.push(rest[..length].to_owned());
            length
        } else {
            if !c.is_whitespace() {
                out.push(c.to_string());
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    out
}

/// The length of the string or the character that the text begins with.
fn quoted(text: &str) -> Option<usize> {
    let marks = text.strip_prefix('b').unwrap_or(text);
    if let Some(raw) = marks.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = raw[hashes..].strip_prefix('"')?;
        return Some(text.len() - inner.len() + inner.find(&end)? + end.len());
    }
    let quote = marks.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut chars = marks.char_indices().skip(1).peekable();
    // A lifetime, as in `'a`, has no second quote right behind it.
    let is_lifetime = quote == '\'' && !marks[1..].starts_with('\\') && marks[1..].chars().nth(1) != Some('\'');
    if is_lifetime {
        return None;
    }
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(text.len() - marks.len() + at + 1);
        }
    }
    None
}
