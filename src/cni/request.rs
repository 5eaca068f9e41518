//! What a runtime says in the environment.
//!
//! A command reads only the variables that the specification gives it (section 2, "CNI operations"): what a GC or a
//! STATUS inherits by accident must not make it fail.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::args::Args;
use super::text::{printable_bytes, quoted, shortened};
use super::{Code, Error, names};

/// CNI_COMMAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach the container.
    Add,
    /// Undo the attachment.
    Del,
    /// Check that the attachment is as ADD left it.
    Check,
    /// Remove what belongs to no valid attachment.
    Gc,
    /// Whether an ADD could be served.
    Status,
    /// The versions of the specification that are spoken.
    Version,
}

impl Command {
    /// Every command.
    pub const ALL: [Command; 6] =
        [Command::Add, Command::Del, Command::Check, Command::Gc, Command::Status, Command::Version];

    /// As in CNI_COMMAND.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Gc => "GC",
            Command::Status => "STATUS",
            Command::Version => "VERSION",
        }
    }

    /// Whether the command is about one attachment: it has a container, an interface and arguments.
    fn has_attachment(self) -> bool {
        matches!(self, Command::Add | Command::Del | Command::Check)
    }
}

impl FromStr for Command {
    type Err = Error;

    /// Reads CNI_COMMAND; upper case only, as in the reference implementation (`pkg/skel/skel.go`).
    ///
    /// # Errors
    /// Code 4 for anything else, the empty text included.
    fn from_str(text: &str) -> Result<Self, Error> {
        Command::ALL.into_iter().find(|command| command.as_str() == text).ok_or_else(|| {
            Error::environment(format!(
                "CNI_COMMAND {} is not one of {}",
                quoted(text),
                Command::ALL.map(Command::as_str).join(", ")
            ))
        })
    }
}

/// The environment of a call, checked. Empty texts stand for what the command does not need.
#[derive(Clone, Debug)]
pub struct Environment {
    /// CNI_CONTAINERID; empty for GC, STATUS and VERSION.
    pub container_id: String,
    /// CNI_NETNS, a path; on DEL it may be empty, for GC, STATUS and VERSION it is.
    pub netns: String,
    /// CNI_IFNAME; empty for GC, STATUS and VERSION.
    pub ifname: String,
    /// CNI_ARGS; empty for GC, STATUS and VERSION.
    pub args: Args,
    /// CNI_PATH, split at `:`, without empty entries; only for VERSION it may be empty. An entry may be relative to
    /// the working directory of the call: libcni allows it and cnitool's manual uses `CNI_PATH=./bin`. The variable
    /// is the runtime's own, so that is no gain for an attacker; whoever executes from it makes it absolute first.
    pub path: Vec<PathBuf>,
    /// TRACEPARENT, TRACESTATE and BAGGAGE as given: passed on to delegates.
    pub trace: Vec<(&'static str, OsString)>,
}

impl Environment {
    /// Reads and checks what `command` needs through `lookup` (the process's environment in production). An empty
    /// variable counts as absent.
    ///
    /// # Errors
    /// Code 4, naming every missing variable, or the first invalid one and its value.
    pub fn read(command: Command, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            Command::Gc | Command::Status => &["CNI_PATH"],
            Command::Version => &[],
        };
        let missing: Vec<&str> = required.iter().copied().filter(|name| get(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(Error::environment(format!(
                "{} not set: {} needs {}",
                are(&missing),
                command.as_str(),
                required.join(", ")
            )));
        }

        let attachment_text = |name| if command.has_attachment() { text(name, get(name)) } else { Ok(String::new()) };
        let environment = Environment {
            container_id: attachment_text("CNI_CONTAINERID")?,
            netns: attachment_text("CNI_NETNS")?,
            ifname: attachment_text("CNI_IFNAME")?,
            args: Args::parse(&attachment_text("CNI_ARGS")?)?,
            path: if command == Command::Version {
                Vec::new()
            } else {
                search_path(text("CNI_PATH", get("CNI_PATH"))?)?
            },
            trace: ["TRACEPARENT", "TRACESTATE", "BAGGAGE"]
                .into_iter()
                .filter_map(|name| get(name).map(|value| (name, value)))
                .collect(),
        };
        if command.has_attachment() {
            names::container_id(&environment.container_id)?;
            names::interface(&environment.ifname)
                .map_err(|error| Error::new(Code::INVALID_ENVIRONMENT, format!("CNI_IFNAME {}", error.message)))?;
        }
        Ok(environment)
    }
}

/// `A is`, `A and B are`, `A, B and C are`.
fn are(names: &[&str]) -> String {
    match names {
        [] => "nothing is".to_owned(),
        [one] => format!("{one} is"),
        [first @ .., last] => format!("{} and {last} are", first.join(", ")),
    }
}

/// A variable as text; absent is empty.
fn text(name: &str, value: Option<OsString>) -> Result<String, Error> {
    value.unwrap_or_default().into_string().map_err(|value| {
        let shown = shortened(&printable_bytes(value.as_encoded_bytes()));
        Error::environment(format!("{name} has the value \"{shown}\", which is not UTF-8"))
    })
}

/// The directories of CNI_PATH, in order.
fn search_path(text: String) -> Result<Vec<PathBuf>, Error> {
    let path: Vec<PathBuf> = env::split_paths(&text).filter(|entry| !entry.as_os_str().is_empty()).collect();
    if path.is_empty() {
        return Err(Error::environment(format!("CNI_PATH {} names no directory", quoted(&text))));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(command: Command, variables: &[(&str, &str)]) -> Result<Environment, Error> {
        Environment::read(command, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    const ALL: [(&str, &str); 5] = [
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/a"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin:/usr/lib/cni"),
        ("CNI_ARGS", "K8S_POD_NAME=osd-0"),
    ];

    fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        ALL.into_iter().filter(|(key, _)| *key != name).chain([(name, value)]).collect()
    }

    #[test]
    fn commands_are_upper_case_words() {
        for command in Command::ALL {
            assert_eq!(command.as_str().parse::<Command>().unwrap(), command);
        }
        for bad in ["", "add", "ADD ", "UPDATE", "A\nDD"] {
            let error = bad.parse::<Command>().unwrap_err();
            assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
            assert!(error.message.starts_with("CNI_COMMAND \"") && !error.message.contains('\n'));
        }
    }

    #[test]
    fn an_add_reads_all_of_the_environment() {
        let environment = read(Command::Add, &ALL).unwrap();
        assert_eq!(environment.container_id, "c1");
        assert_eq!(environment.netns, "/run/netns/a");
        assert_eq!(environment.ifname, "eth0");
        assert_eq!(environment.args.get("K8S_POD_NAME"), Some("osd-0"));
        assert_eq!(environment.path, [PathBuf::from("/opt/cni/bin"), PathBuf::from("/usr/lib/cni")]);
        assert!(environment.trace.is_empty());
    }

    #[test]
    fn all_missing_variables_are_named_in_one_error() {
        let error = read(Command::Add, &[("CNI_IFNAME", "eth0"), ("CNI_PATH", "")]).unwrap_err();
        assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
        assert_eq!(
            error.message,
            "CNI_CONTAINERID, CNI_NETNS and CNI_PATH are not set: ADD needs CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, \
             CNI_PATH"
        );
        let error = read(Command::Status, &[]).unwrap_err();
        assert_eq!(error.message, "CNI_PATH is not set: STATUS needs CNI_PATH");
    }

    #[test]
    fn case_06_a_del_needs_no_netns() {
        let environment = read(Command::Del, &with("CNI_NETNS", "")).unwrap();
        assert_eq!(environment.netns, "");
        assert!(read(Command::Check, &with("CNI_NETNS", "")).is_err());
    }

    #[test]
    fn gc_and_status_need_and_read_only_the_path() {
        for command in [Command::Gc, Command::Status] {
            let variables = [
                ("CNI_PATH", "/bin"),
                ("CNI_CONTAINERID", "../x"),
                ("CNI_IFNAME", "a/b"),
                ("CNI_ARGS", "nonsense"),
                ("CNI_NETNS", "/x"),
            ];
            let environment = read(command, &variables).unwrap();
            assert_eq!((environment.container_id.as_str(), environment.netns.as_str()), ("", ""));
            assert_eq!((environment.ifname.as_str(), environment.args), ("", Args::default()));
        }
    }

    #[test]
    fn version_needs_nothing() {
        assert!(read(Command::Version, &[]).unwrap().path.is_empty());
    }

    #[test]
    fn invalid_names_are_code_4_and_name_the_variable() {
        for (name, value) in [
            ("CNI_CONTAINERID", "../../etc"),
            ("CNI_IFNAME", "net%d"),
            ("CNI_IFNAME", "sixteen--letters"),
            ("CNI_ARGS", "x"),
            ("CNI_PATH", "::"),
        ] {
            let error = read(Command::Del, &with(name, value)).unwrap_err();
            assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
            assert!(error.message.starts_with(name), "{}", error.message);
        }
    }

    #[test]
    fn a_value_that_is_not_utf8_is_code_4_and_names_the_variable() {
        for bad in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"] {
            let error = Environment::read(Command::Add, |name| {
                let value = ALL.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes().to_vec());
                value.map(|bytes| {
                    OsString::from_vec(if name == bad { [&bytes, &b"\xff\n"[..]].concat() } else { bytes })
                })
            })
            .unwrap_err();
            assert_eq!(error.code, Code::INVALID_ENVIRONMENT);
            assert!(error.message.starts_with(bad) && error.message.contains("\\xff\\n"), "{}", error.message);
        }
    }

    #[test]
    fn empty_entries_of_the_path_are_dropped_and_relative_ones_stay() {
        let environment = read(Command::Gc, &[("CNI_PATH", ":/a::./bin:")]).unwrap();
        assert_eq!(environment.path, [PathBuf::from("/a"), PathBuf::from("./bin")]);
    }

    #[test]
    fn trace_context_is_kept_for_delegates() {
        let variables = [("CNI_PATH", "/a"), ("TRACEPARENT", "00-1"), ("BAGGAGE", "k=v"), ("TRACESTATE", "")];
        let environment = read(Command::Gc, &variables).unwrap();
        assert_eq!(environment.trace, [("TRACEPARENT", OsString::from("00-1")), ("BAGGAGE", OsString::from("k=v"))]);
    }
}
