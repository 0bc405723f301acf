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
            .finish()
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
mod tests {
    use super::*;

    const COUNT: Variable = Variable::plain("COUNT", "3", "a number");
    const LINK: Variable = Variable::url("LINK", "", "a URL");
    const TOKEN: Variable = Variable::hidden("TOKEN", "", "a token");

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "a whole number".to_owned())
    }

    fn any(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn no(_: &str) -> Result<String, String> {
        Err("something else".to_owned())
    }

    fn file(content: &str) -> (tempdir::Dir, String) {
        let dir = tempdir::Dir::new();
        let path = dir.path().join("value");
        std::fs::write(&path, content).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    /// A directory of its own for each test, removed at its end.
    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicU32, Ordering};

        static NEXT: AtomicU32 = AtomicU32::new(0);

        pub(super) struct Dir(PathBuf);

        impl Dir {
            pub(super) fn new() -> Self {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let dir = std::env::temp_dir().join(format!("service-env-{}-{number}", std::process::id()));
                std::fs::create_dir_all(&dir).unwrap();
                Self(dir)
            }

            pub(super) fn path(&self) -> &Path {
                &self.0
            }
        }

        impl Drop for Dir {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }

    #[test]
    fn all_mistakes_come_at_once_and_name_their_variable() {
        let mut env = Env::from_pairs([("COUNT", "many")]);
        assert_eq!(env.or_default(&COUNT, "3", number), 3);
        assert_eq!(env.required(&LINK, "a URL", any), None);
        let error = env.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 mistakes in the configuration\n  COUNT: expected a whole number, got \"many\"\n  LINK: missing, expected a URL"
        );
        assert_eq!(ExitError::from(error).code, crate::exit::USAGE);
    }

    #[test]
    fn a_file_gives_the_value_less_its_last_newline() {
        for (content, value) in [
            ("s3cret\n", "s3cret"),
            ("s3cret", "s3cret"),
            ("s3cret\r\n", "s3cret"),
            ("a\nb\n\n", "a\nb\n"),
        ] {
            let (_dir, path) = file(content);
            let mut env = Env::from_pairs([("TOKEN_FILE", path)]);
            assert_eq!(env.optional(&TOKEN, any).as_deref(), Some(value));
            assert_eq!(env.effective()[0].source, Source::File);
        }
    }

    #[test]
    fn a_file_that_is_missing_empty_or_huge_is_a_mistake_of_the_file_variable() {
        let (_empty_dir, empty) = file("\n");
        let (_huge_dir, huge) = file(&"x".repeat(70_000));
        for (path, reason) in [
            ("/nowhere/at/all", "No such file"),
            (empty.as_str(), "empty"),
            (huge.as_str(), "at most 65536"),
        ] {
            let mut env = Env::from_pairs([("TOKEN_FILE", path)]);
            assert_eq!(env.required(&TOKEN, "a token", any), None);
            let mistakes = env.check().unwrap_err().0;
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert_eq!(mistakes[0].variable, "TOKEN_FILE");
            assert!(mistakes[0].message.contains(reason), "{mistakes:?}");
        }
    }

    #[test]
    fn the_value_and_its_file_together_are_a_mistake() {
        let mut env = Env::from_pairs([("TOKEN", "a"), ("TOKEN_FILE", "b")]);
        assert_eq!(env.optional(&TOKEN, any), None);
        let message = env.check().unwrap_err().to_string();
        assert!(
            message.contains("TOKEN: set together with TOKEN_FILE"),
            "{message}"
        );
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        let mut env = Env::from_pairs([("COUNT", ""), ("TOKEN", " "), ("TOKEN_FILE", "")]);
        assert_eq!(env.or_default(&COUNT, "3", number), 3);
        assert_eq!(env.optional(&TOKEN, any), None);
        assert_eq!(env.check(), Ok(()));
    }

    #[test]
    fn neither_the_effective_configuration_nor_a_mistake_shows_a_secret() {
        let mut env = Env::from_pairs([
            ("TOKEN", "hunter2"),
            ("LINK", "postgres://u:hunter2@h/d"),
            ("COUNT", "7"),
        ]);
        env.optional(&TOKEN, no);
        env.optional(&LINK, no);
        env.or_default(&COUNT, "3", number);
        let json = serde_json::to_string(env.effective()).unwrap();
        assert_eq!(
            json,
            r#"[{"name":"TOKEN","value":"REDACTED","source":"env"},{"name":"LINK","value":"postgres://u:REDACTED@h/d","source":"env"},{"name":"COUNT","value":"7","source":"env"}]"#
        );
        let message = env.check().unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
        assert!(!format!("{env:?}").contains("hunter2"));
    }
}
