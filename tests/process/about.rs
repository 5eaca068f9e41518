//! What a person gets who starts the program by hand, and a runtime that forgot to say what it wants.

use crate::fixture::{Fixture, Refusal};
use crate::support::{Outcome, PluginCall, run};

/// Runs rooknet with arguments and without any CNI variable.
fn by_hand(fixture: &Fixture, arguments: &[&str]) -> Outcome {
    let mut command = fixture.node.command(fixture.program());
    command.env_remove("CNI_COMMAND").args(arguments);
    run(command, b"")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_command_the_about_text_is_on_stderr_and_the_exit_code_0() {
    let fixture = Fixture::start();
    let outcome = by_hand(&fixture, &[]);
    assert!(outcome.success() && outcome.stdout.is_empty(), "{outcome}");
    let about = text(&outcome.stderr);
    assert!(about.starts_with(concat!("rooknet ", env!("CARGO_PKG_VERSION"), "\n")), "{about}");
    assert!(about.contains("CNI_COMMAND"), "{about}");

    // As the reference plugins, an empty variable is none.
    let empty = PluginCall::new(&fixture.program(), "", "{}").run(&fixture.node);
    assert!(empty.success() && empty.stdout.is_empty() && text(&empty.stderr) == about, "{empty}");
}

#[test]
fn version_and_help_are_on_stdout_when_asked_for() {
    let fixture = Fixture::start();
    for argument in ["--version", "-V", "--help", "-h"] {
        let outcome = by_hand(&fixture, &[argument]);
        assert!(outcome.success() && outcome.stderr.is_empty(), "{argument}: {outcome}");
        assert!(text(&outcome.stdout).starts_with(concat!("rooknet ", env!("CARGO_PKG_VERSION"), "\n")), "{outcome}");
    }
}

#[test]
fn a_runtimes_call_is_served_whatever_the_arguments_are() {
    let fixture = Fixture::start();
    let mut command = fixture.node.command(fixture.program());
    command.env("CNI_COMMAND", "VERSION").arg("--help");
    assert_eq!(run(command, b"").json()["cniVersion"], "1.1.0");
}

#[test]
fn an_unknown_command_is_refused_with_the_known_ones() {
    let fixture = Fixture::start();
    for command in ["add", "ADD ", "DELETE", "\u{1b}[2J"] {
        let call = PluginCall::new(&fixture.program(), command, "{}");
        Refusal::of(command, &call.run(&fixture.node)).expect(
            command,
            4,
            &["CNI_COMMAND", "is not one of ADD, DEL, CHECK, GC, STATUS, VERSION"],
        );
    }
}
