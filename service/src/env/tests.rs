//! What reading variables must bring to light, and what it must hide.

use super::*;

const COUNT: Variable = Variable::plain("COUNT", "3", "a number");
const LINK: Variable = Variable::url("LINK", "", "a URL");
const TOKEN: Variable = Variable::hidden("TOKEN", "", "a token");

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a whole number".to_owned())
}

fn any(text: &str) -> Result<String, String> {
    text.parse().map_err(|_| String::new())
}

fn no(_: &str) -> Result<String, String> {
    Err("something else".to_owned())
}

/// A file that is gone when it is dropped, and its path.
fn file(content: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
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
        let (_file, path) = file(content);
        let mut env = Env::from_pairs([("TOKEN_FILE", path)]);
        assert_eq!(env.optional(&TOKEN, any).as_deref(), Some(value));
        assert_eq!(env.effective()[0].source, Source::File);
    }
}

#[test]
fn a_file_that_is_missing_empty_or_huge_is_a_mistake_of_the_file_variable() {
    let (_empty_file, empty) = file("\n");
    let (_huge_file, huge) = file(&"x".repeat(70_000));
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
