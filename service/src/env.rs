//! Environment variables: read once, checked, all mistakes kept until the end.
//!
//! A variable is declared once as a [`Variable`]; reading one notes its value (hidden if secret) and where it came from,
//! which is what `tracking config` prints. Every variable can also be given as `NAME_FILE`, the path of a file with the
//! value. An empty value counts as not set, since templates often produce one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;

use serde::Serialize;

use crate::exit::ExitError;
use crate::secret::{REDACTED, redact_url};

/// More than any token or URL needs; a wrong path must not fill the memory.
const FILE_LIMIT_BYTES: u64 = 64 * 1024;

/// How the value of a variable may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Plain,
    /// As a URL without its password.
    Url,
    /// Not at all.
    Hidden,
}

/// One environment variable: its name and what `.env.example` says about it.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The name.
    pub name: &'static str,
    /// The default as people read it; empty for none.
    pub default: &'static str,
    /// One line for `.env.example`.
    pub doc: &'static str,
    /// How the value may be shown.
    pub shown: Shown,
}

impl Variable {
    /// A variable that hides nothing.
    pub const fn plain(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default,
            doc,
            shown: Shown::Plain,
        }
    }

    /// A URL that may hold a password.
    pub const fn url(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default,
            doc,
            shown: Shown::Url,
        }
    }

    /// A secret as a whole.
    pub const fn hidden(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default,
            doc,
            shown: Shown::Hidden,
        }
    }

    fn show(&self, value: &str) -> String {
        match self.shown {
            Shown::Plain => value.to_owned(),
            Shown::Url => redact_url(value),
            Shown::Hidden => REDACTED.to_owned(),
        }
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The variable itself.
    Env,
    /// The file that `NAME_FILE` names.
    File,
    /// Neither: the default.
    Default,
}

/// One line of the effective configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The variable.
    pub name: &'static str,
    /// Its value, secrets hidden; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value came from.
    pub source: Source,
}

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The variable.
    pub variable: String,
    /// What is wrong and what was expected.
    pub message: String,
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Mistake>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        write!(f, "{} mistake{plural} in the configuration", self.0.len())?;
        for mistake in &self.0 {
            write!(f, "\n  {}: {}", mistake.variable, mistake.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

/// The environment, and what reading it brought to light.
#[derive(Default)]
pub struct Env {
    /// `None`: the value is not UTF-8.
    values: BTreeMap<String, Option<String>>,
    effective: Vec<Effective>,
    mistakes: Vec<Mistake>,
}

/// Without the values: any of them may be secret.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("effective", &self.effective)
            .field("mistakes", &self.mistakes)
            .finish_non_exhaustive()
    }
}

impl Env {
    /// The environment of this process.
    pub fn from_process() -> Self {
        let values = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
            .collect();
        Self {
            values,
            ..Self::default()
        }
    }

    /// An environment made of `pairs`, for tests and for processes that compose their own.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), Some(value.into())))
            .collect();
        Self {
            values,
            ..Self::default()
        }
    }

    /// Reads a variable that may be absent. `parse` says what it expected when it refuses.
    pub fn optional<T>(
        &mut self,
        variable: &Variable,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some((text, source)) = self.text(variable) else {
            self.note(variable, None, Source::Default);
            return None;
        };
        self.note(variable, Some(&text), source);
        match parse(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let got = if variable.shown == Shown::Plain {
                    format!(", got {text:?}")
                } else {
                    String::new()
                };
                self.mistake(variable, format!("expected {expected}{got}"));
                None
            }
        }
    }

    /// Reads a variable that must be there: its absence is a mistake that says what was `expected`.
    pub fn required<T>(
        &mut self,
        variable: &Variable,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let before = self.mistakes.len();
        let value = self.optional(variable, parse);
        if value.is_none() && self.mistakes.len() == before {
            self.mistake(variable, format!("missing, expected {expected}"));
        }
        value
    }

    /// Reads a variable, or takes `default`, which is a text like those from outside.
    /// A mistake gives the default too, so that the reading can go on to the next mistake.
    pub fn or_default<T>(
        &mut self,
        variable: &Variable,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let before = self.mistakes.len();
        let value = self.optional(variable, &parse);
        if value.is_none() && self.mistakes.len() == before {
            self.default_is(variable, default);
        }
        value.unwrap_or_else(|| parse(default).expect("a default is a valid value, a test reads them all"))
    }

    /// Notes the default of a variable that was not set, when it depends on others.
    pub fn default_is(&mut self, variable: &Variable, default: &str) {
        let shown = variable.show(default);
        if let Some(line) = self.effective.iter_mut().find(|line| line.name == variable.name)
            && line.source == Source::Default
        {
            line.value = Some(shown);
        }
    }

    /// Notes a mistake that shows only when several variables are looked at together.
    pub fn mistake(&mut self, variable: &Variable, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            variable: variable.name.to_owned(),
            message: message.into(),
        });
    }

    /// What was read so far, in the order of reading, secrets hidden.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The mistakes found so far, all at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.mistakes.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(self.mistakes.clone()))
        }
    }

    fn note(&mut self, variable: &Variable, value: Option<&str>, source: Source) {
        let value = value.map(|text| variable.show(text));
        self.effective.push(Effective {
            name: variable.name,
            value,
            source,
        });
    }

    fn text(&mut self, variable: &Variable) -> Option<(String, Source)> {
        let file_variable = format!("{}_FILE", variable.name);
        match (self.value(variable.name), self.value(&file_variable)) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.mistake(
                    variable,
                    format!("set together with {file_variable}, expected one of the two"),
                );
                None
            }
            (Some(text), None) => Some((text, Source::Env)),
            (None, Some(path)) => match read_value(&path) {
                Ok(text) => Some((text, Source::File)),
                Err(reason) => {
                    self.mistakes.push(Mistake {
                        variable: file_variable,
                        message: format!("{path}: {reason}"),
                    });
                    None
                }
            },
        }
    }

    fn value(&mut self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Some(text) if text.trim().is_empty() => None,
            Some(text) => Some(text.clone()),
            None => {
                self.mistakes.push(Mistake {
                    variable: name.to_owned(),
                    message: "expected UTF-8 text".to_owned(),
                });
                None
            }
        }
    }
}

/// The content of a file less the newline at its end, which editors and `echo` add.
fn read_value(path: &str) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_LIMIT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        return Err(format!("expected a file of at most {FILE_LIMIT_BYTES} bytes"));
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.trim().is_empty() {
        return Err("the file is empty".to_owned());
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests;
