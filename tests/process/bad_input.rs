//! Malformed input of every kind: one error object with the right code and words that help, and nothing is attached.
//!
//! Each table's row says what is wrong, which code that must give, and what the message must contain: what, where and
//! what would be right. [`Fixture::refused`] checks the rest: one document, exit status 1, no panic, nothing left.
//! With `--nocapture` every message is printed, to be read as somebody reads it who has to do something about it.

mod annotation;
mod answers;
mod configuration;
mod environment;
mod networks;
mod size;
