//! What every container of subcommands shares: its own handler, and HELP, which is written from the table.

use super::{Command, Context, Error};
use crate::client::Args;

/// The handler of a row that only holds subcommands: a bare call of it does not pass the arity gate.
pub fn container(_cx: &mut Context, args: Args) -> Result<(), Error> {
    Err(Error::arity(&String::from_utf8_lossy(args.at(0)).to_ascii_lowercase()))
}

/// The row `X HELP`.
pub const fn row(name: &'static str, since: &'static str) -> Command {
    Command::new(name, "", help).arity(2).always().since(since).about("Lists these subcommands.")
}

/// The handler of every `X HELP` row: one line with the syntax and one with the summary, for each subcommand of X.
pub fn help(cx: &mut Context, args: Args) -> Result<(), Error> {
    let number = cx.registry.find(args.at(0)).ok_or_else(|| Error::unknown_command(args))?;
    let mut lines = Vec::new();
    for (_, row) in cx.registry.subcommands(number) {
        lines.push(format!("{} {}", row.last_name(), row.syntax).trim_end().to_owned());
        lines.push(format!("    {}", row.about));
    }
    write(cx, cx.registry.row(number).name, &lines);
    Ok(())
}

/// Replies with a heading and `lines`, as simple strings.
pub fn write(cx: &mut Context, container: &str, lines: &[impl AsRef<str>]) {
    cx.out.array(lines.len() + 1);
    cx.out.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| cx.out.simple(line.as_ref()));
}
