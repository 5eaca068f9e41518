//! The multi-network standard v1.3, row by row: each test is named by the section that it holds the plugin to.
//!
//! Left out is what needs an API server: network-status (5) and IPAMClaim objects (8; the reference is passed on, see
//! 4.1.2.1.11).

mod capabilities;
mod default_route;
mod definitions;
mod delegation;
mod isolation;
mod selection;
