//! The rounds of [`super::masters`]: links of running pods whose master vanished and came back.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::Shared;
use super::events::Item;
use super::finding::tell;
use super::known;
use super::masters::{self, Inputs, Report};
use super::metrics::KindLabels;
use super::rounds::Rounds;

/// A pod without its storage network is waited for by others: sooner than the other repairs.
const ROUNDS: Rounds = Rounds { name: "masters", period: Duration::from_secs(10), limit: Duration::from_secs(120) };

/// The loop.
pub(super) async fn run(shared: Rc<Shared>) {
    let said = RefCell::new(Vec::new());
    let round = async || -> Result<()> {
        let known = known::read(&shared.options.run_dir).await?;
        let (state_dir, run_dir) = (&shared.options.state_dir, &shared.options.run_dir);
        let report = masters::round(&Inputs { state_dir, run_dir, definitions: &known.definitions }).await;
        told(&shared, &report);
        tell(ROUNDS.name, &report.findings, &mut said.borrow_mut(), &shared.metrics);
        Ok(())
    };
    ROUNDS.run(&shared, round, std::future::pending).await;
}

/// Counts what was made, and tells the pods' events of it.
fn told(shared: &Shared, report: &Report) {
    for remade in &report.remade {
        shared.metrics.repairs.get_or_create(&KindLabels { kind: "link" }).inc();
        let Some((namespace, name)) = remade.pod.split_once('/') else { continue };
        shared.events.add(Item {
            pod: (namespace.to_owned(), name.to_owned()),
            uid: shared.pods.uid_of(namespace, name),
            is_warning: true,
            reason: "InterfaceMadeAgain",
            message: remade.text(),
        });
    }
}
