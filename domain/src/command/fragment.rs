//! Recognises a piece of a JSON document that a tool split at commas, as `pulsar-client produce -m` does.

/// What to do about it. (Tried on pulsar-client 4.0.8: the separator is a regular expression, and a bare `|` matches
/// nothing before every character.)
pub(super) const HINT: &str =
    "pulsar-client splits -m at commas: add -s '\\|' (not -s '|': the separator is a regular expression)";

/// What to do about a command that came one character at a time.
pub(super) const HINT_CHARACTER: &str =
    "pulsar-client -s takes a regular expression, and a bare '|' splits at every character: use -s '\\|'";

/// Whether `text`, which is not JSON, becomes JSON once the brackets that a split at commas tore off are put back.
pub(super) fn is_fragment(text: &str) -> bool {
    let Some(Torn { opened, closed }) = torn_brackets(text) else {
        return false;
    };
    let openers: Vec<&str> = closed
        .iter()
        .rev()
        .map(|c| if *c == '}' { "{" } else { "[" })
        .collect();
    // What opens inside an object is the value of a member.
    let prefix = openers
        .join("\u{1}")
        .replace("{\u{1}", "{\"\":")
        .replace('\u{1}', "");
    let suffix: String = opened
        .iter()
        .rev()
        .map(|c| if *c == '{' { '}' } else { ']' })
        .collect();
    // The piece may also be, or begin with, a member or element of an object or array that opened before it.
    !text.trim().is_empty()
        && [("", ""), ("{", "}"), ("[", "]")]
            .into_iter()
            .any(|(open, close)| parses(&format!("{open}{prefix}{text}{suffix}{close}")))
}

/// Brackets without a partner in this piece.
struct Torn {
    opened: Vec<char>,
    closed: Vec<char>,
}

/// `None` when a string is left open or brackets cross: no split at commas does that to a document.
fn torn_brackets(text: &str) -> Option<Torn> {
    let mut torn = Torn {
        opened: Vec::new(),
        closed: Vec::new(),
    };
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' | '[' => torn.opened.push(c),
            '}' | ']' => match torn.opened.pop() {
                None => torn.closed.push(c),
                Some('{') if c == '}' => {}
                Some('[') if c == ']' => {}
                Some(_) => return None,
            },
            _ => {}
        }
    }
    // Deeper than any command may be: not worth an attempt, and a bound on what is built here.
    let shallow = torn.opened.len() <= 64 && torn.closed.len() <= 64;
    (!in_string && shallow).then_some(torn)
}

fn parses(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_fragment;

    #[test]
    fn pieces_of_a_split_command_are_fragments() {
        let command = r#"{"type":"create_interaction","user_id":123,"properties":{"a":[{"b":1},{"c":2}],"d":3},"x":[1,{"y":2}]}"#;
        for piece in command.split(',') {
            assert!(is_fragment(piece), "{piece}");
        }
    }

    #[test]
    fn other_garbage_is_not() {
        for text in [
            "",
            "garbage",
            "{\"type\":\"create_inter",
            "{]",
            "<xml/>",
            "}{",
            "{\"a\" 1}",
            "user_id=123",
            "\"a\":",
        ] {
            assert!(!is_fragment(text), "{text}");
        }
    }
}
