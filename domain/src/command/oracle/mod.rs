//! Holds reading to a plain and slow reading of the same rules, over commands made up at random and broken ones.
//!
//! A change of the rules is made in both; a change that only makes reading quicker leaves this folder alone.

mod fields;
mod read;

use crate::command::{self, MAX_PAYLOAD};
use crate::decide;
use chrono::{DateTime, Utc};

const COMMANDS: [&str; 6] = [
    include_str!("../../../testdata/commands/create_interaction.full.json"),
    r#"{"type":"create_interaction","user_id":123,"interaction":"like","timestamp":"2024-06-01T12:00:00Z"}"#,
    r#"{"type":"create_interaction","command_id":"01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60","user_id":"a","interaction":"like","campaign_id":7,"properties":{"b":1.50,"a":[null,{}]},"x":{"z":1,"y":2}}"#,
    r#" { "type" : "cre\u0061te_interaction" , "user_id" : 1 , "interaction" : "\u0061" , "target_id" : "\ud83d\ude00" } "#,
    r#"{"type":"create_interaction","user_id":-1,"interaction":"No","timestamp":"yesterday","value":{"amount_minor":1.5},"campaign_id":[],"schema_version":2,"command_id":"x"}"#,
    r#"{"$serde_json::private::Number":"1","type":"create_interaction"}"#,
];

/// Reads both ways and compares all that comes of it; whether the command was accepted.
fn same(payload: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(payload);
    let (quick, plain) = (command::read(payload), read::read(payload));
    assert_eq!(quick.command_id, plain.command_id, "{shown}");
    assert_eq!(quick.project, plain.project, "{shown}");
    assert_eq!(quick.fingerprint, plain.fingerprint, "{shown}");
    assert_eq!(quick.command, plain.command, "{shown}");
    let (Ok(quick), Ok(plain)) = (quick.command, plain.command) else {
        return false;
    };
    let encoded = |command| decide(command, DateTime::<Utc>::UNIX_EPOCH).encode();
    assert_eq!(encoded(quick), encoded(plain), "{shown}");
    true
}

#[test]
fn examples_cut_anywhere_and_with_any_byte_changed() {
    for command in COMMANDS.map(str::as_bytes) {
        for at in 0..command.len() {
            same(&command[..at]);
            same(&command[at..]);
            let mut changed = command.to_vec();
            for byte in 0..=u8::MAX {
                changed[at] = byte;
                same(&changed);
            }
        }
        same(command);
    }
    same(&vec![b' '; MAX_PAYLOAD + 1]);
}

#[test]
fn commands_of_every_depth() {
    for depth in 0..=140 {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), ("[", ""), (r#"{"a":"#, "")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            same(nested.as_bytes());
            for end in ["}", r#","x":1}"#] {
                same(
                    format!(
                        r#"{{"type":"create_interaction","user_id":1,"interaction":"a","x":{nested}{end}"#
                    )
                    .as_bytes(),
                );
            }
        }
    }
}

#[test]
fn commands_made_up_at_random() {
    let mut random = Random(1);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut payload = random.command().into_bytes();
        accepted += usize::from(same(&payload));
        for _ in 0..random.below(3) {
            let (at, byte) = (random.below(payload.len()), random.below(256));
            payload[at] = u8::try_from(byte).expect("below 256");
            same(&payload);
        }
        same(&payload[..random.below(payload.len())]);
    }
    assert!(
        (2_000..18_000).contains(&accepted),
        "{accepted} of 20000 accepted"
    );
}

/// A xorshift generator: the same commands in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % end as u64).expect("below `end`")
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn white(&mut self) -> &'static str {
        self.of(&["", "", "", "", "", "", " ", "\n\t", "\r"])
    }

    /// Mostly a command that is accepted, with the required members first or last.
    fn command(&mut self) -> String {
        let mut members = vec![
            r#""type":"create_interaction""#.to_owned(),
            format!(
                r#""user_id":{}"#,
                self.of(&["1", "18446744073709551616", "\"ada\"", "12"])
            ),
            r#""interaction":"like""#.to_owned(),
        ];
        for _ in 0..self.below(6) {
            let place = self.below(members.len() + 1);
            let member = self.member();
            members.insert(place, member);
        }
        if self.below(8) == 0 {
            members.remove(self.below(members.len()));
        }
        let mut json = format!("{}{{", self.white());
        json.push_str(&members.join(&format!("{},{}", self.white(), self.white())));
        json + "}" + self.white()
    }

    fn member(&mut self) -> String {
        const TEXT: &[&str] = &[
            r#""a""#,
            r#""""#,
            r#""\u0062""#,
            "7",
            "-0",
            "null",
            "1E+2",
            "\"ü\"",
            r#""\u0000""#,
        ];
        const TIME: &[&str] = &[
            r#""2024-06-01T12:00:00Z""#,
            r#""2024-06-01T12:00:00.1234567+02:00""#,
            r#""1969-12-31T23:59:59Z""#,
            r#""2024-06-01""#,
            "null",
        ];
        let (name, usual): (&str, &[&str]) = match self.below(16) {
            0 => ("timestamp", TIME),
            1 => ("sent_at", TIME),
            2 => (
                "command_id",
                &[r#""01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60""#, "null", r#""x""#],
            ),
            3 => ("schema_version", &["1", "null", "1.0", "2", r#""1""#]),
            4 => (
                "value",
                &[
                    r#"{"amount_minor":1999,"currency":"EUR"}"#,
                    r#"{"currency":"eur","a/b":1}"#,
                    "null",
                ],
            ),
            5 => ("project", &[r#""acme""#, r#""""#, "null"]),
            6 => ("user_id", &["0", "-1", "1.0", "null", "1", r#""1""#]),
            7 => (
                self.of(&["type", "interaction"]),
                &[r#""create_interaction""#, r#""like""#, "null"],
            ),
            8 => (
                self.of(&["properties", "context"]),
                &["{}", "null", r#"{"b":1,"a":{"d":[1e2],"c":0.10}}"#],
            ),
            9 => (self.of(&["target_id", "campaign_id"]), TEXT),
            10 => (
                self.of(&["partner_id", "link_id", "session_id", "order_id"]),
                TEXT,
            ),
            11 => (
                self.of(&[
                    r"user\u005fid",
                    r#"\""#,
                    r"a\/b",
                    r"\ud800",
                    "$serde_json::private::Number",
                ]),
                TEXT,
            ),
            _ => (self.of(&["x", "", "ü", "a/b", "~", "zz", "A"]), TEXT),
        };
        let value = if self.below(5) == 0 {
            self.value(4)
        } else {
            self.of(usual).to_owned()
        };
        format!(r#""{name}"{}:{}{value}"#, self.white(), self.white())
    }

    fn value(&mut self, deep: usize) -> String {
        let count = self.below(4);
        match self.below(if deep == 0 { 2 } else { 4 }) {
            0 => self
                .of(&[
                    "0",
                    "-0",
                    "1.0",
                    "1E+2",
                    "-1e-5",
                    "123456789012345678901234567890",
                    "01",
                    "1.",
                    "-7",
                    "18446744073709551615",
                ])
                .to_owned(),
            1 => self
                .of(&[
                    "true",
                    "false",
                    "null",
                    r#""""#,
                    r#""\n\"\\\/""#,
                    r#""\udc00""#,
                    "\"\u{7f}é\"",
                    "nul",
                    "\"\t\"",
                ])
                .to_owned(),
            2 => {
                let items: Vec<String> = (0..count).map(|_| self.value(deep - 1)).collect();
                format!("[{}{}]", self.white(), items.join(","))
            }
            _ => {
                let members: Vec<String> = (0..count)
                    .map(|_| {
                        let name = self.of(&["b", "a", r"\u0061", "$serde_json::private::Number", "ü"]);
                        format!(r#""{name}":{}{}"#, self.white(), self.value(deep - 1))
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
}
