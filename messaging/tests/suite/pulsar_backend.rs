//! The conformance suite, run against Pulsar: a topic that is not partitioned, and one of three partitions.

use crate::conformance;
use crate::harness::Deployment;

macro_rules! conforms {
    ($($test:ident),+ $(,)?) => {
        mod not_partitioned {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let deployment = super::Deployment::prepared(0).await;
                super::conformance::$test(&deployment.queue()).await;
            })+
        }
        mod partitioned {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let deployment = super::Deployment::prepared(3).await;
                super::conformance::$test(&deployment.queue()).await;
            })+
        }
    };
}

conforms!(
    what_is_settled_does_not_come_again,
    what_is_not_settled_comes_again,
    a_source_that_vanishes_leaves_its_messages,
    keys_keep_their_order_over_two_sources,
    a_slow_receiver_is_bounded_and_its_settled_messages_go,
    a_drain_acknowledges_what_was_taken_and_leaves_the_rest,
    next_loses_nothing_when_it_is_dropped,
);
