//! Which of the broker's answers waiting may mend, and which it does not.

use crate::QueueError;
use pulsar::message::proto::ServerError;

/// The broker cannot be had now.
pub(super) fn unavailable(action: &'static str, reason: String) -> QueueError {
    QueueError::Unavailable { action, reason }
}

/// The remedy for what `migrate` should have made.
pub(super) const MIGRATE: &str = "run `tracking migrate`, which makes it";

/// An error answer of the broker.
pub(super) fn refusal(action: &'static str, code: i32, message: &str) -> QueueError {
    use ServerError as E;
    let code = ServerError::try_from(code).unwrap_or(E::UnknownError);
    let remedy = match code {
        E::AuthenticationError => "check PULSAR_TOKEN",
        E::AuthorizationError => "give PULSAR_TOKEN's role the right to produce and consume",
        E::TopicNotFound | E::SubscriptionNotFound => MIGRATE,
        E::InvalidTopicName => "check the topic's name",
        E::UnsupportedVersionError
        | E::TopicTerminatedError
        | E::IncompatibleSchema
        | E::NotAllowedError
        | E::ConsumerAssignError => "the broker will not have it as it is",
        _ => return unavailable(action, format!("{}: {message}", code.as_str_name())),
    };
    QueueError::Refused {
        action,
        reason: format!("{}: {message}: {remedy}", code.as_str_name()),
    }
}

/// An error of the `pulsar` crate's producer.
pub(super) fn of_client(action: &'static str, error: &pulsar::Error) -> QueueError {
    use pulsar::Error;
    use pulsar::error::{ConnectionError, ProducerError, ServiceDiscoveryError};
    let answered = match error {
        Error::Connection(ConnectionError::PulsarError(Some(code), message))
        | Error::Producer(ProducerError::Connection(ConnectionError::PulsarError(Some(code), message)))
        | Error::ServiceDiscovery(ServiceDiscoveryError::Query(Some(code), message)) => {
            Some((*code, message))
        }
        _ => None,
    };
    match answered {
        Some((code, message)) => refusal(action, code as i32, message.as_deref().unwrap_or_default()),
        None => unavailable(action, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_migrate_makes_is_refused_with_the_remedy_and_a_busy_broker_is_waited_for() {
        let missing = refusal("subscribe", ServerError::TopicNotFound as i32, "no such topic");
        assert!(
            !missing.is_transient() && missing.to_string().contains("tracking migrate"),
            "{missing}"
        );
        let rights = refusal("subscribe", ServerError::AuthorizationError as i32, "no");
        assert!(
            !rights.is_transient() && rights.to_string().contains("PULSAR_TOKEN"),
            "{rights}"
        );
        for code in [
            ServerError::ServiceNotReady as i32,
            ServerError::ConsumerBusy as i32,
            12345,
        ] {
            assert!(refusal("subscribe", code, "later").is_transient());
        }
    }
}
