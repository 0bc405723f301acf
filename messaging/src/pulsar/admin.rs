//! Pulsar's admin API over HTTP: one bounded call at a time, on a thread of its own.

use super::errors::unavailable;
use super::tls;
use crate::QueueError;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{Method, Request, StatusCode};
use ureq::tls::TlsConfig;
use url::Url;

/// For one call, whatever it takes.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Brokers send on to the owner of a topic.
const MAX_REDIRECTS: usize = 5;
/// Answers are small; statistics of many partitions are the largest.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// A client of the admin API.
#[derive(Clone)]
pub(super) struct Admin {
    base: String,
    token: Option<Arc<str>>,
    agent: ureq::Agent,
}

/// What was answered; only statuses that a caller may decide on: 2xx, 404, 409, 412.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: String,
    /// The other host to which the call was sent on, without the token.
    elsewhere: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
enum NoAnswer {
    Failed(ureq::Error),
    /// It was sent on to where it must not go.
    Astray(String),
}

impl<E: Into<ureq::Error>> From<E> for NoAnswer {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The broker's own words; of an answer that is a page for people, nothing.
    pub(super) fn reason(&self) -> String {
        let told = self
            .json()
            .get("reason")
            .and_then(Value::as_str)
            .map(str::to_owned);
        told.unwrap_or_else(|| {
            if self.body.starts_with('<') {
                String::new()
            } else {
                self.body.clone()
            }
        })
    }
}

impl Admin {
    /// A client for `base` (`http(s)://host:port`).
    pub(super) fn new(base: &str, token: Option<&str>) -> Self {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::PROVIDER.clone())
            .build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .http_status_as_error(false)
            // Followed by hand: a PUT must stay a PUT.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .build()
            .new_agent();
        Self {
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(Into::into),
            agent,
        }
    }

    pub(super) async fn get(&self, action: &'static str, path: String) -> Result<Answer, QueueError> {
        self.call(action, Method::GET, path, None).await
    }

    pub(super) async fn put(
        &self,
        action: &'static str,
        path: String,
        body: Option<Value>,
    ) -> Result<Answer, QueueError> {
        self.call(action, Method::PUT, path, body).await
    }

    pub(super) async fn post(
        &self,
        action: &'static str,
        path: String,
        body: Value,
    ) -> Result<Answer, QueueError> {
        self.call(action, Method::POST, path, Some(body)).await
    }

    /// One call of `/admin/v2/{path}`.
    async fn call(
        &self,
        action: &'static str,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Answer, QueueError> {
        let this = self.clone();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let called = tokio::task::spawn_blocking(move || this.call_blocking(&method, &path, &body)).await;
        let answer = match called {
            Ok(Ok(answer)) => answer,
            Ok(Err(NoAnswer::Astray(reason))) => return Err(QueueError::Refused { action, reason }),
            Ok(Err(NoAnswer::Failed(error))) => {
                return Err(unavailable(
                    action,
                    format!("{error} (PULSAR_ADMIN_URL is {})", self.shown()),
                ));
            }
            Err(_) => return Err(unavailable(action, "the runtime is shutting down".into())),
        };
        let told = answer.status.is_success()
            || [
                StatusCode::NOT_FOUND,
                StatusCode::CONFLICT,
                StatusCode::PRECONDITION_FAILED,
            ]
            .contains(&answer.status);
        if told {
            Ok(answer)
        } else if let (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(host)) =
            (answer.status, &answer.elsewhere)
        {
            Err(QueueError::Refused {
                action,
                reason: format!(
                    "the admin API at {} sent the call on to {host}, which answered {}: PULSAR_TOKEN is not sent \
                     to another host; set PULSAR_ADMIN_URL to that host, or to a proxy that answers for all",
                    self.shown(),
                    answer.status,
                ),
            })
        } else if answer.status.is_client_error() {
            Err(QueueError::Refused {
                action,
                reason: format!(
                    "the admin API at {} answered {}: {}: give PULSAR_TOKEN's role admin rights there \
                     (PULSAR_ADMIN_URL), or make the topics yourself and use `--skip-topics`",
                    self.shown(),
                    answer.status,
                    answer.reason(),
                ),
            })
        } else {
            Err(unavailable(
                action,
                format!("the admin API answered {}: {}", answer.status, answer.reason()),
            ))
        }
    }

    fn call_blocking(&self, method: &Method, path: &str, body: &str) -> Result<Answer, NoAnswer> {
        let mut url = format!("{}/admin/v2/{path}", self.base);
        let mut elsewhere = None;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::builder().method(method.clone()).uri(&url);
            if let (Some(token), None) = (&self.token, &elsewhere) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let mut response = if *method == Method::GET {
                self.agent.run(request.body(())?)?
            } else {
                self.agent.run(
                    request
                        .header("content-type", "application/json")
                        .body(body.to_owned())?,
                )?
            };
            let status = response.status();
            let next = response
                .headers()
                .get("location")
                .and_then(|to| to.to_str().ok())
                .map(str::to_owned);
            if let Some(next) = next.filter(|_| status.is_redirection()) {
                let (next, same_host) = next_hop(&url, &next).map_err(NoAnswer::Astray)?;
                if !same_host {
                    elsewhere = Some(shown(&next));
                }
                url = next.into();
                continue;
            }
            let body = response
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER)
                .read_to_string()?;
            return Ok(Answer {
                status,
                body,
                elsewhere,
            });
        }
        Err(ureq::Error::TooManyRedirects.into())
    }

    /// The address without what may be secret.
    fn shown(&self) -> String {
        Url::parse(&self.base).map_or_else(|_| "no address".into(), |url| shown(&url))
    }
}

/// Where a redirect leads, and whether that is the host that sent it. `Err` when it must not be followed.
fn next_hop(from: &str, location: &str) -> Result<(Url, bool), String> {
    let from = Url::parse(from).map_err(|error| format!("PULSAR_ADMIN_URL is no address: {error}"))?;
    let to = from.join(location).map_err(|error| {
        format!(
            "the admin API at {} sent the call on nowhere: {error}",
            shown(&from)
        )
    })?;
    if to.scheme() != from.scheme() && to.scheme() != "https" {
        return Err(format!(
            "the admin API at {} sent the call on to {}: only the same scheme or https is followed \
             (PULSAR_ADMIN_URL)",
            shown(&from),
            shown(&to)
        ));
    }
    let same_host = to.host() == from.host();
    Ok((to, same_host))
}

fn shown(url: &Url) -> String {
    format!(
        "{}://{}:{}",
        url.scheme(),
        url.host_str().unwrap_or("?"),
        url.port_or_known_default().unwrap_or(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Gives these answers, one after the other, and then what was asked.
    fn server(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| {
                    let mut stream = listener.accept().unwrap().0;
                    let mut request = vec![0; 4096];
                    let mut length = 0;
                    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
                        length += stream.read(&mut request[length..]).unwrap();
                    }
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8_lossy(&request[..length]).into_owned()
                })
                .collect()
        });
        (address, asked)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    #[tokio::test]
    async fn rights_that_lack_are_told_with_the_remedy() {
        let page = "<html>Error 401</html>";
        let (address, asked) = server(vec![
            answer("401 Unauthorized", "", page),
            answer("403 Forbidden", "", r#"{"reason":"not you"}"#),
        ]);
        let admin = Admin::new(&address, Some("secret"));
        for words in ["401", "not you"] {
            let error = admin
                .get("make the topic", "persistent".into())
                .await
                .unwrap_err();
            assert!(!error.is_transient());
            for part in ["make the topic", words, "PULSAR_ADMIN_URL", "--skip-topics"] {
                assert!(error.to_string().contains(part), "{part}: {error}");
            }
            assert!(
                !error.to_string().contains("html") && !error.to_string().contains("secret"),
                "{error}"
            );
        }
        assert!(
            asked.join().unwrap()[0]
                .to_lowercase()
                .contains("authorization: bearer secret")
        );
    }

    #[tokio::test]
    async fn a_put_stays_a_put_when_it_is_sent_on_to_the_owner() {
        let (owner, asked_owner) = server(vec![answer("204 No Content", "", "")]);
        let to = format!("location: {owner}/admin/v2/persistent/a/b/c\r\n");
        let (address, _) = server(vec![answer("307 Temporary Redirect", &to, "")]);
        let admin = Admin::new(&address, None);
        let answer = admin
            .put("make the topic", "persistent/a/b/c".into(), None)
            .await
            .unwrap();
        assert!(answer.status.is_success());
        assert!(asked_owner.join().unwrap()[0].starts_with("PUT /admin/v2/persistent/a/b/c "));
    }

    fn asked_with_token(request: &str) -> bool {
        request.to_lowercase().contains("authorization: bearer secret")
    }

    #[tokio::test]
    async fn another_host_does_not_get_the_token() {
        let (owner, asked_owner) = server(vec![
            answer("204 No Content", "", ""),
            answer("401 Unauthorized", "", ""),
        ]);
        let owner = owner.replace("127.0.0.1", "localhost");
        let on = answer(
            "307 Temporary Redirect",
            &format!("location: {owner}/admin/v2/x\r\n"),
            "",
        );
        let (address, asked) = server(vec![on.clone(), on]);
        let admin = Admin::new(&address, Some("secret"));
        let answered = admin.get("read the backlog", "x".into()).await.unwrap();
        assert!(
            answered.status.is_success(),
            "where no token is needed it is followed"
        );
        let error = admin.get("read the backlog", "x".into()).await.unwrap_err();
        assert!(!error.is_transient());
        for part in [owner.as_str(), "PULSAR_TOKEN is not sent", "PULSAR_ADMIN_URL"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        assert!(
            asked
                .join()
                .unwrap()
                .iter()
                .all(|request| asked_with_token(request))
        );
        assert!(
            !asked_owner
                .join()
                .unwrap()
                .iter()
                .any(|request| asked_with_token(request))
        );
    }

    #[tokio::test]
    async fn the_same_host_gets_the_token_again() {
        let (owner, asked_owner) = server(vec![answer("204 No Content", "", "")]);
        let to = format!("location: {owner}/admin/v2/x\r\n");
        let (address, _) = server(vec![answer("307 Temporary Redirect", &to, "")]);
        let admin = Admin::new(&address, Some("secret"));
        admin.get("read the backlog", "x".into()).await.unwrap();
        assert!(asked_with_token(&asked_owner.join().unwrap()[0]));
    }

    #[tokio::test]
    async fn a_redirect_to_another_scheme_is_refused() {
        let (address, _) = server(vec![answer("302 Found", "location: ftp://127.0.0.1/x\r\n", "")]);
        let error = Admin::new(&address, Some("secret"))
            .get("read the backlog", "x".into())
            .await
            .unwrap_err();
        assert!(
            !error.is_transient() && error.to_string().contains("ftp://"),
            "{error}"
        );
    }

    #[test]
    fn redirects_keep_or_gain_encryption() {
        let hop = |from: &str, to: &str| next_hop(from, to).map(|(url, same)| (url.to_string(), same));
        assert_eq!(hop("https://a/x", "/y"), Ok(("https://a/y".into(), true)));
        assert_eq!(
            hop("http://a:8080/x", "https://a:8443/y"),
            Ok(("https://a:8443/y".into(), true))
        );
        assert_eq!(
            hop("https://a/x", "https://b/x"),
            Ok(("https://b/x".into(), false))
        );
        assert!(hop("https://a/x", "http://a/x").unwrap_err().contains("https"));
        assert!(hop("https://a/x", "http://[").is_err());
    }

    #[tokio::test]
    async fn an_api_in_trouble_may_be_asked_again() {
        let (address, _) = server(vec![answer("503 Service Unavailable", "", "starting")]);
        let error = Admin::new(&address, None)
            .get("read the backlog", "x".into())
            .await
            .unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("starting"),
            "{error}"
        );
        let error = Admin::new("http://127.0.0.1:1", None)
            .get("read the backlog", "x".into())
            .await
            .unwrap_err();
        assert!(
            error.is_transient() && error.to_string().contains("PULSAR_ADMIN_URL"),
            "{error}"
        );
    }
}
