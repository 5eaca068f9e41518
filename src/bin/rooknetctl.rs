//! rooknetctl: what people and the DaemonSet run. Arguments in, tables or JSON on stdout, reasons on stderr.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    rooknet::cli::main()
}
