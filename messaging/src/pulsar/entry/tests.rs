//! Tests of opening entries.
