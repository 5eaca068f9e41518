//! `rooknetctl attachments`.

use anyhow::Result;
use clap::Subcommand;

use super::exit::{Code, Refused};
use super::output::{self, Form, Output, cell};
use super::places::InspectedPlaces;
use crate::engine::collect::{Content, Listed};
use crate::inspect::upkeep::{self, Upkeep, Wanted};

/// List what is attached on this node, undo or forget single attachments
///
/// An attachment is the journal of one ADD: a pod's container with all its networks. Its end is the runtime's DEL; what
/// no DEL will end any more (its container is gone, and so is the runtime's memory of it) the agent collects. By hand:
///
///   rooknetctl attachments undo 4f0c9d
///
/// Exit code 4: refused, since the container may live.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    places: InspectedPlaces,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Undo an attachment as a DEL would: its interfaces and addresses go, and its journal
    Undo {
        #[command(flatten)]
        which: Which,
        /// Why, for the log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Also when the container may live: its pod loses its networks
        #[arg(long)]
        force: bool,
    },
    /// Remove an attachment's journal and undo nothing: interfaces and addresses that are still there stay for ever
    Forget {
        #[command(flatten)]
        which: Which,
        /// Why, for the log
        #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The container's id, or its beginning
    id: String,
    /// The pod's default interface (CNI_IFNAME), where a container has several attachments
    #[arg(long, value_name = "NAME")]
    ifname: Option<String>,
}

pub(super) async fn run(arguments: Arguments) -> Result<Code> {
    let upkeep = Upkeep::open(&arguments.places.into(), &caller())?;
    let (done, key) = match &arguments.action {
        None => {
            let listed = upkeep.list()?;
            match arguments.output.output {
                Form::Json => output::json(&listed)?,
                Form::Table => output::line(&table(&listed))?,
            }
            return Ok(Code::Done);
        }
        Some(Action::Undo { which, reason, force }) => {
            let wanted = Wanted { id: &which.id, ifname: which.ifname.as_deref(), reason, force: *force };
            ("undone", upkeep.undo(wanted).await.map_err(refused)?)
        }
        Some(Action::Forget { which, reason }) => {
            let wanted = Wanted { id: &which.id, ifname: which.ifname.as_deref(), reason, force: false };
            ("forgotten", upkeep.forget(wanted)?)
        }
    };
    match arguments.output.output {
        Form::Json => {
            output::json(&serde_json::json!({done: {"container": key.container_id, "interface": key.ifname}}))?
        }
        Form::Table => output::line(&format!("{done}: {} {}", cell(&key.container_id), cell(&key.ifname)))?,
    }
    Ok(Code::Done)
}

fn refused(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<upkeep::Refused>() {
        Ok(upkeep::Refused(reason)) => Refused(reason).into(),
        Err(error) => error,
    }
}

/// Who runs this, for the log: the person behind sudo, where there is one.
fn caller() -> String {
    let uid = nix::unistd::getuid();
    match std::env::var("SUDO_USER") {
        Ok(user) if !user.is_empty() => format!("user {user} (sudo, uid {uid})"),
        _ => format!("uid {uid}"),
    }
}

/// The attachments as a table, a line for each network.
pub(super) fn table(listed: &[Listed]) -> String {
    let mut table = output::table(["POD", "NETWORK", "INTERFACE", "ADDRESSES", "CONTAINER", "STATE"]);
    for listed in listed {
        let container = cell(&listed.container.chars().take(13).collect::<String>());
        let state = state(listed).to_owned();
        match &listed.content {
            Content::Unreadable(_) => {
                let (pod, network) = ("?".to_owned(), "?".to_owned());
                table.add_row([pod, network, cell(&listed.interface), "?".to_owned(), container, state]);
            }
            Content::Readable(essentials) => {
                for attachment in &essentials.attachments {
                    table.add_row([
                        cell(if essentials.pod.is_empty() { "-" } else { &essentials.pod }),
                        cell(&attachment.network),
                        cell(&attachment.interface),
                        cell(&attachment.addresses.join(" ")),
                        container.clone(),
                        state.clone(),
                    ]);
                }
            }
        }
    }
    table.to_string()
}

/// What state an attachment is in, in a word.
fn state(listed: &Listed) -> &'static str {
    match &listed.content {
        Content::Unreadable(_) => "unreadable",
        Content::Readable(_) if listed.failed => "undo failed",
        Content::Readable(essentials) if !essentials.complete => "unfinished",
        Content::Readable(essentials) if !essentials.this_boot => "before reboot",
        Content::Readable(_) => "attached",
    }
}
