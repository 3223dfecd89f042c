//! Medians, spreads and ratios, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::servers::root;

/// What was measured, round by round.
#[derive(Default)]
pub struct Report {
    /// By name, in the order in which they came.
    figures: Vec<(String, Figure)>,
    ratios: Vec<Ratio>,
}

struct Figure {
    unit: &'static str,
    rounds: Vec<f64>,
    asked: Option<Floor>,
}

struct Ratio {
    key: &'static str,
    value: f64,
    floor: Floor,
}

/// What a ratio or a figure is to be.
#[derive(Clone, Copy)]
pub enum Floor {
    AtLeast(f64),
    AtMost(f64),
}

// === impl Report ===

impl Report {
    pub fn note(&mut self, name: &str, unit: &'static str, value: f64) {
        println!("  {name}: {} {unit}", short(value));
        match self.figures.iter_mut().find(|(known, _)| known == name) {
            Some((_, figure)) => figure.rounds.push(value),
            None => self.figures.push((name.to_owned(), Figure { unit, rounds: vec![value], asked: None })),
        }
    }

    /// What the median of a figure is to be, if it was measured.
    pub fn ask(&mut self, name: &str, floor: Floor) {
        if let Some((_, figure)) = self.figures.iter_mut().find(|(known, _)| known == name) {
            figure.asked = Some(floor);
        }
    }

    pub fn median(&self, name: &str) -> Option<f64> {
        let figure = &self.figures.iter().find(|(known, _)| known == name)?.1;
        Some(median(&figure.rounds))
    }

    /// The ratio of two medians, if both were measured.
    pub fn ratio(&mut self, key: &'static str, above: &str, below: &str, floor: Floor) {
        if let (Some(above), Some(below)) = (self.median(above), self.median(below)) {
            self.ratios.push(Ratio { key, value: above / below, floor });
        }
    }

    /// Prints it, and keeps it in results.md and results.json if it is whole.
    pub fn write(&self, is_whole: bool) -> anyhow::Result<()> {
        let mut text =
            String::from("# What was measured\n\nWritten by `make bench`; README.md beside this says how and why.\n\n");
        for (name, value) in machine() {
            writeln!(text, "- {name}: {}", value.as_str().unwrap_or_default())?;
        }
        text.push_str("\n## Ratios\n\n| ratio | measured | asked for | |\n| --- | ---: | ---: | --- |\n");
        for Ratio { key, value, floor } in &self.ratios {
            writeln!(text, "| {key} | {value:.3} | {} |", floor.judged(*value))?;
        }
        text.push_str("\n## Figures\n\n| | median | least | most | rounds | asked for | |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |\n");
        for (name, Figure { unit, rounds, asked }) in &self.figures {
            let (least, most) = rounds.iter().fold((f64::MAX, f64::MIN), |(l, m), &v| (l.min(v), m.max(v)));
            let asked = asked.map_or("|".to_owned(), |floor| floor.judged(median(rounds)));
            let (median, least, most) = (short(median(rounds)), short(least), short(most));
            writeln!(text, "| {name} | {median} {unit} | {least} | {most} | {} | {asked} |", rounds.len())?;
        }
        let ratios: Map<_, _> = self.ratios.iter().map(|ratio| (ratio.key.to_owned(), json!(ratio.value))).collect();
        let absolute = self.figures.iter().map(|(name, figure)| {
            (name.clone(), json!({ "unit": figure.unit, "median": median(&figure.rounds), "rounds": figure.rounds }))
        });
        let absolute: Map<_, _> = absolute.collect();
        let json = json!({ "ratios": ratios, "absolute": absolute, "machine": machine() });
        if is_whole {
            std::fs::write(root().join("bench/results.md"), &text)?;
            std::fs::write(root().join("bench/results.json"), serde_json::to_string_pretty(&json)? + "\n")?;
        }
        println!("\n{text}");
        if !is_whole {
            println!("Not written down: only a run of all parts is, with five rounds or more of two seconds or more.");
        }
        Ok(())
    }
}

// === impl Floor ===

impl Floor {
    /// Two cells of a table: what was asked for, and whether the value reaches it.
    fn judged(self, value: f64) -> String {
        let (asked, reached) = match self {
            Self::AtLeast(least) => (format!("≥ {}", short(least)), value >= least),
            Self::AtMost(most) => (format!("≤ {}", short(most)), value <= most),
        };
        format!("{asked} | {}", if reached { "reached" } else { "not reached" })
    }
}

fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// Three figures are enough.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => {
            let digits = format!("{:.0}", value);
            let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
            groups.collect::<Vec<_>>().join(",")
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What it was measured on and with.
fn machine() -> BTreeMap<&'static str, Value> {
    let says = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
    };
    let file = |path: &str, start: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(start))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let dirty = says("git", &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results.*"]);
    let commit = says("git", &["rev-parse", "--short=12", "HEAD"]);
    let commit = commit.map(|commit| if dirty.is_some() { format!("{commit}, with changes") } else { commit });
    let known = [
        ("processor", file("/proc/cpuinfo", "model name").map(|name| format!("{name}, {cores} cores"))),
        ("memory", file("/proc/meminfo", "MemTotal")),
        ("kernel", says("uname", &["-sr"])),
        ("rustc", says("rustc", &["--version"])),
        ("node", says("node", &["--version"])),
        ("redis", says("redis-server", &["--version"])),
        ("h2load", says("h2load", &["--version"])),
        ("sqlite", Some(rusqlite::version().to_owned())),
        ("commit", commit),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, Value::String(value?)))).collect()
}
