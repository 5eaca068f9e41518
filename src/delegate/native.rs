//! A plugin of this process, with its IPAM: of this process too, or an executable.
//!
//! An executed IPAM plugin gets what it would get from the executed main plugin: the whole configuration, and the
//! variables of the main plugin's own call (specification, section 4, "Plugin Delegation").

use std::net::IpAddr;

use super::chain::{has_check, run};
use super::failure::{Call, Failure};
use super::{Context, Ground, answer};
use crate::cni::network::Network;
use crate::cni::request::Command;
use crate::cni::result::CniResult;
use crate::cni::{Code, Error, Object};
use crate::kernel::netlink::Link;
use crate::plugins::ipam::{Answer, host_local};
use crate::plugins::{Ipam, Native, Site};
use crate::state::fault;
use crate::state::host_local::Owner;

/// One run of a plugin of this process.
pub(super) struct Run<'a> {
    pub(super) native: &'a Native,
    pub(super) network: &'a Network,
    pub(super) call: &'a Call,
    pub(super) context: &'a Context<'a>,
    /// What the executed plugin would read: made only for an executed IPAM plugin, which reads it too.
    pub(super) input: &'a dyn Fn() -> Result<Object, Error>,
}

impl Run<'_> {
    /// ADD: the link in the pod, its addresses, the result in the network's version. A failure leaves what was made.
    pub(super) async fn add(&self, previous: Option<&CniResult>) -> Result<(CniResult, Link), Failure> {
        let site = self.site()?;
        let own = |error| self.failed(error);
        let created = self.native.main.create(&site, previous).await.map_err(own)?;
        fault::point("native.created");
        let answer = self.addresses().await?;
        fault::point("native.addressed");
        let result = self.native.main.configure(&site, &created, answer, previous).await.map_err(own)?;
        fault::point("native.configured");
        Ok((result.convert(self.network.version).map_err(own)?, created.link))
    }

    async fn addresses(&self) -> Result<Option<Answer>, Failure> {
        let own = |error| self.failed(error);
        Ok(match &self.native.ipam {
            Ipam::None => None,
            Ipam::Static(config) => Some(config.answer()),
            // Whoever calls for an ADD has looked for a journal of it, which is kept as long as there is an address.
            Ipam::HostLocal(config) => {
                Some(host_local::allocate(config, self.owner(), true, self.context.deadline).await.map_err(own)?)
            }
            Ipam::Executed(type_name) => {
                let call = self.ipam_call(type_name, Command::Add);
                let finished = run(&call, self.context, (self.input)()).await?;
                let result = answer::result(&call, finished, self.network.version)?;
                Some(Answer::try_from(&result).map_err(own)?)
            }
        })
    }

    /// The part of a DEL after the link is gone: its addresses. `known` are all that it has; empty when that is not
    /// known.
    pub(super) async fn release(&self, known: &[IpAddr]) -> Result<(), Failure> {
        match &self.native.ipam {
            Ipam::None | Ipam::Static(_) => Ok(()),
            Ipam::HostLocal(config) => host_local::release(config, self.owner(), known, self.context.deadline)
                .await
                .map(drop)
                .map_err(|error| self.failed(error)),
            Ipam::Executed(type_name) => self.execute_ipam(type_name, Command::Del).await,
        }
    }

    /// CHECK: addresses first, as the reference does.
    pub(super) async fn check(&self, previous: &CniResult, known: &[IpAddr]) -> Result<(), Failure> {
        let own = |error| self.failed(error);
        match &self.native.ipam {
            Ipam::None => {}
            Ipam::Static(config) => config.check(previous).map_err(own)?,
            Ipam::HostLocal(config) => {
                host_local::check(config, self.owner(), known, self.context.deadline).await.map_err(own)?;
            }
            Ipam::Executed(type_name) if has_check(type_name) => self.execute_ipam(type_name, Command::Check).await?,
            Ipam::Executed(_) => {}
        }
        self.native.main.check(&self.site()?, previous).await.map_err(own)
    }

    /// GC: an address without a journal is never freed here, and a journal is undone by whoever keeps it. So only an
    /// executed IPAM plugin has something to collect.
    pub(super) async fn gc(&self) -> Result<(), Failure> {
        match &self.native.ipam {
            Ipam::Executed(type_name) => self.execute_ipam(type_name, Command::Gc).await,
            _ => Ok(()),
        }
    }

    /// STATUS: what would make the next ADD fail, each as a sentence.
    pub(super) async fn status(&self) -> Result<Vec<String>, Failure> {
        let mut findings = Vec::new();
        if let Some(Ground { node, .. }) = self.context.ground {
            findings.extend(self.native.main.status(node).await.map_err(|error| self.failed(error))?);
        }
        match &self.native.ipam {
            Ipam::HostLocal(config) => {
                findings.extend(host_local::status(config).iter().map(ToString::to_string));
            }
            Ipam::Executed(type_name) => self.execute_ipam(type_name, Command::Status).await?,
            Ipam::None | Ipam::Static(_) => {}
        }
        Ok(findings)
    }

    async fn execute_ipam(&self, type_name: &str, command: Command) -> Result<(), Failure> {
        let call = self.ipam_call(type_name, command);
        answer::done(&call, run(&call, self.context, (self.input)()).await?)
    }

    fn ipam_call(&self, type_name: &str, command: Command) -> Call {
        Call { plugin: type_name.to_owned(), command, ..self.call.clone() }
    }

    fn owner(&self) -> Owner<'_> {
        Owner { container_id: self.context.container_id, ifname: self.context.ifname }
    }

    fn site(&self) -> Result<Site<'_>, Failure> {
        let Some(Ground { node, pod: Some((netns, pod)), group, conflict_probe }) = self.context.ground else {
            return Err(self.failed(Error::new(Code::INTERNAL, "it was called without the pod's network namespace")));
        };
        Ok(Site {
            container_id: self.context.container_id,
            ifname: self.context.ifname,
            sandbox: self.context.netns,
            node,
            netns,
            pod,
            group,
            conflict_probe,
            deadline: self.context.deadline,
        })
    }

    fn failed(&self, error: Error) -> Failure {
        failed(self.call, self.context, error)
    }
}

/// The failure of a plugin of this process.
pub(super) fn failed(call: &Call, context: &Context<'_>, error: Error) -> Failure {
    Failure::Native {
        call: Box::new(call.clone()),
        error: Box::new(error),
        interrupted: context.deadline.passed().is_some(),
    }
}
