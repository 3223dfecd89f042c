//! The settings from all their sources: defaults, a TOML file, the environment and flags, of which each overrides the one before.
//!
//! `--config` or `HERALD_CONFIG` names the file. The environment variable of a setting is `HERALD_` and the setting's path in upper
//! case, such as `HERALD_AUTH_HS256_SECRET` for `hs256_secret` in `[auth]`. Herald refuses unknown settings, so that a misspelt one
//! is not silently the default.

use std::collections::BTreeMap;

use serde_json::Value;

use super::links::is_service_link;
use super::meant::instead;
use super::{Config, ConfigError, file};

/// The settings before they are checked, each with where its value came from.
pub struct Layers {
    values: Value,
    origins: BTreeMap<String, String>,
    file_holds_secret: bool,
    service_links: Vec<String>,
    misfits: Vec<ConfigError>,
    unknown: Vec<ConfigError>,
}

const REDIS_URL: &str = "REDIS_URL";
const FILE: &str = "configuration file";

/// Environment variables of ours that are not settings of the server.
const NOT_SETTINGS: &[&str] = &[
    "HERALD_CONFIG",
    "HERALD_SERVER",
    "HERALD_TOKEN",
    "HERALD_USER",
    "HERALD_CA",
    "HERALD_CLIENT_CERTIFICATE",
    "HERALD_CLIENT_KEY",
    "HERALD_CRASH_AT",
    "HERALD_CRASH_ON",
    "HERALD_NEW_MASTER_KEY",
];

// === impl Config ===

impl Config {
    /// The settings of [`Layers::read`]. Call [`Config::validate`] before use.
    pub fn load(
        file: Option<&str>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        Layers::read(file, env, flags)?.config()
    }
}

// === impl Layers ===

impl Layers {
    /// Puts together the defaults, the text of a TOML file, the environment, and then `flags` (paths such as `data_dir`
    /// with their values).
    pub fn read(
        file: Option<&str>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, ConfigError> {
        let defaults = serde_json::to_value(Config::default()).map_err(|e| ConfigError(e.to_string()))?;
        let mut paths = BTreeMap::new();
        list_paths(&defaults, "", &mut paths);
        let origins = paths.values().map(|path| (path.clone(), "default".to_owned())).collect();
        let (file_holds_secret, service_links) = (false, Vec::new());
        let (misfits, unknown) = (Vec::new(), Vec::new());
        let mut layers = Self { values: defaults, origins, file_holds_secret, service_links, misfits, unknown };
        if let Some(text) = file {
            let known: Vec<_> = paths.values().map(String::as_str).collect();
            let read = file::read(text, &layers.values, &known)?;
            let mut set_there = BTreeMap::new();
            list_paths(&read.values, "", &mut set_there);
            layers.origins.extend(set_there.into_values().map(|path| (path, FILE.to_owned())));
            merge(&mut layers.values, read.values);
            (layers.misfits, layers.unknown) = (read.misfits, read.unknown);
            layers.file_holds_secret = layers.holds_secret()?;
        }
        for (name, value) in env {
            // The name that Redis has almost everywhere; ours comes before it.
            if name == REDIS_URL {
                if layers.origins.get("cache.url").is_none_or(|origin| origin != "HERALD_CACHE_URL") {
                    layers.set("cache.url", &value, name);
                }
                continue;
            }
            if !name.starts_with("HERALD_") || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let Some(path) = paths.get(&name) else {
                if is_service_link(&name, &value) {
                    layers.service_links.push(name);
                    continue;
                }
                let known = paths.keys().map(String::as_str).chain(NOT_SETTINGS.iter().copied());
                let rest = name.strip_prefix("HERALD").unwrap_or(&name);
                let instead = instead(&name, rest, known);
                let wrong = format!("{name} is no setting of Herald{instead}; see docs/configuration.md");
                layers.unknown.push(ConfigError(wrong));
                continue;
            };
            layers.set(path, &value, name);
        }
        for (path, value) in flags {
            layers.set(path, value, format!("--{}", path.replace('_', "-")));
        }
        Ok(layers)
    }

    /// Sets the value at `path` from a text, or keeps what is wrong with it.
    fn set(&mut self, path: &str, text: &str, origin: String) {
        self.misfits.extend(set(&mut self.values, path, text, &origin).err());
        self.origins.insert(path.to_owned(), origin);
    }

    /// The settings; the error names all that is of another kind than its setting, and all that is none, a line each.
    pub fn config(&self) -> Result<Config, ConfigError> {
        lines(self.misfits.iter().chain(&self.unknown))?;
        self.known()
    }

    /// What looks like a setting and is none, in the file and among the variables, for those who go on without.
    pub fn unknown(&self) -> &[ConfigError] {
        &self.unknown
    }

    /// The settings, whatever else is none. A value of another kind is not passed over: the default would stand in for it.
    pub fn known(&self) -> Result<Config, ConfigError> {
        lines(self.misfits.iter())?;
        serde_json::from_value(self.values.clone()).map_err(|error| {
            let is_wrong = |path: &&String| self.alone(path).is_err();
            let named = |path: &String| format!("{path} ({}): ", self.origins[path]);
            let path = self.origins.keys().find(is_wrong).map(named).unwrap_or_default();
            ConfigError(format!("{path}{error}"))
        })
    }

    /// Whether the file sets something that is not shown, whatever came over it.
    pub fn file_holds_secret(&self) -> bool {
        self.file_holds_secret
    }

    /// The variables that look like settings and are an orchestrator's service links.
    pub fn service_links(&self) -> &[String] {
        &self.service_links
    }

    /// Whether anything that is set is not shown as it is.
    fn holds_secret(&self) -> Result<bool, ConfigError> {
        for path in self.origins.keys() {
            let set = at(&self.values, path);
            let Ok(config) = self.alone(path) else { continue };
            let config = serde_json::to_value(config).map_err(|e| ConfigError(e.to_string()))?;
            if at(&config, path) != set && at(&config, path).to_string().contains("***") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The defaults but for the setting at this path.
    fn alone(&self, path: &str) -> serde_json::Result<Config> {
        let mut values = serde_json::to_value(Config::default())?;
        let place = path.split('.').try_fold(&mut values, |place, key| place.get_mut(key));
        if let Some(place) = place {
            *place = at(&self.values, path).clone();
        }
        serde_json::from_value(values)
    }

    /// Every setting by its path, with its value and where that came from. Secrets are hidden.
    pub fn entries(&self) -> Result<Vec<(&str, Value, &str)>, ConfigError> {
        let values = serde_json::to_value(self.known()?).map_err(|e| ConfigError(e.to_string()))?;
        let entry = |(path, origin)| (String::as_str(path), at(&values, path).clone(), String::as_str(origin));
        Ok(self.origins.iter().map(entry).collect())
    }

    /// The same, each as a line of TOML with where it came from as a comment.
    pub fn describe(&self) -> Result<String, ConfigError> {
        let lines = self.entries()?.into_iter().map(|(path, value, origin)| format!("{path} = {value} # {origin}\n"));
        Ok(lines.collect())
    }
}

/// All faults as one, a line each, if there are any.
fn lines<'a>(faults: impl Iterator<Item = &'a ConfigError>) -> Result<(), ConfigError> {
    let lines: Vec<_> = faults.map(|fault| fault.0.as_str()).collect();
    if lines.is_empty() { Ok(()) } else { Err(ConfigError(lines.join("\n"))) }
}

/// What is there at the path; null if nothing is.
fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(values, |at, key| at.get(key)).unwrap_or(&Value::Null)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The environment variable of every setting, with the setting's path.
fn list_paths(values: &Value, prefix: &str, out: &mut BTreeMap<String, String>) {
    if let Value::Object(map) = values {
        for (key, value) in map {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            list_paths(value, &path, out);
        }
    } else {
        out.insert(format!("HERALD_{}", prefix.to_uppercase().replace('.', "_")), prefix.to_owned());
    }
}

/// Sets the value at `path` from a text, read as what is there now. The error names the setting and where the text is from.
fn set(values: &mut Value, path: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let refuse = |what: String| ConfigError(format!("{path} ({origin}): {what}"));
    let mut place = values;
    for key in path.split('.') {
        place = place.get_mut(key).ok_or_else(|| refuse("is no setting".to_owned()))?;
    }
    *place = match place {
        Value::Bool(_) => match text {
            "true" | "1" => Value::Bool(true),
            "false" | "0" | "" => Value::Bool(false),
            _ => return Err(refuse(format!("{text:?} is neither true nor false"))),
        },
        Value::Number(_) => text.parse::<u64>().map_err(|_| refuse(format!("{text:?} is no whole number")))?.into(),
        Value::Array(_) => text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(Value::from).collect(),
        _ => Value::from(text),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn load(file: Option<&str>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        Config::load(file, env, &flags)
    }

    #[test]
    fn flags_come_before_environment_before_file_before_defaults() {
        let file = "data_dir = 'file'\nlisten = '127.0.0.1:1'\n[fetch]\nmax_pages = 2\n";
        let env = [("HERALD_DATA_DIR", "env"), ("HERALD_LISTEN", "127.0.0.1:2"), ("PATH", "/bin")];
        let config = load(Some(file), &env, &[("listen", "127.0.0.1:3")]).expect("valid");
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.data_dir, PathBuf::from("env"));
        assert_eq!(config.fetch.max_pages, 2);
        assert_eq!(config.engine.workers, 16);
    }

    #[test]
    fn values_of_every_kind_are_read_from_the_environment() {
        let env = [
            ("HERALD_DEV", "true"),
            ("HERALD_SERVER_CORS_ORIGINS", "https://a.example, https://b.example"),
            ("HERALD_AUTH_HS256_SECRET", "s"),
            ("HERALD_ENGINE_WORKERS", "3"),
        ];
        let config = load(None, &env, &[]).expect("valid");
        assert!(config.dev);
        assert_eq!(config.server.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!((config.auth.hs256_secret.expose(), config.engine.workers), ("s", 3));
        assert!(!format!("{config:?}").contains("\"s\""), "secrets are not printed");
    }

    #[test]
    fn the_settings_in_force_are_described_with_where_they_came_from_and_without_secrets() {
        let env = [("HERALD_AUTH_HS256_SECRET", "s3cret"), ("HERALD_ENGINE_WORKERS", "3")];
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags = [("listen", "127.0.0.1:3".to_owned())];
        let layers = Layers::read(Some("[fetch]\nmax_pages = 2\n"), env, &flags).expect("valid");
        let text = layers.describe().expect("valid");
        for line in [
            "auth.hs256_secret = \"***\" # HERALD_AUTH_HS256_SECRET",
            "engine.workers = 3 # HERALD_ENGINE_WORKERS",
            "fetch.max_pages = 2 # configuration file",
            "listen = \"127.0.0.1:3\" # --listen",
            "master_key = \"\" # default",
            "auth.admin_roles = [\"admin\",\"org:admin\"] # default",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in:\n{text}");
        }
        assert!(!text.contains("s3cret"));
        let read_back: Value = toml::from_str(&text).expect("it is TOML");
        assert_eq!(read_back["engine"]["workers"], 3);
    }

    #[test]
    fn urls_are_described_without_their_user_and_with_their_host() {
        let shown = |name: &str, url: &str| {
            let layers = Layers::read(None, [(name.to_owned(), url.to_owned())], &[]).expect("valid");
            layers.describe().expect("valid")
        };
        for (url, told) in [
            ("redis://redis:6379", "redis://redis:6379"),
            ("redis://herald:s3cret@redis:6379/2", "redis://***@redis:6379/2"),
            ("rediss://:s3cret@redis.example", "rediss://***@redis.example"),
            ("redis-cluster://herald@a:1?node=b:2&x=s3cret", "redis-cluster://***@a:1?***"),
            // Where the password has what parts a URL, nobody knows where it ends.
            ("redis://u:12/s3cret@redis", "***"),
            ("redis://u:12#s3cret@redis", "***"),
            ("redis://:s3cret/x@redis", "***"),
            ("s3cret", "***"),
        ] {
            let text = shown("HERALD_CACHE_URL", url);
            assert!(text.contains(&format!("cache.url = \"{told}\" # HERALD_CACHE_URL")), "{url}: {text}");
            assert!(!text.contains("s3cret"));
        }
        let text = shown("HERALD_AUTH_JWKS_URL", "https://herald:s3cret@keys.example/jwks.json");
        assert!(text.contains("auth.jwks_url = \"https://***@keys.example/jwks.json\""), "{text}");
        let text = shown("HERALD_FILES_ENDPOINT", "https://herald:s3cret@s3.example:9000");
        assert!(text.contains("files.endpoint = \"https://***@s3.example:9000\""), "{text}");
        let text = shown("HERALD_FILES_URL", "s3://id:s3cret@bucket/prefix");
        assert!(text.contains("files.url = \"s3://***@bucket/prefix\""), "{text}");
        let text = shown("HERALD_SERVER_CORS_ORIGINS", "https://a.example,https://u:s3cret@b.example");
        assert!(text.contains("[\"https://a.example\",\"https://***@b.example\"]"), "{text}");
    }

    #[test]
    fn a_value_that_cannot_be_is_told_with_its_setting_and_where_it_came_from() {
        let error = load(None, &[("HERALD_ENGINE_TRIES", "99999999999")], &[]).expect_err("too large");
        assert!(error.0.contains("engine.tries (HERALD_ENGINE_TRIES)"), "{error}");
        let error = load(Some("log_format = 'xml'"), &[], &[]).expect_err("no such format");
        assert!(error.0.contains("log_format (configuration file)"), "{error}");
        let error = load(None, &[("HERALD_AUTH_TRUSTED_PEERS", "10.0.0.0/99")], &[]).expect_err("no network");
        assert!(error.0.contains("auth.trusted_peers (HERALD_AUTH_TRUSTED_PEERS)"), "{error}");
    }

    #[test]
    fn a_file_is_known_to_hold_a_secret_whatever_comes_over_it() {
        let holds = |file: &str, env: &[(&str, &str)]| {
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Layers::read(Some(file), env, &[]).expect("valid").file_holds_secret()
        };
        for file in [
            "master_key = 'k'",
            "[auth]\nhs256_secret = 's'",
            "[auth]\njwks_url = 'https://u:p@keys.example/'",
            "[cache]\nurl = 'redis://:p@redis'",
            "[files]\nsecret_access_key = 's'",
            "[files]\naccess_key_id = 's'",
            "listen = 'nowhere'\nmaster_key = 'k'",
        ] {
            let over = [("HERALD_MASTER_KEY", "x"), ("HERALD_LISTEN", "127.0.0.1:1"), ("HERALD_CACHE_URL", "")];
            assert!(holds(file, &over), "{file}");
        }
        let none =
            "listen = '127.0.0.1:1'\nmaster_key = ''\n[cache]\nurl = 'redis://redis:6379'\n[engine]\nworkers = 3";
        assert!(!holds(none, &[("HERALD_MASTER_KEY", "x")]));
    }

    #[test]
    fn the_usual_name_of_redis_is_taken_after_ours() {
        let url = |env: &[(&str, &str)]| load(None, env, &[]).expect("valid").cache.url.expose().to_owned();
        let (ours, usual) = (("HERALD_CACHE_URL", "redis://ours"), ("REDIS_URL", "redis://usual"));
        assert_eq!(url(&[usual]), "redis://usual");
        assert_eq!((url(&[ours, usual]), url(&[usual, ours])), ("redis://ours".to_owned(), "redis://ours".to_owned()));
    }

    #[test]
    fn what_is_misspelt_is_refused_by_name() {
        for (name, told) in [
            ("HERALD_DATADIR", "HERALD_DATADIR is no setting of Herald: did you mean HERALD_DATA_DIR?"),
            ("HERALD_HS256_SECRET", ": did you mean HERALD_AUTH_HS256_SECRET?"),
            ("HERALD_SERVR", ": did you mean HERALD_SERVER?"),
            ("HERALD_FILE", "is no setting of Herald; see"),
            ("HERALD_PORT", "are HERALD_LISTEN;"),
            ("HERALD_NOTHING_LIKE_IT", "is no setting of Herald; see"),
        ] {
            let error = load(None, &[(name, "x")], &[]).expect_err("no such setting");
            assert!(error.0.contains(told), "{error}");
        }
        let error = load(None, &[("HERALD_ENGINE_WORKERS", "many")], &[]).expect_err("no number");
        assert!(error.0.contains("whole number"), "{error}");
        let error = load(None, &[], &[("listen", "nowhere")]).expect_err("no address");
        assert!(error.0.contains("listen (--listen): \"nowhere\" is no address with a port"), "{error}");
    }
}
