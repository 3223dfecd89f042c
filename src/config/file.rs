//! A TOML file with settings, each held to the kind of its default.
//!
//! Of what is wrong it tells the place and not the value: the line may be the one with a secret in it.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::meant::instead;

/// What a file sets, what in it is of another kind than the setting, and what is no setting.
pub(super) struct FileSettings {
    pub(super) values: Value,
    pub(super) misfits: Vec<ConfigError>,
    pub(super) unknown: Vec<ConfigError>,
}

/// Reads the file's text. `paths` names every setting, such as `fetch.max_pages`.
pub(super) fn read(text: &str, defaults: &Value, paths: &[&str]) -> Result<FileSettings, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(text, at, error.message())
    })?;
    let mut reader = Reader { text, paths, misfits: Vec::new(), unknown: Vec::new() };
    let values = reader.table(table.get_ref(), defaults, "");
    Ok(FileSettings { values, misfits: reader.misfits, unknown: reader.unknown })
}

struct Reader<'a> {
    text: &'a str,
    paths: &'a [&'a str],
    misfits: Vec<ConfigError>,
    unknown: Vec<ConfigError>,
}

// === impl Reader ===

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, defaults: &Value, path: &str) -> Value {
        let mut values = Map::new();
        for (key, value) in table {
            let (name, at) = (key.get_ref(), key.span().start);
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            match defaults.get(name.as_ref()) {
                Some(default) => {
                    values.extend(self.value(value, default, &path).map(|value| (name.to_string(), value)));
                }
                None => self.refuse(at, &path, name),
            }
        }
        values.into()
    }

    /// The value; None, and it is kept as a fault, if it is of another kind than the default.
    fn value(&mut self, value: &Spanned<DeValue<'_>>, default: &Value, path: &str) -> Option<Value> {
        let kind = match (default, value.get_ref()) {
            (Value::Object(_), DeValue::Table(table)) => return Some(self.table(table, default, path)),
            (Value::String(_), DeValue::String(text)) => return Some(text.as_ref().into()),
            (Value::Bool(_), DeValue::Boolean(is)) => return Some((*is).into()),
            (Value::Array(_), DeValue::Array(elements)) if elements.iter().all(|one| one.get_ref().is_str()) => {
                return Some(elements.iter().filter_map(|one| one.get_ref().as_str()).collect());
            }
            (Value::Number(_), DeValue::Integer(number)) => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => return Some(number.into()),
                    Err(_) => "a whole number from 0",
                }
            }
            (Value::Object(_), _) => "a table, as in [table]",
            (Value::Array(_), _) => "a list of texts",
            (Value::Bool(_), _) => "true or false",
            (Value::Number(_), _) => "a whole number",
            _ => "a text, in quotes",
        };
        self.misfits.push(wrong(self.text, value.span().start, &format!("{path} must be {kind}")));
        None
    }

    /// Keeps what is no setting, with the one that was meant: in another table, or of nearly the same name.
    fn refuse(&mut self, at: usize, path: &str, name: &str) {
        let tables = self.paths.iter().filter_map(|path| Some(path.rsplit_once('.')?.0));
        let instead = instead(path, &format!(".{name}"), self.paths.iter().copied().chain(tables));
        let text = format!("{path} is no setting of Herald{instead}; see docs/configuration.md");
        self.unknown.push(wrong(self.text, at, &text));
    }
}

/// What is wrong in the file, and where.
fn wrong(text: &str, at: usize, what: &str) -> ConfigError {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError(format!("the configuration file, line {line}, column {column}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Layers};

    #[test]
    fn what_is_no_setting_is_told_with_its_place_and_what_was_meant() {
        let unknown = |text: &str| {
            let layers = Layers::read(Some(text), [], &[]).expect("the rest is read");
            layers.unknown().first().expect("one is unknown").0.clone()
        };
        for (text, place, meant) in [
            ("[fetch]\nmax_page = 3\n", "line 2, column 1: fetch.max_page ", "did you mean fetch.max_pages?"),
            (
                "dev = true\n  hs256_secret = 's'\n",
                "line 2, column 3: hs256_secret ",
                "did you mean auth.hs256_secret?",
            ),
            ("[fech]\nmax_pages = 3\n", "line 1, column 2: fech ", "did you mean fetch?"),
            ("foo = 3\n", "line 1, column 1: foo ", "no setting of Herald; see"),
            ("[server]\nlisten = 'x'\n", "line 2, column 1: server.listen ", "see docs/configuration.md"),
        ] {
            let told = unknown(text);
            assert!(told.contains(place) && told.contains(meant), "{told}");
            assert!(!told.contains("'s'") && !told.contains("\"s\""), "{told}");
        }
        let layers = Layers::read(Some("x = 1\n[engine]\nworkers = 3\n"), [], &[]).expect("read");
        assert_eq!(layers.known().expect("the rest").engine.workers, 3);
        assert!(layers.config().expect_err("refused").0.contains("x is no setting"));
    }

    #[test]
    fn what_is_of_another_kind_is_told_with_its_place_and_without_its_value() {
        for (text, place, kind) in [
            ("[auth]\nhs256_secret = 77\n", "line 2, column 16: auth.hs256_secret ", "a text, in quotes"),
            ("[engine]\nworkers = -77\n", "line 2, column 11: engine.workers ", "a whole number from 0"),
            ("[engine]\nworkers = 7.7\n", "engine.workers ", "a whole number"),
            ("dev = 'yes77'\n", "line 1, column 7: dev ", "true or false"),
            ("fetch = 77\n", "line 1, column 9: fetch ", "a table"),
            ("[server]\ncors_origins = [77]\n", "line 2, column 16: server.cors_origins ", "a list of texts"),
        ] {
            let told = Config::load(Some(text), [], &[]).expect_err("refused").0;
            assert!(told.contains(place) && told.contains(kind) && !told.contains("77"), "{told}");
        }
        let file = "dev = 1\nlog = 2\nx = 3\n[engine]\nworkers = 'four'\n";
        let told = Config::load(Some(file), [], &[]).expect_err("refused").0;
        for part in ["line 1, column 7: dev ", "line 2, column 7: log ", "x is no setting", "engine.workers must be"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let layers =
            Layers::read(Some("[engine]\nworkers = 0x1_0\n"), [], &[]).expect("TOML's other ways to write numbers");
        assert_eq!(layers.known().expect("valid").engine.workers, 16);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_told_by_its_place_and_never_by_its_text() {
        let told = |text: &str| Config::load(Some(text), [], &[]).expect_err(text).0;
        let at = told("listen = '127.0.0.1:1'\n[auth]\nhs256_secret = \"s3cret\" x\n");
        assert!(at.contains("line 3, column 25"), "{at}");
        for (text, part) in [
            ("[auth]\nhs256_secret = s3cret\n", "line 2"),
            ("[auth]\nhs256_secret = \"s3cret\n", "line 2"),
            ("[auth]\nhs256_secret \"s3cret\"\n", "line 2"),
            ("[auth]\nhs256_secret = 's3cret\\'x'\n", "line 2"),
            ("[auth]\nhs256_secret = \"s3\\cret\"\n", "line 2"),
            ("[auth]\nhs256_secret = ''\nhs256_secret = 's3cret'\n", "line 3"),
            ("[auth]\nhs256_secret = ['s3cret']\n", "auth.hs256_secret must be a text"),
            ("[auth.hs256_secret]\ns3cret = 1\n", "auth.hs256_secret must be a text"),
            ("auth = 's3cret'\n", "auth must be a table"),
            ("[[auth]]\nhs256_secret = 's3cret'\n", "auth must be a table"),
            ("[engine]\nworkers = 's3cret'\n", "engine.workers must be a whole number"),
            ("[engine]\nworkers = 1.5\n", "engine.workers must be a whole number"),
            ("dev = 's3cret'\n", "dev must be true or false"),
            ("[auth]\nadmin_roles = 's3cret'\n", "auth.admin_roles must be a list of texts"),
            ("[auth]\nadmin_roles = [['s3cret']]\n", "auth.admin_roles must be a list of texts"),
        ] {
            let error = told(text);
            assert!(error.contains(part) && !error.contains("s3"), "{text}: {error}");
        }
        // Wherever a line with a secret breaks, it is not shown.
        let line = "hs256_secret = \"s3cret-s3cret-s3cret\"";
        for place in 0..line.len() {
            for broken in ["\"", "'", "=", "[", "{", "\\", "\n", "#", "\u{1}", "]", ",", "."] {
                let text = format!("[auth]\n{}{broken}{}\n", &line[..place], &line[place..]);
                if let Err(error) = Config::load(Some(&text), [], &[]) {
                    assert!(!error.0.contains("cret-"), "{text}: {error}");
                }
            }
        }
        for number in ["12345678", "-12345678", "1.2345678", "2345-06-07", "true"] {
            let error = told(&format!("master_key = {number}\n"));
            assert!(error.contains("master_key must be a text") && !error.contains("2345"), "{error}");
        }
    }
}
