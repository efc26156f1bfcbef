//! The `headroom` program: see the library's `cli`.

fn main() -> std::process::ExitCode {
    headroom::cli::main()
}
