//! The program `quorate`; all of it is in the library.

fn main() -> std::process::ExitCode {
    quorate_cli::main()
}
