//! `tracking produce`.

use messaging::pulsar::{PulsarOptions, PulsarQueue};
use messaging::{Envelope, Queue, SourceEvent, SourceOptions, Topics};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use testkit::{Process, Signal, TestNamespace, eventually, pulsar_admin_url, pulsar_url};
use tokio::time::timeout;

const LIKE: &str = r#"{"type":"create_interaction","user_id":123,"interaction":"like"}"#;
const SOON: Duration = Duration::from_secs(30);

struct Topic {
    namespace: TestNamespace,
    queue: PulsarQueue,
}

impl Topic {
    async fn new() -> Self {
        let namespace = TestNamespace::create().await;
        let queue = PulsarQueue::new(PulsarOptions {
            url: pulsar_url(),
            admin_url: pulsar_admin_url(),
            token: None,
            topics: Topics {
                commands: namespace.topic("commands"),
                commands_partitions: 0,
                subscription: "workers".to_owned(),
                dead_letters: namespace.topic("dead"),
                events: namespace.topic("events"),
            },
        });
        queue.prepare().await.expect("topics are made");
        Self { namespace, queue }
    }

    /// Runs `produce` with this on stdin.
    fn produce(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tracking"))
            .arg("produce")
            .args(arguments)
            .env_clear()
            .envs(self.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the executable starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        // It may end, or never read, before all of this is written.
        let writing = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("it ends");
        writing.join().expect("writing does not panic");
        output
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("PULSAR_URL", pulsar_url()),
            ("PULSAR_ADMIN_URL", pulsar_admin_url()),
            ("COMMANDS_TOPIC", self.namespace.topic("commands")),
            ("LOG_LEVEL", "warn".to_owned()),
        ]
    }

    /// What lies in the topic: exactly `count` messages.
    async fn messages(&self, count: usize) -> Vec<Envelope> {
        let options = SourceOptions {
            consumer_name: "test".to_owned(),
            prefetch: 10_000,
            prefetch_bytes: 64 << 20,
        };
        let mut source = self.queue.commands(options).await.expect("subscribed");
        let mut messages = Vec::new();
        while messages.len() < count {
            let next = timeout(SOON, source.next())
                .await
                .expect("in time")
                .expect("delivered");
            if let SourceEvent::Deliveries(deliveries) = next {
                messages.extend(deliveries.into_iter().map(|delivery| delivery.envelope));
            }
        }
        let more = timeout(Duration::from_millis(300), source.next()).await;
        assert!(more.is_err(), "more than {count}: {more:?}");
        messages
    }
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", crate::stderr(output)))
}

#[tokio::test]
async fn arguments_are_sent_as_given_with_key_and_identity() {
    let topic = Topic::new().await;
    let given = "01890a5d-ac96-7b7c-8f9e-2f1c3d4e5f60";
    let other = LIKE
        .replace("123", "\"ada\"")
        .replace('{', &format!("{{ \"command_id\":\"{given}\","));
    let output = topic.produce(&[LIKE, &other, "--json"], "not read");
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    let summary = summary(&output);
    assert_eq!(
        (&summary["sent"], &summary["complete"]),
        (&2.into(), &true.into())
    );

    let messages = topic.messages(2).await;
    let sent = |index: usize| {
        messages
            .iter()
            .find(|m| m.payload == [LIKE, &other][index].as_bytes())
    };
    let (first, second) = (sent(0).expect("as given"), sent(1).expect("as given"));
    assert_eq!(
        (first.key.as_deref(), second.key.as_deref()),
        (Some("123"), Some("ada"))
    );
    assert_eq!(second.property("TRACKING_COMMAND_ID"), Some(given));
    assert_eq!(
        first.property("TRACKING_COMMAND_ID"),
        summary["ids"][0].as_str(),
        "{summary}"
    );
    assert!(messages.iter().all(|message| message.at.batch_index < 0));
}

#[tokio::test]
async fn wrong_lines_are_refused_with_their_number_and_the_others_sent_in_order() {
    let topic = Topic::new().await;
    let mut input = String::new();
    for n in 0..2_000 {
        input.push_str(&LIKE.replace("like", &format!("kind_{n}")));
        input.push('\n');
    }
    input.push_str(
        "\n{\"type\":\"create_interaction\",\"interaction\":\"like\"}\n{\"type\":\"create_interaction\"\n",
    );
    input.push_str(&"x".repeat(256 * 1024 + 1));
    let output = topic.produce(&["--json"], &input);
    assert_eq!(output.status.code(), Some(1));
    let (summary, text) = (summary(&output), crate::stderr(&output));
    assert_eq!(
        (&summary["sent"], &summary["refused"]),
        (&2_000.into(), &3.into()),
        "{text}"
    );
    assert!(text.contains("line 2002: invalid_field at /user_id: "), "{text}");
    assert!(
        text.contains("line 2003: fragment: ") && text.contains("(hint: "),
        "{text}"
    );
    assert!(text.contains("line 2004: too_large: "), "{text}");
    assert!(
        text.ends_with("error: 2000 sent, 3 refused, 0 failed\n"),
        "{text}"
    );
    assert_eq!(summary["refusals"][0]["pointer"], "/user_id");

    let messages = topic.messages(2_000).await;
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(
            message.payload,
            LIKE.replace("like", &format!("kind_{n}")).as_bytes()
        );
    }
}

#[tokio::test]
async fn everything_is_sent_when_told_not_to_validate() {
    let topic = Topic::new().await;
    let output = topic.produce(&["--no-validate", "--file", "-"], "garbage\n{\"user_id\":7}\n");
    assert_eq!(output.status.code(), Some(0), "{}", crate::stderr(&output));
    assert!(crate::stdout(&output).starts_with("SENT  REFUSED  FAILED\n2 "));
    let messages = topic.messages(2).await;
    let key = |payload: &[u8]| {
        let message = messages.iter().find(|message| message.payload == payload);
        message.expect("as given").key.as_deref().map(str::to_owned)
    };
    assert_eq!(
        (key(b"garbage"), key(b"{\"user_id\":7}")),
        (None, Some("7".to_owned()))
    );
}

#[tokio::test]
async fn an_interruption_leaves_honest_counts() {
    let topic = Topic::new().await;
    // More than can be sent before the signal comes.
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), format!("{LIKE}\n").repeat(1_000_000)).expect("there is room");
    let variables = topic.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let path = file.path().to_str().expect("a plain name");
    let mut process = Process::spawn(
        env!("CARGO_BIN_EXE_tracking"),
        &["produce", "--json", "--file", path],
        &variables,
    );
    let commands = topic.namespace.topic("commands");
    eventually(SOON, async || {
        (2_000 < topic.namespace.admin().backlog(&commands, "workers").await).then_some(())
    })
    .await;
    process.signal(Signal::Interrupt);
    let status = process.wait(SOON).await;
    assert_eq!(status.code(), Some(1), "{}", process.stderr());
    assert!(process.stderr().contains("interrupted; "), "{}", process.stderr());
    let summary: Value = serde_json::from_str(&process.stdout()).expect("a JSON object");
    assert_eq!(
        (&summary["failed"], &summary["complete"]),
        (&0.into(), &false.into())
    );
    let kept = topic.namespace.admin().backlog(&commands, "workers").await;
    assert_eq!(summary["sent"], kept, "{summary}");
}

#[test]
fn a_missing_broker_or_nothing_to_send_is_said_at_once() {
    let nowhere = [
        ("PULSAR_URL", "pulsar://127.0.0.1:1"),
        ("PULSAR_ADMIN_URL", "http://127.0.0.1:1"),
    ];
    let output = crate::tracking(&["produce", LIKE], &nowhere);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        crate::stderr(&output).contains("see PULSAR_URL"),
        "{}",
        crate::stderr(&output)
    );
    let both = crate::tracking(&["produce", LIKE, "--file", "x"], &nowhere);
    assert_eq!(both.status.code(), Some(2));
}
