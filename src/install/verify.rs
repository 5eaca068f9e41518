//! What the runtime has really loaded, asked until it is what was written, or the time is up.

use std::time::Duration;

use super::{Finding, Kind, Options, Report, Runtime, Severity};
use crate::cni::names::OWN_TYPE;
use crate::cni::text::{printable, printable_path, quoted};
use crate::runtime::{Cri, Loaded, SOCKETS, Status};
use crate::state::deadline::Deadline;
use crate::state::installation::Record;

/// Between two questions. A runtime loads what was written within milliseconds.
const PAUSE: Duration = Duration::from_millis(100);

/// The runtime to ask; `None` when none is to be asked, or none is there.
pub(super) fn runtime(runtime: &Runtime) -> Option<Cri> {
    match runtime {
        Runtime::NotAsked => None,
        Runtime::Usual => Cri::usual(),
        Runtime::Socket(socket) => Some(Cri::new(socket)),
    }
}

/// Asks until the runtime has loaded our conflist `text`, and puts what it says into the report.
pub(super) async fn run(options: &Options, record: &Record, text: &str, report: &mut Report) {
    if options.runtime == Runtime::NotAsked {
        report.findings.push(Finding {
            kind: Kind::NotVerified,
            severity: Severity::Notice,
            text: "the runtime was not asked what it has loaded".to_owned(),
            cure: "leave --no-verify-runtime out where the runtime runs".to_owned(),
        });
        return;
    }
    let Some(cri) = runtime(&options.runtime) else {
        report.findings.push(Finding {
            kind: Kind::NotVerified,
            severity: Severity::Error,
            text: format!("no container runtime listens at {}: what it loads is not known", SOCKETS.join(" or ")),
            cure: "name its socket by --runtime-socket, or install with --no-verify-runtime".to_owned(),
        });
        return;
    };
    let deadline = Deadline::without_signals(options.patience);
    let outcome = wait(&cri, &deadline, |status| judge(options, record, text, status)).await;
    report.runtime = cri.version(&Deadline::without_signals(PAUSE.saturating_mul(20))).await.ok();
    match outcome {
        Ok(status) => report.findings.extend(about(&status)),
        Err(finding) => report.findings.push(finding),
    }
}

/// Asks until `judge` finds nothing more.
pub(super) async fn wait(
    cri: &Cri,
    deadline: &Deadline,
    judge: impl Fn(&Status) -> Option<Finding>,
) -> Result<Status, Finding> {
    loop {
        let finding = match cri.status(&Deadline::without_signals(ANSWER_PATIENCE)).await {
            Ok(status) => match judge(&status) {
                None => return Ok(status),
                Some(finding) => finding,
            },
            Err(error) => Finding {
                kind: Kind::NotVerified,
                severity: Severity::Error,
                text: error.to_string(),
                cure: "start the runtime, or name its socket by --runtime-socket".to_owned(),
            },
        };
        if deadline.passed().is_some() || deadline.within(tokio::time::sleep(PAUSE)).await.is_err() {
            return Err(finding);
        }
    }
}

/// How long one answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong with what the runtime has loaded.
fn judge(options: &Options, record: &Record, text: &str, status: &Status) -> Option<Finding> {
    let wrong = |text: String, cure: &str| {
        Some(Finding { kind: Kind::NotLoaded, severity: Severity::Error, text, cure: cure.to_owned() })
    };
    let Some(loaded) = &status.loaded else {
        if status.network_ready {
            return None;
        }
        return wrong(
            format!("the runtime says that its network is not ready: {}", status.network_message),
            "see the runtime's log",
        );
    };
    if let Some(finding) = places(options, loaded) {
        return Some(finding);
    }
    if let Some(error) = &status.load_error {
        return wrong(
            format!("the runtime could not load the configurations of {}: {error}", printable_path(&record.conf_dir)),
            "mend what it names; if it names nothing that is there, restart the runtime",
        );
    }
    let Some(network) = loaded.default_network() else {
        return wrong(
            format!("the runtime has loaded nothing from {}", printable_path(&record.conf_dir)),
            "restart the runtime: it has lost sight of the directory",
        );
    };
    if !network.types.iter().any(|type_name| type_name == OWN_TYPE) {
        return wrong(
            format!(
                "the runtime has loaded the network {} with the plugins {}, without rooknet: pods would run without the \
                 networks that they select",
                quoted(&network.name),
                printable(&network.types.join(", "))
            ),
            "restart the runtime: it has lost sight of the directory, or is set to another network",
        );
    }
    if network.source != text {
        return wrong(
            format!("the runtime has loaded an earlier content of {}", printable(&record.conflist)),
            "restart the runtime: it has lost sight of the directory",
        );
    }
    None
}

/// Whether the runtime looks where rooknet is.
fn places(options: &Options, loaded: &Loaded) -> Option<Finding> {
    let is_empty = |path: &std::path::Path| path.as_os_str().is_empty();
    if !is_empty(&loaded.conf_dir) && loaded.conf_dir != options.conf_dir && !same(&loaded.conf_dir, &options.conf_dir)
    {
        return Some(Finding {
            kind: Kind::NotLoaded,
            severity: Severity::Error,
            text: format!(
                "the runtime reads its configurations from {}, and ours is in {}",
                printable_path(&loaded.conf_dir),
                printable_path(&options.conf_dir)
            ),
            cure: "uninstall, and install with the runtime's directory as --conf-dir, or with --preset".to_owned(),
        });
    }
    let searches =
        loaded.bin_dirs.iter().any(|directory| directory == &options.bin_dir || same(directory, &options.bin_dir));
    if loaded.bin_dirs.is_empty() || searches {
        return None;
    }
    let directories: Vec<String> = loaded.bin_dirs.iter().map(|directory| printable_path(directory)).collect();
    Some(Finding {
        kind: Kind::NotLoaded,
        severity: Severity::Error,
        text: format!(
            "the runtime searches plugins in {}, and rooknet is in {}",
            directories.join(" and "),
            printable_path(&options.bin_dir)
        ),
        cure: "uninstall, and install with the runtime's directory as --bin-dir, or with --preset".to_owned(),
    })
}

/// Whether two paths lead to one directory.
fn same(one: &std::path::Path, other: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| path.canonicalize().ok();
    real(one).is_some_and(|path| Some(path) == real(other))
}

/// What the administrator should know of a runtime that has loaded ours.
fn about(status: &Status) -> Vec<Finding> {
    let Some(loaded) = &status.loaded else {
        return vec![Finding {
            kind: Kind::NotVerified,
            severity: Severity::Notice,
            text: "the runtime says that its network is ready, and does not tell which configuration it has loaded"
                .to_owned(),
            cure: "its log names the configuration".to_owned(),
        }];
    };
    if loaded.max_configurations == 1 {
        return Vec::new();
    }
    let how_many = match loaded.max_configurations {
        0 => "all configurations".to_owned(),
        number => format!("up to {number} configurations"),
    };
    vec![Finding {
        kind: Kind::ManyConfigurations,
        severity: Severity::Warning,
        text: format!(
            "the runtime loads {how_many} (max_conf_num), {} now: each pod gets the primary network once from our \
             conflist and once from its own file",
            loaded.networks.len()
        ),
        cure: "set max_conf_num = 1 in containerd's configuration, in the section of the CRI's cni, and restart it"
            .to_owned(),
    }]
}

/// Why the runtime may still call rooknet.
pub(super) fn still_loaded(status: &Status) -> Option<Finding> {
    let wrong = |text: String| {
        Some(Finding {
            kind: Kind::NotLoaded,
            severity: Severity::Error,
            text,
            cure: "see the runtime's log, restart it, and uninstall again".to_owned(),
        })
    };
    let Some(loaded) = &status.loaded else {
        return if status.network_ready { None } else { wrong(status.network_message.clone()) };
    };
    if let Some(error) = &status.load_error {
        return wrong(format!("it could not load another configuration: {error}"));
    }
    let ours = loaded.networks.iter().find(|network| network.types.iter().any(|name| name == OWN_TYPE));
    match (ours, loaded.default_network()) {
        (Some(network), _) => {
            wrong(format!("it still has rooknet's conflist of network {} loaded", quoted(&network.name)))
        }
        (None, None) => wrong("it has loaded no network".to_owned()),
        (None, Some(_)) => None,
    }
}
