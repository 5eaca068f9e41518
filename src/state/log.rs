//! The log: one record, one line, one write.
//!
//! Many rooknet processes write to one file at once and are killed at any instruction. So a record is one write(2) to
//! a file that was opened for appending: lines never mix, and there is nothing to flush. Most of what is logged comes
//! from others (pods, plugins, the API server): everything is printable, and bounded.
//!
//! The log never decides about a call. What cannot be written is lost, a file that cannot be opened is one note on
//! stderr. And it never writes to stdout: that belongs to the runtime.
//!
//! ```text
//! 2026-03-01T12:00:00.123Z info container=4f0c pod=rook-ceph/osd-0 network=public interface=net1 msg="attached in 12 ms"
//! ```

use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use log::kv::{Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};

use crate::cni::text::{printable, printable_path, quoted};

/// The longest line in bytes, its line feed included. What is longer ends with `…`.
pub const LINE_LIMIT: usize = 8 * 1024;

/// The longest message and the longest other value, in bytes before they are made printable.
const MESSAGE_LIMIT: usize = 4 * 1024;
const VALUE_LIMIT: usize = 1024;

/// Marks where something was cut.
const CUT: &str = "…";

/// How much is logged.
///
/// As text: Multus's names `panic`, `error`, `verbose` and `debug`, and Rust's `off`, `error`, `warn`, `info`, `debug`
/// and `trace`, in any case. `verbose` is `info`. `panic` is `error`: Multus logs nothing but its own crashes there,
/// and ours are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(pub LevelFilter);

impl Default for Level {
    /// `info`: one line for each attachment.
    fn default() -> Self {
        Level(LevelFilter::Info)
    }
}

/// A level that does not exist. Its text names those that do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no log level; use one of panic, error, warning, verbose, info, debug, trace or off", quoted(.0))]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let filter = match text.to_ascii_lowercase().as_str() {
            "off" => LevelFilter::Off,
            "panic" | "error" => LevelFilter::Error,
            "warn" | "warning" => LevelFilter::Warn,
            "verbose" | "info" => LevelFilter::Info,
            "debug" => LevelFilter::Debug,
            "trace" => LevelFilter::Trace,
            _ => return Err(UnknownLevel(text.to_owned())),
        };
        Ok(Level(filter))
    }
}

/// Where the log goes, and how much.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `logFile`. Made with mode 0600 when absent, and its directory with mode 0755, as an administrator who names one
    /// expects.
    pub file: Option<PathBuf>,
    /// `logLevel`.
    pub level: Level,
    /// `logToStderr`. The runtime shows it, or not.
    pub to_stderr: bool,
    /// `logOptions.maxSize` in bytes: a file that is larger when it is opened is first renamed to `<file>.1`, over the
    /// former one.
    pub max_size_bytes: Option<u64>,
}

/// Starts the log, or changes its settings. Before the first call nothing is logged.
pub fn init(settings: &Settings) {
    let file = settings.file.as_deref().and_then(|path| {
        open(path, settings.max_size_bytes)
            .map_err(|error| {
                let path = printable_path(path);
                note(&format!("rooknet: cannot write the log {path}: {error}; going on without it\n"));
            })
            .ok()
    });
    {
        let mut sink = sink();
        sink.file = file;
        sink.to_stderr = settings.to_stderr;
        sink.level = settings.level.0;
    }
    // An error means that there is a logger already: ours, from an earlier call.
    let _ = log::set_logger(&BACKEND);
    let nowhere = !settings.to_stderr && sink().file.is_none();
    log::set_max_level(if nowhere { LevelFilter::Off } else { settings.level.0 });
}

/// Puts container id and `namespace/name` of the pod on every line from now on. An empty one is left out.
pub fn set_call(container: &str, pod: &str) {
    let mut call = String::new();
    for (key, value) in [("container", container), ("pod", pod)] {
        if !value.is_empty() {
            field(&mut call, key, &clipped(VALUE_LIMIT, format_args!("{value}")));
        }
    }
    sink().call = call;
}

/// Where the log goes.
struct Sink {
    file: Option<File>,
    to_stderr: bool,
    level: LevelFilter,
    /// The fields of every line, each with a blank before it.
    call: String,
}

static SINK: Mutex<Sink> =
    Mutex::new(Sink { file: None, to_stderr: false, level: LevelFilter::Off, call: String::new() });

static BACKEND: Backend = Backend;

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Backend;

impl Log for Backend {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata, sink().level)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Everything that runs foreign code, such as a Display that itself logs, comes before the lock.
        let (now, own) = (SystemTime::now(), own_fields(record));
        let sink = sink();
        let line = line(now, record.level(), &sink.call, &own);
        // Whether a file or stderr took it, all of it or a part: there is nobody to tell.
        if let Some(mut file) = sink.file.as_ref() {
            let _ = file.write(line.as_bytes());
        }
        if sink.to_stderr {
            note(&line);
        }
    }

    fn flush(&self) {}
}

/// The libraries' warnings are news to an administrator, their details only to who traces everything.
fn is_wanted(metadata: &Metadata<'_>, level: LevelFilter) -> bool {
    let target = metadata.target();
    let ours = target.strip_prefix("rooknet").is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    metadata.level() <= level && (ours || metadata.level() <= log::Level::Warn || level == LevelFilter::Trace)
}

/// The key-values of a record and its message, each with a blank before it.
fn own_fields(record: &Record<'_>) -> String {
    struct Fields(String);
    impl<'kvs> VisitSource<'kvs> for Fields {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
            field(&mut self.0, key.as_str(), &clipped(VALUE_LIMIT, format_args!("{value}")));
            Ok(())
        }
    }
    let mut fields = Fields(String::new());
    // Only our own visitor could fail, and does not.
    let _ = record.key_values().visit(&mut fields);
    field(&mut fields.0, "msg", &clipped(MESSAGE_LIMIT, *record.args()));
    fields.0
}

fn line(now: SystemTime, level: log::Level, call: &str, own: &str) -> String {
    let mut line = String::with_capacity(call.len().saturating_add(own.len()).saturating_add(40));
    // humantime takes no time before 1970, and prints none after 9999: a clock may be wrong, a line is written anyway.
    let _ = write!(line, "{}", humantime::format_rfc3339_millis(now.max(SystemTime::UNIX_EPOCH)));
    line.push(' ');
    line.push_str(&level.as_str().to_ascii_lowercase());
    line.push_str(call);
    line.push_str(own);
    if line.len() >= LINE_LIMIT {
        let kept = beginning(&line, LINE_LIMIT.saturating_sub(CUT.len()).saturating_sub(1)).len();
        line.truncate(kept);
        line.push_str(CUT);
    }
    line.push('\n');
    line
}

/// Appends ` key=value`, printable, the value in quotes when it is not one word.
///
/// In quotes, a quotation mark has a backslash before it, and a backslash is doubled where it would otherwise be taken
/// for that of a quotation mark: no value can end before its end and go on as further fields.
fn field(line: &mut String, key: &str, value: &str) {
    let value = printable(value);
    line.push(' ');
    line.push_str(&printable(key));
    line.push('=');
    if !value.is_empty() && !value.contains(|letter: char| letter.is_whitespace() || ['"', '='].contains(&letter)) {
        line.push_str(&value);
        return;
    }
    line.push('"');
    let mut parts = value.split('"').peekable();
    while let Some(part) = parts.next() {
        line.push_str(part);
        line.extend(part.chars().rev().take_while(|letter| *letter == '\\'));
        if parts.peek().is_some() {
            line.push_str("\\\"");
        }
    }
    line.push('"');
}

/// Formats at most `limit` bytes: what is longer is not even made.
fn clipped(limit: usize, arguments: std::fmt::Arguments<'_>) -> String {
    struct Clipped {
        text: String,
        limit: usize,
    }
    impl std::fmt::Write for Clipped {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            let room = self.limit.saturating_sub(self.text.len());
            self.text.push_str(beginning(part, room));
            if part.len() <= room { Ok(()) } else { Err(std::fmt::Error) }
        }
    }
    let mut clipped = Clipped { text: String::new(), limit };
    // An error is the limit, or a Display that fails: what was formatted so far is logged.
    if clipped.write_fmt(arguments).is_err() {
        clipped.text.push_str(CUT);
    }
    clipped.text
}

/// At most `length` bytes of a text, cut between two characters.
fn beginning(text: &str, length: usize) -> &str {
    // A character has at most four bytes.
    (length.saturating_sub(3)..=length).rev().find_map(|end| text.get(..end)).unwrap_or(text)
}

/// One write to stderr, whatever becomes of it.
fn note(text: &str) {
    let _ = io::stderr().write(text.as_bytes());
}

/// Opens the log file, renamed before when it is too large.
fn open(path: &Path, max_size: Option<u64>) -> io::Result<File> {
    let file = open_once(path)?;
    let metadata = file.metadata()?;
    // `/dev/stdout` and the like.
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from).and_then(|stdout| stdout.metadata());
    let is_stdout = stdout.is_ok_and(|stdout| stdout.dev() == metadata.dev() && stdout.ino() == metadata.ino());
    if is_stdout && !metadata.file_type().is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is stdout, which belongs to the runtime"));
    }
    if metadata.is_file() && max_size.is_some_and(|limit| metadata.len() > limit) {
        rotate(file, path)
    } else {
        Ok(file)
    }
}

fn open_once(path: &Path) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        // O_NONBLOCK: a FIFO that nobody reads must not hold up a pod.
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        options.open(path)
    };
    match (open(), path.parent()) {
        (Err(error), Some(directory)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
            open()
        }
        (result, _) => result,
    }
}

/// Renames a file that is too large and opens a new one. Only one of several processes that find it so renames it:
/// who has its lock while the path still names it. The others go on with whichever is theirs.
fn rotate(file: File, path: &Path) -> io::Result<File> {
    if file.try_lock().is_err() {
        return Ok(file);
    }
    let (ours, there) = (file.metadata()?, std::fs::metadata(path)?);
    if ours.dev() == there.dev() && ours.ino() == there.ino() {
        let mut former = path.as_os_str().to_owned();
        former.push(".1");
        std::fs::rename(path, former)?;
    }
    // The lock goes with the former file.
    open_once(path)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
