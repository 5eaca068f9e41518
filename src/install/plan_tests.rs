use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::install::Runtime;
use crate::state::testing::{Directory, block_on};

fn options(directory: &Path, caller: Caller) -> Options {
    let place = |name: &str| -> PathBuf { directory.join(name) };
    Options {
        mode: Mode::Chained,
        primary: None,
        plugin: None,
        bin_dir: place("bin"),
        conf_dir: place("conf"),
        config_dir: place("config"),
        state_dir: place("state"),
        run_dir: place("run"),
        log_file: place("log"),
        kubeconfig: None,
        node_name: None,
        keys: Vec::new(),
        replace_multus: false,
        runtime: Runtime::NotAsked,
        patience: Duration::from_secs(1),
        caller,
        dry_run: false,
    }
}

/// Whether `caller` would install where the installation of the agent "first" is in `state`.
fn would_install(state: State, caller: Caller) -> bool {
    let directory = Directory::new();
    let kept = options(directory.path(), Caller::Agent("first".to_owned()));
    block_on(async {
        let Ok(Decision::Do(plan)) = make(&kept).await else { panic!("a first install was not planned") };
        installation::write(&kept.config_dir, &Record { state, ..plan.record }).unwrap();
        matches!(make(&Options { caller, ..kept }).await.unwrap(), Decision::Do(_))
    })
}

#[test]
fn an_agent_does_not_undo_an_uninstall_of_its_own_and_a_later_deployment_or_a_person_installs_again() {
    let agent = |name: &str| Caller::Agent(name.to_owned());
    for state in [State::Uninstalling, State::Uninstalled] {
        assert!(!would_install(state, agent("first")));
        // It may be the first, whose API server does not answer.
        assert!(!would_install(state, agent("")));
        assert!(would_install(state, agent("second")));
        assert!(would_install(state, Caller::Person));
    }
    assert!(would_install(State::Installed, agent("first")));
    assert!(would_install(State::Installed, agent("")));
}
