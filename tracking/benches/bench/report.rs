//! The results: a table for people, JSON for comparing runs.

use crate::stats::Series;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// What a result is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    /// Shown to explain a ratio.
    None,
}

impl Aim {
    fn met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(aim) => Some(aim <= value),
            Self::AtMost(aim) => Some(value <= aim),
            Self::Below(aim) => Some(value < aim),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(aim) => format!(">= {aim}"),
            Self::AtMost(aim) => format!("<= {aim}"),
            Self::Below(aim) => format!("< {aim}"),
            Self::None => String::new(),
        }
    }
}

#[derive(Serialize)]
struct Line {
    stored: i64,
    name: String,
    /// The median, or the value of all that was measured.
    measured: f64,
    min: f64,
    max: f64,
    values: Series,
    aim: String,
    met: Option<bool>,
}

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Value,
    lines: Vec<Line>,
    #[serde(skip)]
    stored: i64,
}

impl Report {
    /// A report of this machine, which it prints.
    pub(crate) fn new(machine: Value) -> Self {
        for (name, value) in machine.as_object().into_iter().flatten() {
            println!("{name}: {value}");
        }
        Self {
            machine,
            lines: Vec::new(),
            stored: 0,
        }
    }

    /// What follows was measured with so many rows stored.
    pub(crate) fn begin_level(&mut self, stored: i64) {
        self.stored = stored;
        println!("\n{stored} rows stored");
    }

    /// One quantity of the level.
    pub(crate) fn add(&mut self, name: impl Into<String>, values: Series, aim: Aim) {
        let median = values.median();
        self.add_measured(name, median, values, aim);
    }

    /// One quantity that was worked out from all that was measured, with its values for parts of it.
    pub(crate) fn add_measured(&mut self, name: impl Into<String>, median: f64, values: Series, aim: Aim) {
        let line = Line {
            stored: self.stored,
            name: name.into(),
            measured: median,
            min: values.min(),
            max: values.max(),
            values,
            aim: aim.text(),
            met: aim.met(median),
        };
        println!("{}", line.text());
        self.lines.push(line);
    }

    /// Prints all of it, writes the JSON, and says where.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        println!("\n{:>10}  {}", "stored", Line::head());
        for line in &self.lines {
            println!("{:>10}  {}", line.stored, line.text());
        }
        let missed = self.lines.iter().filter(|line| line.met == Some(false)).count();
        println!("\naims missed: {missed}");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench.json");
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        println!("all values: {}", path.display());
        Ok(())
    }
}

impl Line {
    fn head() -> String {
        format!(
            "{:<58} {:>11} {:>11} {:>11}  {:<10}",
            "", "measured", "min", "max", "aim"
        )
    }

    fn text(&self) -> String {
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let [median, min, max] = [self.measured, self.min, self.max].map(number);
        format!(
            "{:<58} {median:>11} {min:>11} {max:>11}  {:<10} {verdict}",
            self.name, self.aim
        )
    }
}

/// Four significant digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.3}"),
        size if size < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
