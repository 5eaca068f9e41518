//! The floor `delegate`, called as the engine calls it, with a stub plugin that records its calls.

mod bench;
mod chain;
mod exec;
mod faults;
mod stub_plugin;
