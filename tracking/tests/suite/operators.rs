//! The operators' commands on real servers.

mod database;
mod dead_letters;
mod events;
mod produce;
mod trouble;
mod verify;
