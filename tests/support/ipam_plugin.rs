//! Our host-local and static as an executable plugin: the same environment and stdin as the reference's, so that a test
//! runs both in the same way.
//!
//! `ROOKNET_TEST_KNOWN` is what a journal would know: for ADD anything means that the owner holds nothing; for DEL and
//! CHECK it is the addresses, with commas.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::exit,
    reason = "a test program: it shall stop at what it did not expect"
)]

use std::env;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::process::exit;
use std::time::Duration;

use rooknet::cni::args::Args;
use rooknet::cni::result::CniResult;
use rooknet::cni::{Error, Object, Version};
use rooknet::plugins::ipam::{Answer, host_local, static_addresses};
use rooknet::state::deadline::Deadline;
use rooknet::state::host_local::Owner;

fn main() {
    let mut stdin = String::new();
    io::stdin().read_to_string(&mut stdin).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (text, status) = match runtime.block_on(run(&stdin)) {
        Ok(text) => (text, 0),
        Err(error) => (error.to_json(Version::NEWEST), 1),
    };
    io::stdout().write_all(text.as_bytes()).unwrap();
    exit(status);
}

async fn run(stdin: &str) -> Result<String, Error> {
    let config = Object::parse("stdin", stdin)?;
    let args = Args::parse(&env::var("CNI_ARGS").unwrap_or_default())?;
    let command = env::var("CNI_COMMAND").unwrap();
    let version: Version = config.text("cniVersion")?.parse()?;
    let answer = match config.object("ipam")?.unwrap_or_default().text("type")?.as_str() {
        "static" => fixed(&command, &config, &args)?,
        _ => ranges(&command, &config, &args).await?,
    };
    let Some(answer) = answer else { return Ok(String::new()) };
    Ok(answer.to_result(version)?.to_raw()?.get().to_owned())
}

fn fixed(command: &str, config: &Object, args: &Args) -> Result<Option<Answer>, Error> {
    let parsed = static_addresses::Config::parse(config, args);
    match command {
        "ADD" => Ok(Some(parsed?.answer())),
        "CHECK" => {
            let previous = config.get("prevResult").ok_or_else(|| Error::config("prevResult is missing"))?;
            parsed?.check(&CniResult::parse("prevResult", previous.get(), Version::NEWEST)?)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

async fn ranges(command: &str, config: &Object, args: &Args) -> Result<Option<Answer>, Error> {
    let config = host_local::Config::parse(config, args)?;
    let (container_id, ifname) = (env::var("CNI_CONTAINERID").unwrap(), env::var("CNI_IFNAME").unwrap());
    let owner = Owner { container_id: &container_id, ifname: &ifname };
    let known = env::var("ROOKNET_TEST_KNOWN").ok();
    let addresses: Vec<IpAddr> =
        known.iter().flat_map(|known| known.split(',')).filter_map(|ip| ip.parse().ok()).collect();
    let deadline = Deadline::without_signals(Duration::from_secs(60));
    match command {
        "ADD" => return host_local::allocate(&config, owner, known.is_some(), &deadline).await.map(Some),
        "CHECK" => host_local::check(&config, owner, &addresses, &deadline).await?,
        "DEL" => drop(host_local::release(&config, owner, &addresses, &deadline).await?),
        other => panic!("no command {other}"),
    }
    Ok(None)
}
